"""Sum of two streams with constant weights: residual connections of different scales."""

from collections.abc import Sequence

from amaranth.hdl import Module, Shape, ShapeLike, Value
from amaranth.lib.data import ArrayLayout, StructLayout

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.pipe import Pipe, shape_bounds
from nn2rtl.primitives.shift_add import constant_sum, constant_sum_depth

__all__ = ["WeightedSum"]


class WeightedSum(Pipe):
    """``weights[0] * a + weights[1] * b`` for each lane, by shifts and additions.

    Parameters
    ----------
    shapes : sequence of ShapeLike
        Shapes of the numbers of a and b.
    out_shape : ShapeLike
        Shape of the sums. It may be too narrow for some numbers of these shapes: a sum is given
        modulo ``2**width``, so it is exact whenever it fits.
    lanes : int
        Sums in a beat.
    weights : sequence of int
        Weights of a and b.

    Attributes
    ----------
    latency : int
        ``max(1, ceil(log2(d)))`` with the d nonzero canonical signed digits of both weights.

    Members
    -------
    i : In(stream.Signature(StructLayout, always_ready=True))
        ``a``: ArrayLayout(shapes[0], lanes); ``b``: ArrayLayout(shapes[1], lanes).
    o : Out(stream.Signature(ArrayLayout(out_shape, lanes), always_ready=True))
        Sums.

    Raises
    ------
    TypeError
        If `lanes` is not an integer.
    ValueError
        If `lanes` is less than 1, or there are not two shapes and two weights.
    """

    def __init__(
        self,
        shapes: Sequence[ShapeLike],
        out_shape: ShapeLike,
        lanes: int,
        weights: Sequence[int],
    ) -> None:
        check_positive("WeightedSum", lanes=lanes)
        if len(shapes) != 2 or len(weights) != 2:
            raise ValueError(f"need two shapes and two weights, not {shapes!r} and {weights!r}")
        self.bounds = [shape_bounds(shape) for shape in shapes]
        self.weights = [int(weight) for weight in weights]
        self.out_shape = Shape.cast(out_shape)
        self.lanes = lanes
        layout = StructLayout(
            {name: ArrayLayout(shape, lanes) for name, shape in zip("ab", shapes)}
        )
        latency = max(1, constant_sum_depth(self.weights))
        super().__init__(layout, ArrayLayout(out_shape, lanes), latency)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        self._valid_chain(m)
        for lane in range(self.lanes):
            values = [Value.cast(self.i.payload[name][lane]) for name in "ab"]
            total = constant_sum(
                m, values, self.bounds, self.weights, 0, self.latency, f"sum_{lane}"
            )
            m.d.comb += self.o.payload[lane].eq(total)
        return m
