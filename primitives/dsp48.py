"""Products in DSP slices: cascades of packed products, and a product that is summed up in place.

For `Technology.XILINX7` these are DSP48E1 cells with all registers on the way in use. For anything
else it is the same arithmetic, with the same latencies, in plain operators.
"""

from amaranth.hdl import (
    Cat,
    ClockSignal,
    Const,
    Instance,
    Module,
    Mux,
    Shape,
    ShapeLike,
    Signal,
    Value,
    signed,
)
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from nn2rtl.primitives.packing import ALU_BITS, LONG, SHORT, Bounds, Packing, product_bounds
from nn2rtl.primitives.pipe import named, register, shape_bounds, shape_containing
from nn2rtl.primitives.technology import Technology

__all__ = ["AccumulatingSlice", "PackedCascade"]

MAX_INPUT_REGISTERS = 2

_FROM_C, _FROM_CASCADE, _NOTHING = 0b011, 0b001, 0b000
"""OPMODE[6:4]: what the product is added to."""
_PRODUCT = 0b0101
"""OPMODE[3:0]: the multiplier's result."""
_ALWAYS_ENABLED = (
    "A1", "A2", "AD", "ALUMODE", "B1", "B2", "C", "CARRYIN", "CTRL", "D", "INMODE", "M",
)  # fmt: skip
_NEVER_RESET = ("A", "ALLCARRYIN", "ALUMODE", "B", "C", "CTRL", "D", "INMODE", "M", "P")


def _slice(
    m: Module,
    name: str,
    a: Value,
    b: Value,
    d: Value | None = None,
    *,
    c: int = 0,
    registers: int = 1,
    output_register: bool = True,
    opmode: Value,
    enable: Value | None = None,
    cascade: Value | None = None,
) -> tuple[Signal, Signal]:
    """Add a DSP48E1 with a registered product; return its result, and what it hands on.

    The operands pass `registers` registers, 1 or 2; `enable` is that of the result's register.
    """
    factor = named(m, a, signed(30), f"{name}_a")
    other = named(m, b, signed(SHORT), f"{name}_b")
    before = named(m, Const(0, 1) if d is None else d, signed(LONG), f"{name}_d")
    result = Signal(ALU_BITS, name=f"{name}_p")
    onwards = Signal(ALU_BITS, name=f"{name}_pcout")
    pre_adder = d is not None
    # The pre-adder's register stands for the second ones of A and D.
    a_registers = 1 if pre_adder else registers
    m.submodules[name] = Instance(
        "DSP48E1",
        p_ACASCREG=a_registers, p_AREG=a_registers, p_DREG=1,
        p_ADREG=int(pre_adder and registers == MAX_INPUT_REGISTERS),
        p_BCASCREG=registers, p_BREG=registers, p_MREG=1, p_PREG=int(output_register),
        p_CREG=0, p_ALUMODEREG=0, p_CARRYINREG=0, p_CARRYINSELREG=0, p_INMODEREG=0, p_OPMODEREG=0,
        p_USE_DPORT="TRUE" if pre_adder else "FALSE", p_USE_MULT="MULTIPLY",
        i_CLK=ClockSignal(), i_A=factor, i_B=other, i_D=before, i_C=Const(c, ALU_BITS),
        i_PCIN=Const(0, ALU_BITS) if cascade is None else cascade,
        i_OPMODE=opmode, i_INMODE=Const(0b00100 if pre_adder else 0, 5),
        i_ALUMODE=Const(0, 4),
        i_ACIN=Const(0, 30), i_BCIN=Const(0, SHORT), i_CARRYCASCIN=Const(0, 1),
        i_CARRYIN=Const(0, 1), i_CARRYINSEL=Const(0, 3), i_MULTSIGNIN=Const(0, 1),
        i_CEP=Const(1, 1) if enable is None else enable,
        **{f"i_CE{register}": Const(1, 1) for register in _ALWAYS_ENABLED},
        **{f"i_RST{register}": Const(0, 1) for register in _NEVER_RESET},
        o_P=result, o_PCOUT=onwards,
    )  # fmt: skip
    return result, onwards


def _delayed(m: Module, value: Value, cycles: int, name: str) -> Value:
    for cycle in range(cycles):
        value = register(m, value, value.shape(), f"{name}_{cycle + 1}")
    return value


def _long_first(a: Value, b: Value) -> tuple[Value, Value]:
    """Two factors, such that the second fits a slice's shorter port."""
    return (b, a) if len(b) + (not b.shape().signed) > SHORT else (a, b)


class PackedCascade(wiring.Component):
    """Dot products of several weight vectors with the same few activations, one a cycle.

    Slices are added up in pairs: the first of a pair hands its sum on in the cycle itself, the
    second registers it. A pair's operands wait in the slices' own registers for the pair before.

    Parameters
    ----------
    act_shape, weight_shape : ShapeLike
        Shapes of activations and weights.
    packing : Packing
        Weights in a slice.
    length : int
        Activations: slices, at most ``packing.terms``.
    weight_range : (int, int), optional
        Range of the weights that `packing` was planned for, if not that of their shape. The results
        for others are not specified.
    wait : int
        Further cycles, 0 or 1, that the operands wait.

    Attributes
    ----------
    latency : int
        Cycles from operands to sums, ``2 + ceil(length / 2) + wait``.

    Members
    -------
    acts : In(ArrayLayout(act_shape, length))
        Activations.
    weights : In(ArrayLayout(ArrayLayout(weight_shape, length), packing.count))
        Weights of each vector.
    sums : Out(ArrayLayout(shape, packing.count))
        Sum of each vector's products; of all but the last, less ``packing.less``.

    Raises
    ------
    ValueError
        `length` is not from 1 to ``packing.terms``, or the operands would have to wait longer than
        the slice's registers can hold them.
    """

    def __init__(
        self,
        act_shape: ShapeLike,
        weight_shape: ShapeLike,
        packing: Packing,
        length: int,
        *,
        weight_range: Bounds | None = None,
        wait: int = 0,
    ) -> None:
        if not 1 <= length <= packing.terms:
            raise ValueError(f"length must be from 1 to {packing.terms}, not {length!r}")
        if wait < 0 or (length + 1) // 2 + wait > MAX_INPUT_REGISTERS:
            raise ValueError(f"a cascade of {length} slices must not wait {wait!r} cycles")
        self.packing = packing
        self.length = length
        self.wait = wait
        self.latency = 2 + (length + 1) // 2 + wait
        self.weight_range = weight_range or shape_bounds(weight_shape)
        bounds = product_bounds(shape_bounds(act_shape), self.weight_range)
        low, high = (length * bound for bound in bounds)
        self.shape = shape_containing(low - packing.less, high)
        super().__init__({
            "acts": In(ArrayLayout(act_shape, length)),
            "weights": In(ArrayLayout(ArrayLayout(weight_shape, length), packing.count)),
            "sums": Out(ArrayLayout(self.shape, packing.count)),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        sums = self._slices(m) if platform is Technology.XILINX7 else self._plain(m)
        m.d.comb += [self.sums[i].eq(total) for i, total in enumerate(sums)]
        return m

    def _plain(self, m: Module) -> list[Value]:
        sums: list[Value] = []
        for i in range(self.packing.count):
            products = []
            for k in range(self.length):
                wait = 1 + self.wait + k // 2
                act = _delayed(m, self.acts[k], wait, f"act_{i}_{k}")
                weight = _delayed(m, self.weights[i][k], wait, f"weight_{i}_{k}")
                products.append(_delayed(m, act * weight, 1, f"product_{i}_{k}"))
            total: Value = Const(-self.packing.less if i < self.packing.count - 1 else 0, signed(2))
            for k in range(0, self.length, 2):
                pair = sum(products[k + 1 : k + 2], products[k])
                total = register(m, total + pair, self.shape, f"sum_{i}_{k}")
            sums.append(total)
        return sums

    def _slices(self, m: Module) -> list[Value]:
        packing, distance = self.packing, self.packing.distance
        result: Value = Const(0, ALU_BITS)
        onwards: Value = Const(0, ALU_BITS)
        for k in range(self.length):
            weights: list[Value] = [self.weights[i][k] for i in range(packing.count)]
            a, b, d = weights[0], self.acts[k], None
            if packing.count == 1:
                a, b = _long_first(a, b)
            elif packing.count > 1:
                a, d = (self._fields(weights[odd::2]) for odd in (0, 1))
                d = d.shift_left(distance)
            source = _FROM_CASCADE if k else _FROM_C if packing.bias else _NOTHING
            result, onwards = _slice(
                m, f"slice_{k}", a, b, d,
                c=packing.bias,
                registers=1 + self.wait + k // 2,
                output_register=k % 2 == 1 or k == self.length - 1,
                opmode=Const(source << 4 | _PRODUCT, 7),
                cascade=onwards,
            )
        sums: list[Value] = []
        for i in range(packing.count - 1):
            field = result[distance * i :][: min(distance, self.shape.width)]
            if len(field) == distance:
                field = Cat(field[:-1], ~field[-1])
            sums.append(field.as_signed() if self.shape.signed else field)
        return [*sums, result[distance * (packing.count - 1) :][: self.shape.width]]

    def _fields(self, weights: list[Value]) -> Value:
        """Weights two fields apart, as one number; at most two of them."""
        if len(weights) == 1:
            return weights[0]
        low, high = weights
        pitch = 2 * self.packing.distance
        if not low.shape().signed:
            return low | high.shift_left(pitch)
        borrow = sign = low[-1]
        less = []  # in LUTs: a carry chain would take more of them
        for bit in [*high, high[-1]]:
            less.append(bit ^ borrow)
            borrow = borrow & ~bit
        return Cat(low, sign.replicate(pitch - len(low)), *less).as_signed()


class AccumulatingSlice(wiring.Component):
    """Products that are summed up in the slice itself.

    Parameters
    ----------
    a_shape, b_shape : ShapeLike
        Shapes of the factors.
    acc_shape : ShapeLike
        Shape of the sums, of at most 48 bits.
    wait : int
        Further cycles, 0 or 1, that the factors wait.

    Attributes
    ----------
    latency : int
        Cycles from factors to sum, ``3 + wait``.

    Members
    -------
    a, b : In
        Factors.
    enable, keep : In(1)
        One cycle before the sum: whether there is a product, and whether to add it to the sum so
        far.
    sum : Out(acc_shape)
        Sum, modulo ``2**acc_width``.

    Raises
    ------
    ValueError
        `acc_shape` has more than 48 bits, or `wait` is none of 0 and 1.
    """

    def __init__(
        self, a_shape: ShapeLike, b_shape: ShapeLike, acc_shape: ShapeLike, *, wait: int = 0
    ) -> None:
        if Shape.cast(acc_shape).width > ALU_BITS:
            raise ValueError(f"acc_shape must have at most {ALU_BITS} bits, not {acc_shape!r}")
        if not 0 <= wait < MAX_INPUT_REGISTERS:
            raise ValueError(f"wait must be 0 or 1, not {wait!r}")
        self.wait = wait
        self.latency = 3 + wait
        super().__init__({
            "a": In(a_shape),
            "b": In(b_shape),
            "enable": In(1),
            "keep": In(1),
            "sum": Out(acc_shape),
        })

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if platform is Technology.XILINX7:
            opmode = Cat(Const(_PRODUCT, 4), Const(0, 1), self.keep, Const(0, 1))
            long, short = _long_first(self.a, self.b)
            result, _ = _slice(
                m, "slice", long, short,
                registers=1 + self.wait, opmode=opmode, enable=self.enable,
            )
            m.d.comb += self.sum.eq(result)
            return m
        a = _delayed(m, self.a, 1 + self.wait, "a")
        b = _delayed(m, self.b, 1 + self.wait, "b")
        product = _delayed(m, a * b, 1, "product")
        total = Signal(self.sum.shape(), name="total", reset_less=True)
        with m.If(self.enable):
            m.d.sync += total.eq(Mux(self.keep, total, 0) + product)
        m.d.comb += self.sum.eq(total)
        return m
