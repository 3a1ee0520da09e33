"""Multiplication in LUTs, where the synthesiser would take a DSP block."""

from collections.abc import Callable

from amaranth.hdl import Cat, Const, Module, Mux, Shape, ShapeLike, Signal, Value, signed, unsigned
from amaranth.lib.data import StructLayout

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.pipe import Pipe, named, register, shape_bounds, shape_containing

__all__ = ["LutMultiplier", "lut_multiplier_latency"]


def _rows(shape: Shape) -> int:
    """Rows to add for a multiplier operand of `shape`; an unsigned one or two bits are not recoded.

    Booth digits of radix 4 need ``ceil(w / 2)`` of a signed operand, a bit more of an unsigned one.
    """
    width = int(shape.width)
    if shape.signed:
        return (width + 1) // 2
    return width if width <= 2 else width // 2 + 1


def _second_is_recoded(a: Shape, b: Shape) -> bool:
    return bool((_rows(b), a.width) <= (_rows(a), b.width))


def lut_multiplier_latency(
    a_shape: ShapeLike, b_shape: ShapeLike, *, rows_per_stage: int = 2
) -> int:
    """Return the latency of :class:`LutMultiplier`, ``ceil(rows / rows_per_stage)`` cycles.

    A recoded operand of w bits has ``ceil(w / 2)`` rows, or ``floor(w / 2) + 1`` if it is unsigned
    (but 1 row for 1 bit); the one with fewer rows is recoded.
    """
    a, b = Shape.cast(a_shape), Shape.cast(b_shape)
    return -(-_rows(b if _second_is_recoded(a, b) else a) // rows_per_stage)


def _product_bounds(a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    products = [p * q for p in a for q in b]
    return min(products), max(products)


class LutMultiplier(Pipe):
    """``a * b``, or ``a * b + c``, in LUTs and carry chains.

    One operand is recoded in Booth digits of radix 4 (-2 to 2; A. D. Booth 1951, O. L. MacSorley
    1961); for each digit a row is added in a carry chain, whose LUT6 also selects the multiple, so
    a product takes about ``(w_long + 1) * ceil(w_short / 2)`` LUTs. A `c` that is no wider than the
    other factor is added for nothing; for a wide one an adder behind the product takes fewer LUTs.

    Parameters
    ----------
    a_shape, b_shape : ShapeLike
        Shapes of the factors.
    c_shape : ShapeLike or None
        Shape of the summand; None if there is none.
    rows_per_stage : int
        Rows that are added between two registers.

    Attributes
    ----------
    latency : int
        See :func:`lut_multiplier_latency`.
    out_shape : Shape
        Narrowest shape that holds every result.

    Members
    -------
    i : In(stream.Signature(StructLayout, always_ready=True))
        ``a``: a_shape; ``b``: b_shape; ``c``: c_shape, if given.
    o : Out(stream.Signature(out_shape, always_ready=True))
        Results.

    Raises
    ------
    TypeError, ValueError
        If a shape has no bits, or `rows_per_stage` is not an integer of at least 1.
    """

    def __init__(
        self,
        a_shape: ShapeLike,
        b_shape: ShapeLike,
        c_shape: ShapeLike | None = None,
        *,
        rows_per_stage: int = 2,
    ) -> None:
        check_positive("LutMultiplier", rows_per_stage=rows_per_stage)
        self.a, self.b = Shape.cast(a_shape), Shape.cast(b_shape)
        self.c = None if c_shape is None else Shape.cast(c_shape)
        if not (self.a.width and self.b.width):
            raise ValueError(f"factors must have bits, not {self.a!r} and {self.b!r}")
        self.rows_per_stage = rows_per_stage
        low, high = self._bounds(shape_bounds(self.a), shape_bounds(self.b))
        self.out_shape = shape_containing(low, high)
        members = {"a": a_shape, "b": b_shape}
        if c_shape is not None:
            members["c"] = c_shape
        latency = lut_multiplier_latency(self.a, self.b, rows_per_stage=rows_per_stage)
        super().__init__(StructLayout(members), self.out_shape, latency)

    def _bounds(self, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
        low, high = _product_bounds(a, b)
        least, greatest = (0, 0) if self.c is None else shape_bounds(self.c)
        return low + least, high + greatest

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._valid_chain(m)
        payload = self.i.payload
        if _second_is_recoded(self.a, self.b):
            long, short = (payload.a, self.a), (payload.b, self.b)
        else:
            long, short = (payload.b, self.b), (payload.a, self.a)
        shape, recoded = long[1], short[1]
        rows = _rows(recoded)
        booth = recoded.signed or recoded.width > 2
        step = 2 if booth else 1

        value: Value = named(m, long[0], shape, "multiplicand")
        digits = self._digits(m, short[0], recoded, rows, booth)
        upper: Value = Const(0, 1)
        if self.c is not None:
            upper = named(m, payload.c, self.c, "summand")
        low: Value = Const(0, 0)
        for row in range(rows):
            if row:
                low, upper = Cat(low, upper[:step]), upper.shift_right(step)
            if booth:
                upper = self._booth_row(m, upper, value, digits[:3])
            else:
                upper = upper + Mux(digits[0], value, 0)
            # What the digits so far stand for: a signed number in Booth's recoding.
            part = signed(2 * row + 2) if booth else unsigned(row + 1)
            done = shape_bounds(recoded if row == rows - 1 else part)
            least, greatest = self._bounds(shape_bounds(shape), done)
            sums = shape_containing(least >> (step * row), greatest >> (step * row))
            digits = digits[step:]
            keep: Callable[[Module, Value, ShapeLike, str], Signal] = named
            last = row == rows - 1
            if last or (row + 1) % self.rows_per_stage == 0:
                keep = register
                if len(low):
                    low = register(m, low, len(low), f"low_{row}")
                if not last:
                    value = register(m, value, shape, f"multiplicand_{row}")
                    digits = register(m, digits, len(digits), f"digits_{row}")
            upper = keep(m, upper, sums, f"sum_{row}")
        m.d.comb += self.o.payload.eq(Cat(low, upper))
        return m

    @staticmethod
    def _digits(m: Module, short: Value, shape: Shape, rows: int, booth: bool) -> Value:
        """Bits of the recoded operand; for Booth with a 0 below, extended to all digits."""
        if not booth:
            return named(m, short, shape, "digits")
        extended = named(m, short, Shape(2 * rows, shape.signed), "multiplier")
        return named(m, Cat(Const(0, 1), extended), 2 * rows + 1, "digits")

    @staticmethod
    def _booth_row(m: Module, upper: Value, value: Value, digit: Value) -> Value:
        """Add a digit's multiple; a negative one is complemented and carries a 1 in below."""
        negative = digit[2]
        one = digit[0] ^ digit[1]
        two = ~one & (digit[1] ^ digit[2])
        multiple = Mux(two, value.shift_left(1), Mux(one, value, 0))
        shape = signed(len(value) + (1 if value.shape().signed else 2))
        row = named(m, multiple, shape, "multiple") ^ negative.replicate(shape.width).as_signed()
        below = Cat(negative, upper)
        if upper.shape().signed:
            below = below.as_signed()
        return (below + Cat(negative, row).as_signed()).shift_right(1)
