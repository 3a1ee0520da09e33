"""Product of two streams, element by element."""

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, ShapeLike, Value
from amaranth.lib.data import ArrayLayout, StructLayout

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.multiply import LutMultiplier, lut_multiplier_latency
from nn2rtl.primitives.pipe import Pipe, checked_range, named, register, shape_containing

__all__ = ["Product", "product_factors"]


def product_factors(
    ranges: Sequence[tuple[int, int]], offsets: Sequence[int]
) -> list[tuple[int, int]]:
    """Ranges of the factors: numbers in `ranges`, and the offsets added to them."""
    return [(low + offset, high + offset) for (low, high), offset in zip(ranges, offsets)]


class Product(Pipe):
    """``(a + offsets[0]) * (b + offsets[1])`` for each lane.

    Parameters
    ----------
    shapes : sequence of ShapeLike
        Shapes of the numbers of a and b.
    out_shape : ShapeLike
        Shape of the products. One is given modulo ``2**width``, so it is exact whenever it fits.
    lanes : int
        Products in a beat.
    offsets : sequence of int
        What is added to a and to b.
    in_ranges : sequence of (int, int) or None
        Least and greatest number of a, and of b; narrows the factors.
    use_dsp : bool
        Leave the products to the synthesiser, with registers such that it can use DSP blocks.
        Otherwise build them of LUTs.

    Attributes
    ----------
    latency : int
        With DSPs: 2 cycles, for factors and products. In LUTs: `lut_multiplier_latency` of the
        factors, and 1 cycle ahead if an offset is not 0.

    Members
    -------
    i : In(stream.Signature(StructLayout, always_ready=True))
        ``a``: ArrayLayout(shapes[0], lanes); ``b``: ArrayLayout(shapes[1], lanes).
    o : Out(stream.Signature(ArrayLayout(out_shape, lanes), always_ready=True))
        Products.

    Raises
    ------
    TypeError
        If `lanes` is not an integer.
    ValueError
        If `lanes` is less than 1, there are not two shapes and two offsets, or a range is none of
        its shape.
    """

    def __init__(
        self,
        shapes: Sequence[ShapeLike],
        out_shape: ShapeLike,
        lanes: int,
        offsets: Sequence[int] = (0, 0),
        *,
        in_ranges: Sequence[tuple[int, int] | None] = (None, None),
        use_dsp: bool = False,
    ) -> None:
        check_positive("Product", lanes=lanes)
        if len(shapes) != 2 or len(offsets) != 2:
            raise ValueError(f"need two shapes and two offsets, not {shapes!r} and {offsets!r}")
        self.ranges = [checked_range(*pair) for pair in zip(shapes, in_ranges, strict=True)]
        self.offsets = [int(offset) for offset in offsets]
        self.factors = [
            shape_containing(*ends) for ends in product_factors(self.ranges, self.offsets)
        ]
        self.out_shape = Shape.cast(out_shape)
        self.lanes = lanes
        self.use_dsp = use_dsp
        self.register_factors = use_dsp or any(self.offsets)
        layout = StructLayout(
            {name: ArrayLayout(shape, lanes) for name, shape in zip("ab", shapes)}
        )
        latency = int(self.register_factors)
        latency += 1 if use_dsp else lut_multiplier_latency(*self.factors)
        super().__init__(layout, ArrayLayout(out_shape, lanes), latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valids = self._valid_chain(m)
        keep = register if self.register_factors else named
        for lane in range(self.lanes):
            factors = []
            for name, ends, offset, shape in zip("ab", self.ranges, self.offsets, self.factors):
                number = Value.cast(self.i.payload[name][lane])
                number = named(m, number, shape_containing(*ends), f"{name}_{lane}")
                factors.append(keep(m, number + offset, shape, f"factor_{name}_{lane}"))
            a, b = factors
            if self.use_dsp:
                product: Value = register(m, a * b, self.out_shape, f"product_{lane}")
            else:
                m.submodules[f"product_{lane}"] = unit = LutMultiplier(*self.factors)
                m.d.comb += [
                    unit.i.valid.eq(valids[int(self.register_factors)]),
                    unit.i.payload.a.eq(a),
                    unit.i.payload.b.eq(b),
                ]
                product = unit.o.payload
            m.d.comb += self.o.payload[lane].eq(product)
        return m
