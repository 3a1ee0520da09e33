"""Array of multiply-accumulate units: PE dot products of SIMD lanes a cycle."""

from dataclasses import replace

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout, StructLayout
from amaranth.lib.wiring import In, Out

from nn2rtl.primitives.dot_product import DotProductPlan, Table, plan_dot_product
from nn2rtl.primitives.dsp48 import AccumulatingSlice, PackedCascade
from nn2rtl.primitives.packing import Bounds, plan_dsp
from nn2rtl.primitives.pipe import named, register, shape_bounds, shape_containing

__all__ = ["MacArray", "lookup"]


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
        Build products of DSP slices. Otherwise build them of LUTs, whatever their width.
    dsp_pes : int, optional
        With `use_dsp`, how many PEs use slices, the first ones; all if not given.
    weight_range : (int, int), optional
        Least and greatest weight, 0 included, if it is less than what `weight_shape` holds. It may
        make room for more products in a slice. The sums for other weights are not specified.

    Attributes
    ----------
    latency : int
        Cycles from the ``last`` beat to the sums: the levels of a LUT dot product's adder tree and
        the accumulator, or `DspPlan.latency`; if there are both, the greater.
    lanes : int
        Products in each dot product.
    plan : DotProductPlan
        How a dot product is built of LUTs.
    dsp : DspPlan
        How dot products are built of DSP slices.

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
        `pe` or `simd` is below 1, `blocks` does not divide both, a shape has no bits, `dsp_pes` is
        more than `pe`, or `weight_range` does not fit.
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
        dsp_pes: int | None = None,
        weight_range: Bounds | None = None,
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
        self.dsp_pes = (pe if dsp_pes is None else dsp_pes) if use_dsp else 0
        if not 0 <= self.dsp_pes <= pe:
            raise ValueError(f"dsp_pes must be from 0 to {pe}, not {dsp_pes!r}")
        holds = shape_bounds(weight)
        low, high = weight_range or holds
        if not holds[0] <= low <= high <= holds[1]:
            raise ValueError(f"weights from {low} to {high} do not fit {weight!r}")
        self.weight_range = min(low, 0), max(high, 0)
        self.plan: DotProductPlan = plan_dot_product(
            (act.width, act.signed), (weight.width, weight.signed), self.lanes
        )
        self.dsp = plan_dsp(
            shape_bounds(act), self.weight_range, self.acc.width,
            max(1, min(self.dsp_pes, pe // blocks)), self.lanes,
        )
        latencies = [self.dsp.latency] if self.dsp_pes else []
        if self.dsp_pes < pe:
            latencies.append(len(self.plan.levels) + 1)
        self.latency = max(latencies)
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
        # What arrived with the beat of so many cycles ago.
        valids: list[Value] = [self.i.valid]
        firsts: list[Value] = [self.i.payload.first]
        last: Value = self.i.payload.last
        for stage in range(1, self.latency):
            valid = Signal(name=f"valid_{stage}")
            m.d.sync += valid.eq(valids[-1])
            valids.append(valid)
            firsts.append(register(m, firsts[-1], 1, f"first_{stage}"))
            last = register(m, last, 1, f"last_{stage}")
        m.d.sync += self.o.valid.eq(valids[-1] & last)

        # Narrow signals: each use of a slice of the wide payload would cost its whole width.
        data = [
            named(m, self.i.payload.data[k], self.act, f"act_{k}") for k in range(self.simd)
        ]
        totals: dict[int, Value] = {}
        less = dict.fromkeys(range(self.pe), 0)
        for pes in self._slices_of():
            rows = [self._weights(m, p) for p in pes]
            own = self._own(data, pes[0])
            if self.dsp.in_place:
                keep, valid = ~firsts[self.dsp.latency - 1], valids[self.dsp.latency - 1]
                m.d.comb += self.o.payload[pes[0]].eq(
                    self._in_place(m, own[0], rows[0][0], keep, valid, f"slice_{pes[0]}")
                )
            elif self.dsp.packing is None:
                totals[pes[0]] = self._left_to_synthesis(m, own, rows[0])
            else:
                less |= dict.fromkeys(pes[:-1], self.dsp.packing.less)
                totals |= zip(pes, self._packed(m, own, rows, f"slice_{pes[0]}"), strict=True)
        for p in range(self.dsp_pes, self.pe):
            total = self._luts(m, self._own(data, p), self._weights(m, p))
            wait = self.latency - 1 - len(self.plan.levels)
            totals[p] = self._delayed(m, total, wait, f"total_{p}")

        for p, total in totals.items():
            sums = Signal(self.acc, name=f"sums_{p}", reset_less=True)
            before = Mux(firsts[-1], 0, sums)
            with m.If(valids[-1]):
                m.d.sync += sums.eq(self._sum(before, total, less[p]))
            m.d.comb += self.o.payload[p].eq(sums)
        return m

    def _own(self, data: list[Signal], p: int) -> list[Signal]:
        """Activations that a PE sees."""
        begin = p * self.blocks // self.pe * self.lanes
        return data[begin : begin + self.lanes]

    def _weights(self, m: Module, p: int) -> list[Signal]:
        weights = self.i.payload.weights[p]
        return [named(m, weights[k], self.weight, f"weight_{p}_{k}") for k in range(self.lanes)]

    @staticmethod
    def _delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
        for cycle in range(cycles):
            value = register(m, value, value.shape(), f"{name}_{cycle}")
        return value

    def _slices_of(self) -> list[list[int]]:
        """PEs that share slices."""
        count = self.dsp.packing.count if self.dsp.packing else 1
        each = self.pe // self.blocks
        return [
            list(range(p, min(p + count, block + each, self.dsp_pes)))
            for block in range(0, self.pe, each)
            for p in range(block, min(block + each, self.dsp_pes), count)
        ]

    def _in_place(
        self, m: Module, act: Signal, weight: Signal, keep: Value, enable: Value, name: str
    ) -> Value:
        m.submodules[name] = part = AccumulatingSlice(self.weight, self.act, self.acc)
        m.d.comb += [part.a.eq(weight), part.b.eq(act), part.keep.eq(keep), part.enable.eq(enable)]
        return self._delayed(m, part.sum, self.latency - part.latency, f"{name}_sum")

    def _packed(
        self, m: Module, data: list[Signal], rows: list[list[Signal]], name: str
    ) -> list[Value]:
        """Sums of PEs that share slices: cascades, and a registered binary tree behind them."""
        assert self.dsp.packing is not None
        packing = replace(self.dsp.packing, count=len(rows))
        spare = self.latency - self.dsp.latency
        cascades = []
        begin = 0
        for k, length in enumerate(packing.chains(self.lanes)):
            # Cascades that are shorter than others wait for them, and all for other PEs, if they
            # can, in the slices' own registers.
            behind = packing.levels(self.lanes) - packing.levels(length)
            wait = min(behind + spare, 2 - packing.levels(length))
            cascade = PackedCascade(
                self.act, self.weight, packing, length, weight_range=self.weight_range, wait=wait
            )
            m.submodules[f"{name}_{k}"] = cascade
            own = slice(begin, begin + length)
            m.d.comb += [cascade.acts[j].eq(act) for j, act in enumerate(data[own])]
            for i, row in enumerate(rows):
                m.d.comb += [cascade.weights[i][j].eq(w) for j, w in enumerate(row[own])]
            late = behind + spare - wait
            cascades.append([
                self._delayed(m, cascade.sums[i], late, f"{name}_{k}_{i}") for i in range(len(rows))
            ])
            begin += length
        # Each sum of two takes one cascade into account, the accumulator the last.
        return [
            self._tree(m, list(values), packing.less if i < len(rows) - 1 else 0)
            for i, values in enumerate(zip(*cascades, strict=True))
        ]

    def _left_to_synthesis(
        self, m: Module, data: list[Signal], weights: list[Signal]
    ) -> Value:
        """Registered products of factors too wide for one slice."""
        products: list[Value] = []
        for k, (act, weight) in enumerate(zip(data, weights, strict=True)):
            a = register(m, act, self.act, f"data_{k}")
            b = register(m, weight, self.weight, f"held_{k}")
            products.append(self._delayed(m, a * b, 1, f"product_{k}"))
        total = self._tree(m, products)
        return self._delayed(m, total, self.latency - self.dsp.latency, "total")

    def _tree(self, m: Module, values: list[Value], less: int = 0) -> Value:
        """Registered sums; each of two values that are `less` than they should be is so itself."""
        while len(values) > 1:
            last = values[-1:] if len(values) % 2 else []
            pairs = zip(values[::2], values[1::2], strict=False)
            sums = [self._sum(a, b, less) for a, b in pairs]
            values = [self._delayed(m, v, 1, f"sum_{k}") for k, v in enumerate(sums + last)]
        return values[0]

    @staticmethod
    def _sum(a: Value, b: Value, more: int) -> Value:
        """``a + b``, or one more by the carry input of the same adder."""
        if not more:
            return a + b
        one = Const(1, 1)
        pair = [
            Cat(one, value).as_signed() if value.shape().signed else Cat(one, value)
            for value in (a, b)
        ]
        return (pair[0] + pair[1]).shift_right(1)

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
