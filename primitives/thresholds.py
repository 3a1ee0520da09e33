"""Thresholds: the number of levels that an accumulator has reached, by binary search."""

from collections.abc import Sequence

from amaranth.hdl import Cat, Const, Module, Shape, ShapeLike, Value
from amaranth.lib.data import ArrayLayout
from amaranth.lib.memory import Memory

from nn2rtl.primitives._check import check_positive
from nn2rtl.primitives.constants import (
    MAX_LUT_WORDS,
    ConstantTable,
    FoldCounter,
    bit_patterns,
    select_word,
)
from nn2rtl.primitives.pipe import (
    Pipe,
    channel_rows,
    checked_range,
    named,
    register,
    shape_bounds,
    shape_containing,
)

__all__ = ["MAX_COMPARED_WORDS", "Thresholds"]

MAX_COMPARED_WORDS = 64
"""Most thresholds of a stage that are selected (a LUT6 a bit) and compared in one cycle."""


class Thresholds(Pipe):
    """``low`` plus the number of thresholds that an accumulator reaches, for each lane.

    ``acc`` reaches the threshold T where ``acc >= T``; in a decreasing channel where ``acc <= T``.
    Channel c is ``fold * lanes + lane``; the k-th beat since reset is in fold ``k % folds``.

    A binary search of ``n = bit_length(levels)`` stages, most significant bit first: stage k
    compares with one of ``folds * 2**k`` thresholds. It takes 1 cycle, or 2 if these are more than
    `MAX_COMPARED_WORDS`: then the threshold is fetched first, and from block RAM if they are more
    than `MAX_LUT_WORDS`.

    Parameters
    ----------
    in_shape, out_shape : ShapeLike
        Shapes of accumulators and results.
    lanes : int
        Numbers in a beat.
    thresholds : sequence of sequence of int
        For each channel its thresholds, not decreasing; equally many, at least one. A single list
        stands for all channels. They may be outside of the range of the accumulators.
    low : int
        Result where no threshold is reached.
    decreasing : sequence of bool
        Whether more thresholds are reached by less; one for each channel or for all.
    in_range : (int, int) or None
        Least and greatest accumulator that occurs; narrows the comparisons.

    Attributes
    ----------
    latency : int
        1 or 2 cycles for each stage, see above.

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
        If the numbers of channels do not go together, the thresholds are not as said, `in_range` is
        no range of `in_shape`, or a result does not fit into `out_shape`.
    """

    def __init__(
        self,
        in_shape: ShapeLike,
        out_shape: ShapeLike,
        lanes: int,
        thresholds: Sequence[Sequence[int]],
        low: int,
        decreasing: Sequence[bool],
        *,
        in_range: tuple[int, int] | None = None,
    ) -> None:
        check_positive("Thresholds", lanes=lanes)
        levels = len(thresholds[0]) if thresholds else 0
        if not levels or any(len(row) != levels for row in thresholds):
            raise ValueError(
                "channels must have equally many thresholds, at least one, "
                f"not {sorted({len(row) for row in thresholds})}"
            )
        for row in thresholds:
            if list(row) != sorted(row):
                raise ValueError(f"thresholds must not decrease, as in {list(row)!r}")
        checked_range(out_shape, (low, low + levels))
        self.in_range = checked_range(in_shape, in_range)
        self.acc_shape = shape_containing(*self.in_range)
        channels = max(len(thresholds), len(decreasing))
        channels = lanes if channels == 1 else channels
        self.decreasing = channel_rows([bool(flag) for flag in decreasing], lanes, channels)
        self.stages = levels.bit_length()
        self.rows = [
            [self._searchable(*pair) for pair in zip(rows, flags)]
            for rows, flags in zip(channel_rows(thresholds, lanes, channels), self.decreasing)
        ]
        self.folds = channels // lanes
        self.lanes = lanes
        self.low = low
        self.out_shape = Shape.cast(out_shape)
        latency = sum(1 + self._fetches(stage) for stage in range(self.stages))
        super().__init__(ArrayLayout(in_shape, lanes), ArrayLayout(out_shape, lanes), latency)

    def _fetches(self, stage: int) -> bool:
        return self.folds << stage > MAX_COMPARED_WORDS

    def _searchable(self, thresholds: Sequence[int], decreasing: bool) -> list[int]:
        """Thresholds for ``>=``, ``2**stages - 1`` of them, each one at most a step out of range.

        The accumulator of a decreasing channel is complemented, and so are its thresholds.
        """
        least, greatest = self.in_range
        found = list(thresholds)
        if decreasing:
            ends = sum(shape_bounds(self.acc_shape))
            least, greatest = ends - greatest, ends - least
            found = [ends - threshold for threshold in reversed(found)]
        never = greatest + 1
        found = [max(least, min(never, threshold)) for threshold in found]
        return found + [never] * ((1 << self.stages) - 1 - len(found))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        valids = self._valid_chain(m)
        m.submodules.decreasing = decreasing = ConstantTable(
            [[int(flag) for flag in row] for row in self.decreasing], 1
        )
        m.d.comb += decreasing.next.eq(valids[0])
        signed = self.acc_shape.signed
        accs: list[Value] = []
        for lane in range(self.lanes):
            acc = named(m, Value.cast(self.i.payload[lane]), self.acc_shape, f"acc_{lane}")
            flipped = acc.as_unsigned() ^ decreasing.value[lane].replicate(len(acc))
            accs.append(flipped.as_signed() if signed else flipped)
        found: list[Value] = [Const(0, 0)] * self.lanes

        cycle = 0
        for stage in range(self.stages):
            fold = self._fold(m, stage, valids[cycle])
            cycle += 1 + self._fetches(stage)
            for lane in range(self.lanes):
                name = f"{lane}_{stage}"
                threshold = self._threshold(m, stage, lane, Cat(found[lane], fold))
                if self._fetches(stage):
                    accs[lane] = register(m, accs[lane], self.acc_shape, f"fetched_acc_{name}")
                    if stage:
                        found[lane] = register(m, found[lane], stage, f"fetched_found_{name}")
                bits = Cat(accs[lane] >= threshold, found[lane])
                if stage < self.stages - 1:
                    accs[lane] = register(m, accs[lane], self.acc_shape, f"acc_{name}")
                    found[lane] = register(m, bits, stage + 1, f"found_{name}")
                else:
                    result = register(m, self.low + bits, self.out_shape, f"out_{lane}")
                    m.d.comb += self.o.payload[lane].eq(result)
        return m

    def _fold(self, m: Module, stage: int, valid: Value) -> Value:
        """Fold of the beat that comes to a stage, no bits if the thresholds do not depend on it."""
        if all(row == rows[0] for rows in self.rows for row in rows):
            return Const(0, 0)
        m.submodules[f"folds_{stage}"] = counter = FoldCounter(self.folds)
        m.d.comb += counter.next.eq(valid)
        return counter.fold

    def _threshold(self, m: Module, stage: int, lane: int, index: Value) -> Value:
        """Select a threshold by the bits found and the fold; fetch it, if the stage does."""
        stride = 1 << (self.stages - stage)
        values = [value for row in self.rows[lane] for value in row[stride // 2 - 1 :: stride]]
        values = values[: 1 << len(index)]
        shape = shape_containing(min(values), max(values))
        words = bit_patterns(values, shape)
        if all(word == words[0] for word in words):
            return Const(values[0], shape)
        name = f"threshold_{lane}_{stage}"
        if len(words) > MAX_LUT_WORDS:
            memory = Memory(
                shape=shape.width, depth=len(words), init=words, attrs={"rom_style": "block"}
            )
            m.submodules[name] = memory
            read = memory.read_port()
            m.d.comb += [read.en.eq(1), read.addr.eq(index)]
            return named(m, read.data, shape, name)
        selected = select_word(words, shape.width, named(m, index, len(index), f"{name}_index"))
        return (register if self._fetches(stage) else named)(m, selected, shape, name)
