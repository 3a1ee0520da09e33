"""Array of multiply-accumulate units: PE dot products of SIMD lanes a cycle."""

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out
from amaranth.utils import ceil_log2

from nn2rtl.primitives.dot_product import DotProductPlan, Table, plan_dot_product
from nn2rtl.primitives.pipe import shape_containing

__all__ = ["MacArray", "mac_latency"]


def mac_latency(
    act_shape: ShapeLike, weight_shape: ShapeLike, simd: int, *, use_dsp: bool = False
) -> int:
    """Cycles from the last beat of a group to its sums.

    In LUTs: the levels of the adder tree, ``ceil(log2(tables))`` of the plan, and the accumulator.
    With DSPs: input and product registers, ``ceil(log2(simd))`` levels, the accumulator.
    """
    if use_dsp:
        return 2 + int(ceil_log2(simd)) + 1
    act, weight = Shape.cast(act_shape), Shape.cast(weight_shape)
    plan = plan_dot_product((act.width, act.signed), (weight.width, weight.signed), simd)
    return len(plan.levels) + 1


def lookup(inputs: Value, truth: int) -> Value:
    """Boolean function of `inputs`: bit p of `truth` is its value for the pattern p.

    One selection from a constant: the mapper makes a LUT of it, and it is quick to elaborate and to
    simulate.
    """
    size = 1 << len(inputs)
    if truth in (0, (1 << size) - 1):
        return Const(truth & 1, 1)
    for k in range(len(inputs)):
        if truth == sum(1 << p for p in range(size) if p >> k & 1):
            return inputs[k]
    return Const(truth, size).bit_select(inputs, 1)


class MacArray(wiring.Component):
    """Dot products, summed up over the beats of a group; valid-only, one beat a cycle.

    For each group (a beat with ``first`` up to one with ``last``) and each PE p, the sum over all
    beats and lanes k of ``data[k] * weights[p][k]``, modulo ``2**acc_width``. If the sum of the
    whole group fits into `acc_shape` it is exact, whatever happens on the way.

    With `blocks`, PEs and activations are cut into that many blocks side by side, of pe / blocks
    and of `lanes` = simd / blocks, and a PE sees the activations of its own block only.

    Parameters
    ----------
    act_shape, weight_shape : ShapeLike
        Shapes of activations and weights.
    acc_shape : ShapeLike
        Shape of the sums.
    pe : int
        Dot products in parallel (output channels), of all blocks.
    simd : int
        Activations in parallel (input channels), of all blocks.
    blocks : int
        Blocks (groups of channels); divides both.
    use_dsp : bool
        Leave the products to the synthesiser, with registers such that it can use DSP blocks.
        Otherwise build them of LUTs, whatever their width.

    Attributes
    ----------
    latency : int
        Cycles from the ``last`` beat to the sums, see :func:`mac_latency`.
    lanes : int
        Products in each dot product.
    plan : DotProductPlan
        How a dot product is built of LUTs.

    Members
    -------
    i : In(stream.Signature(StructLayout, always_ready=True))
        ``data``: ArrayLayout(act_shape, simd); ``weights``: ArrayLayout(ArrayLayout(weight_shape,
        lanes), pe); ``first``, ``last``: 1.
    o : Out(stream.Signature(ArrayLayout(acc_shape, pe), always_ready=True))
        Sums of a group.

    Raises
    ------
    ValueError
        `pe` or `simd` is below 1, `blocks` does not divide both, or a shape has no bits.
    """

    i: stream.Interface
    o: stream.Interface

    def __init__(
        self,
        act_shape: ShapeLike,
        weight_shape: ShapeLike,
        acc_shape: ShapeLike,
        pe: int,
        simd: int,
        *,
        blocks: int = 1,
        use_dsp: bool = False,
    ) -> None:
        self.act = act = Shape.cast(act_shape)
        self.weight = weight = Shape.cast(weight_shape)
        self.acc = Shape.cast(acc_shape)
        if pe < 1 or simd < 1:
            raise ValueError(f"pe and simd must be at least 1, not {pe!r} and {simd!r}")
        if blocks < 1 or pe % blocks or simd % blocks:
            raise ValueError(f"blocks must divide pe {pe} and simd {simd}, not {blocks!r}")
        if not (act.width and weight.width and self.acc.width):
            raise ValueError(f"shapes must have bits, not {act!r}, {weight!r}, {self.acc!r}")
        self.pe = pe
        self.simd = simd
        self.blocks = blocks
        self.lanes = simd // blocks
        self.use_dsp = use_dsp
        self.latency = mac_latency(act, weight, self.lanes, use_dsp=use_dsp)
        self.plan: DotProductPlan = plan_dot_product(
            (act.width, act.signed), (weight.width, weight.signed), self.lanes
        )
        layout = StructLayout({
            "data": ArrayLayout(act_shape, simd),
            "weights": ArrayLayout(ArrayLayout(weight_shape, self.lanes), pe),
            "first": 1,
            "last": 1,
        })
        super().__init__({
            "i": In(stream.Signature(layout, always_ready=True)),
            "o": Out(stream.Signature(ArrayLayout(acc_shape, pe), always_ready=True)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valid: Value = self.i.valid
        first: Value = self.i.payload.first
        last: Value = self.i.payload.last
        for stage in range(1, self.latency):
            valid_r = Signal(name=f"valid_{stage}")
            first_r = Signal(name=f"first_{stage}", reset_less=True)
            last_r = Signal(name=f"last_{stage}", reset_less=True)
            m.d.sync += [valid_r.eq(valid), first_r.eq(first), last_r.eq(last)]
            valid, first, last = valid_r, first_r, last_r
        m.d.sync += self.o.valid.eq(valid & last)

        # Narrow signals: each use of a slice of the wide payload would cost its whole width.
        data = [
            self._named(m, self.i.payload.data[k], f"act_{k}") for k in range(self.simd)
        ]
        if self.use_dsp:
            data = [self._register(m, value, f"data_{k}") for k, value in enumerate(data)]
        for p in range(self.pe):
            weights = [
                self._named(m, self.i.payload.weights[p][k], f"weight_{p}_{k}")
                for k in range(self.lanes)
            ]
            begin = p * self.blocks // self.pe * self.lanes
            own = data[begin : begin + self.lanes]
            total = self._dsp(m, own, weights) if self.use_dsp else self._luts(m, own, weights)
            sums = Signal(self.acc, name=f"sums_{p}", reset_less=True)
            with m.If(valid):
                m.d.sync += sums.eq(Mux(first, 0, sums) + total)
            m.d.comb += self.o.payload[p].eq(sums)
        return m

    @staticmethod
    def _named(m: Module, value: Value, name: str) -> Signal:
        signal = Signal(Value.cast(value).shape(), name=name)
        m.d.comb += signal.eq(value)
        return signal

    @staticmethod
    def _register(m: Module, value: Value, name: str) -> Signal:
        register = Signal(Value.cast(value).shape(), name=name, reset_less=True)
        m.d.sync += register.eq(value)
        return register

    def _dsp(self, m: Module, data: list[Signal], weights: list[Signal]) -> Value:
        """Registered products, added in a registered binary tree."""
        values: list[Value] = []
        for k, weight in enumerate(weights):
            held = self._register(m, weight, f"weight_{k}")
            values.append(self._register(m, data[k] * held, f"product_{k}"))
        while len(values) > 1:
            values = [
                self._register(m, sum(values[k + 1 : k + 2], values[k]), f"sum_{k}")
                for k in range(0, len(values), 2)
            ]
        return values[0]

    def _luts(self, m: Module, data: list[Signal], weights: list[Signal]) -> Value:
        """Tables and adder tree of the plan."""
        values = [self._table(m, table, data, weights) for table in self.plan.tables]
        shifts = [table.shift for table in self.plan.tables]
        for level in self.plan.levels:
            sums: list[Value] = []
            for k, node in enumerate(level):
                register = Signal(shape_containing(*node.bounds), name=f"sum_{k}", reset_less=True)
                # The operand of greater weight comes second: tables are sorted.
                low = node.operands[0]
                if len(node.operands) == 1:
                    m.d.sync += register.eq(values[low])
                else:
                    high = node.operands[1]
                    apart = shifts[high] - shifts[low]
                    total = (values[low] >> apart) + values[high]
                    m.d.sync += register.eq(Cat(values[low][:apart], total) if apart else total)
                sums.append(register)
            values, shifts = sums, [node.shift for node in level]
        return values[0] << shifts[0]

    @staticmethod
    def _table(m: Module, table: Table, data: list[Signal], weights: list[Signal]) -> Value:
        terms: list[Value] = []
        for lane, alow, abits, wlow, wbits in table.terms:
            terms += [data[lane][alow : alow + abits], weights[lane][wlow : wlow + wbits]]
        inputs = Signal(sum(len(term) for term in terms), name="table_in")
        m.d.comb += inputs.eq(Cat(terms))
        shape = shape_containing(*table.bounds)
        value = Signal(shape, name="table")
        m.d.comb += value.eq(Cat(
            lookup(inputs, sum((value >> b & 1) << k for k, value in enumerate(table.values)))
            for b in range(shape.width)
        ))
        return value
