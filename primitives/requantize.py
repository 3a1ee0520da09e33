"""Requantization: from accumulators to output integers by a multiplier, a bias and a shift."""

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Const, Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib.data import ArrayLayout

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.constants import ConstantTable
from nn2rtl.primitives.multiply import LutMultiplier, lut_multiplier_latency
from nn2rtl.primitives.pipe import (
    Pipe,
    channel_rows,
    checked_range,
    named,
    register,
    shape_containing,
)
from nn2rtl.primitives.shift_add import constant_sum, constant_sum_depth

__all__ = ["Requantizer"]


def _constant(row: Sequence[int]) -> bool:
    return all(value == row[0] for value in row)


@dataclass(frozen=True)
class _Clip:
    """Comparisons that a lane needs, and its bounds."""

    low: int
    high: int
    below: int | None  # gives `low` below this
    above: int | None  # gives `high` above this


class Requantizer(Pipe):
    """``clip((acc * M[c] + B[c]) >> shift, low, high)`` for each lane; the shift rounds down.

    With `step`, D[c] is added before the shift where the shifted sum is `split` or more.

    Channel c is ``fold * lanes + lane``; the k-th beat since reset is in fold ``k % folds``.
    Registered stages are, as far as they are needed:

    1. The product. Where no lane's multiplier changes from fold to fold: shifts and additions,
       ``max(constant_sum_depth([M], B))`` cycles over the lanes, with the bias if that does not
       change either. Otherwise a multiplier in LUTs, `lut_multiplier_latency` cycles, or factor
       and product registers (`use_dsp`), 2 cycles.
    2. The bias, 1 cycle, where it is not in the product and not 0 throughout.
    3. The step, 1 cycle, where it is not 0 throughout.
    4. The limits, 1 cycle, where a result could exceed them, and always with `half_even`.

    There is 1 cycle if nothing is needed.

    Parameters
    ----------
    in_shape, out_shape : ShapeLike
        Shapes of accumulators and results.
    lanes : int
        Numbers in a beat.
    multiplier, bias : sequence of int
        M and B of each channel, or a single one for all.
    shift : int
        Bits to drop, at least 0.
    low, high : int
        Limits of the results; they fit into `out_shape`.
    in_range : (int, int) or None
        Least and greatest accumulator that occurs; narrows every stage.
    use_dsp : bool
        Leave multiplications by changing factors to the synthesiser, with registers such that it
        can use DSP blocks.
    half_even : bool
        Before the limits, clear the lowest bit of a result whose dropped bits are all 0. With half
        a step in the bias this is rounding to nearest, half to even.
    split : int
        Least shifted sum that gets a step.
    step : sequence of int
        D of each channel, or a single one for all: from 0 to ``2**shift - 1``.

    Attributes
    ----------
    latency : int
        See above.

    Members
    -------
    i : In(stream.Signature(ArrayLayout(in_shape, lanes), always_ready=True))
        Accumulators.
    o : Out(stream.Signature(ArrayLayout(out_shape, lanes), always_ready=True))
        Results.

    Raises
    ------
    TypeError
        If `lanes` is not an integer.
    ValueError
        If the numbers of channels do not go together, the limits are no range of `out_shape`,
        `in_range` is none of `in_shape`, `shift` is negative, or 0 with `half_even`, or a step is
        not as said or together with `half_even`.
    """

    def __init__(
        self,
        in_shape: ShapeLike,
        out_shape: ShapeLike,
        lanes: int,
        multiplier: Sequence[int],
        bias: Sequence[int],
        shift: int,
        low: int,
        high: int,
        *,
        in_range: tuple[int, int] | None = None,
        use_dsp: bool = False,
        half_even: bool = False,
        split: int = 0,
        step: Sequence[int] = (0,),
    ) -> None:
        check_positive("Requantizer", lanes=lanes)
        if shift < (1 if half_even else 0):
            raise ValueError(f"shift must be at least {int(half_even)}, not {shift!r}")
        if any(not 0 <= value < 1 << shift or (value and half_even) for value in step):
            raise ValueError(
                f"steps must be 0 to {(1 << shift) - 1}, and 0 with half_even, not {list(step)!r}"
            )
        checked_range(out_shape, (low, high))
        self.in_range = checked_range(in_shape, in_range)
        channels = max(len(multiplier), len(bias), len(step))
        channels = lanes if channels == 1 else channels
        self.multiplier = channel_rows(multiplier, lanes, channels)
        self.bias = channel_rows(bias, lanes, channels)
        self.step = channel_rows(step, lanes, channels)
        self.lanes = lanes
        self.out_shape = Shape.cast(out_shape)
        self.shift = shift
        self.use_dsp = use_dsp
        self.half_even = half_even
        self.split = split

        self.product_bounds = [self._bounds(row, [0] * len(row)) for row in self.multiplier]
        self.sum_bounds = [self._bounds(*rows) for rows in zip(self.multiplier, self.bias)]
        self.total_bounds = [
            (ends[0], ends[1] + max(row)) for ends, row in zip(self.sum_bounds, self.step)
        ]
        self.clips = [self._clip(bounds, low, high) for bounds in self.total_bounds]

        self._shift_add = all(_constant(row) for row in self.multiplier)
        fused = self._shift_add and all(_constant(row) for row in self.bias)
        biased = any(value for row in self.bias for value in row)
        self._bias_in_product = biased and fused
        self._bias_stage = biased and not fused
        self._step_stage = any(value for row in self.step for value in row)
        self._clip_stage = half_even or any(
            clip.below is not None or clip.above is not None for clip in self.clips
        )
        self.product_latency = self._product_latency()
        latency = self.product_latency + self._bias_stage + self._step_stage + self._clip_stage
        super().__init__(
            ArrayLayout(in_shape, lanes), ArrayLayout(out_shape, lanes), max(1, latency)
        )

    def _bounds(self, factors: Sequence[int], summands: Sequence[int]) -> tuple[int, int]:
        ends = [m * acc + b for m, b in zip(factors, summands) for acc in self.in_range]
        return min(ends), max(ends)

    def _clip(self, bounds: tuple[int, int], low: int, high: int) -> _Clip:
        least, greatest = bounds[0] >> self.shift, bounds[1] >> self.shift
        # Clearing the lowest bit can go below an odd `low` only from `low` itself, which then gives
        # `low` too; from above `high` it gives `high` at least. So no comparison needs the dropped
        # bits.
        below = low + 1 if self.half_even and low % 2 else low
        return _Clip(
            low, high, below if least < below else None, high if greatest > high else None
        )

    def _product_latency(self) -> int:
        if self._shift_add:
            return max(
                constant_sum_depth([factors[0]], bias[0] if self._bias_in_product else 0)
                for factors, bias in zip(self.multiplier, self.bias)
            )
        if self.use_dsp:
            return 2
        return lut_multiplier_latency(shape_containing(*self.in_range), self._factor_shape())

    def _factor_shape(self) -> Shape:
        factors = [factor for row in self.multiplier for factor in row]
        return shape_containing(min(factors), max(factors))

    @staticmethod
    def _table(m: Module, name: str, rows: list[list[int]], valid: Value) -> list[Signal]:
        """Constants of the beat that is there with `valid`, one for each lane."""
        values = [value for row in rows for value in row]
        shape = shape_containing(min(values), max(values))
        m.submodules[name] = table = ConstantTable(rows, shape)
        m.d.comb += table.next.eq(valid)
        return [
            named(m, table.value[lane], shape, f"{name}_{lane}") for lane in range(len(rows))
        ]

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valids = self._valid_chain(m)
        acc_shape = shape_containing(*self.in_range)
        values: list[Value] = [
            named(m, Value.cast(self.i.payload[lane]), acc_shape, f"acc_{lane}")
            for lane in range(self.lanes)
        ]
        if self._shift_add:
            values = self._constant_products(m, values)
        elif self.use_dsp:
            values = self._dsp_products(m, values, acc_shape, valids[0])
        else:
            values = self._lut_products(m, values, acc_shape, valids[0])

        if self._bias_stage:
            valid = valids[self.product_latency]
            biases = self._table(m, "bias", self.bias, valid)
            values = [
                register(m, value + bias, shape_containing(*bounds), f"biased_{lane}")
                for lane, (value, bias, bounds) in enumerate(zip(values, biases, self.sum_bounds))
            ]
        if self._step_stage:
            valid = valids[self.product_latency + self._bias_stage]
            steps = self._table(m, "step", self.step, valid)
            values = [self._stepped(m, *pair, lane) for lane, pair in enumerate(zip(values, steps))]
        if self._clip_stage:
            values = [self._clipped(m, value, lane) for lane, value in enumerate(values)]
        else:
            values = [value.shift_right(self.shift) for value in values]
            if not self.product_latency and not self._bias_stage and not self._step_stage:
                values = [
                    register(m, value, self.out_shape, f"out_{lane}")
                    for lane, value in enumerate(values)
                ]
        m.d.comb += [self.o.payload[lane].eq(value) for lane, value in enumerate(values)]
        return m

    def _constant_products(self, m: Module, values: list[Value]) -> list[Value]:
        return [
            constant_sum(
                m,
                [value],
                [self.in_range],
                [self.multiplier[lane][0]],
                self.bias[lane][0] if self._bias_in_product else 0,
                self.product_latency,
                f"product_{lane}",
            )
            for lane, value in enumerate(values)
        ]

    def _lut_products(
        self, m: Module, values: list[Value], acc_shape: Shape, valid: Value
    ) -> list[Value]:
        shape = self._factor_shape()
        factors = self._table(m, "multiplier", self.multiplier, valid)
        products: list[Value] = []
        for lane, value in enumerate(values):
            unit = LutMultiplier(acc_shape, shape)
            m.submodules[f"product_{lane}"] = unit
            m.d.comb += [
                unit.i.valid.eq(valid),
                unit.i.payload.a.eq(value),
                unit.i.payload.b.eq(factors[lane]),
            ]
            bounds = shape_containing(*self.product_bounds[lane])
            products.append(named(m, unit.o.payload, bounds, f"product_of_{lane}"))
        return products

    def _dsp_products(
        self, m: Module, values: list[Value], acc_shape: Shape, valid: Value
    ) -> list[Value]:
        shape = self._factor_shape()
        factors = self._table(m, "multiplier", self.multiplier, valid)
        products: list[Value] = []
        for lane, (value, factor) in enumerate(zip(values, factors)):
            a = register(m, value, acc_shape, f"a_{lane}")
            b = register(m, factor, shape, f"b_{lane}")
            bounds = shape_containing(*self.product_bounds[lane])
            products.append(register(m, a * b, bounds, f"product_{lane}"))
        return products

    def _stepped(self, m: Module, value: Value, step: Value, lane: int) -> Value:
        total = named(m, value, shape_containing(*self.sum_bounds[lane]), f"unstepped_{lane}")
        added = step & (total.shift_right(self.shift) >= self.split).replicate(len(step))
        shape = shape_containing(*self.total_bounds[lane])
        return register(m, total + added, shape, f"stepped_{lane}")

    def _clipped(self, m: Module, value: Value, lane: int) -> Value:
        bounds = self.total_bounds[lane]
        total = named(m, value, shape_containing(*bounds), f"sum_{lane}")
        shifted = shape_containing(bounds[0] >> self.shift, bounds[1] >> self.shift)
        result: Value = named(m, total.shift_right(self.shift), shifted, f"shifted_{lane}")
        clip = self.clips[lane]
        below = Const(0, 1) if clip.below is None else result < clip.below
        above = Const(0, 1) if clip.above is None else result > clip.above
        if self.half_even:
            dropped = total[: self.shift].any()
            result = result & Mux(dropped, -1, -2)
        chosen = Mux(above, clip.high, Mux(below, clip.low, result))
        return register(m, chosen, self.out_shape, f"out_{lane}")
