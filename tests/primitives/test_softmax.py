# amaranth: UnusedElaboratable=no
"""Softmax hardware: results of the integer model, and the cycles of the schedule's rules."""

from fractions import Fraction

import numpy as np
import pytest
from amaranth.hdl import signed, unsigned

from nn2rtl.ir import integer as ig
from nn2rtl.ir import softmax
from nn2rtl.ir.model import Rounding
from nn2rtl.primitives.pipe import shape_bounds
from nn2rtl.primitives.softmax import Softmax

ROUNDINGS = {
    "half_even": {"rounding": Rounding.HALF_EVEN, "zero_after": True},
    "half_odd": {"rounding": Rounding.HALF_EVEN, "zero_after": False},
    "half_up": {"rounding": Rounding.HALF_UP},
    "half_down": {"rounding": Rounding.HALF_DOWN},
    "floor": {"rounding": Rounding.FLOOR},
}


def build(op, channels, in_shape, out_shape, rounding, slots=2, depth=4, in_range=None):
    return Softmax(
        in_shape, out_shape, channels, op.numerators.tolist(), op.denominators.tolist(),
        op.zero, op.low, op.high, rounding=rounding, slots=slots, depth=depth, in_range=in_range,
    )  # fmt: skip


def kernel():
    tables = softmax.kernel_tables(1242899200, 24, -124, 255)
    return ig.Softmax(*tables, -128, -128, 127, ig.Division.RECIPROCAL)


def vectors(count, channels, low, high, seed=0):
    rng = np.random.default_rng(seed)
    spans = [(low, high), (high - 3, high), (low, low), (low, low + (high - low) // 3)]
    rows = [rng.integers(*spans[k % 4], channels, endpoint=True) for k in range(count)]
    rows[0][0], rows[0][-1] = low, high
    return np.array(rows)


def expected_times(dut, entered):
    """Cycle of each result by the rules in the documentation, for outputs that never wait."""
    n, slots = dut.channels, dut.slots
    previous_sum = previous_result = -1
    frees, results = [], []
    for vector in range(len(entered) // n):
        first, last = entered[vector * n], entered[vector * n + n - 1]
        if vector >= slots:
            assert first > frees[vector - slots]
        sum_ends = max(last + 1, previous_sum + 1) + n - 1
        begin = max(sum_ends + dut.sum_latency, previous_result + 1)
        previous_sum = sum_ends
        previous_result = begin + dut.division_steps + n - 1
        frees.append(previous_result)
        results += range(previous_result - n + 1, previous_result + 1)
    return [t + dut.pipe_latency + dut.fifo_latency for t in results]


CASES = [
    # operand, channels, step, zero, results, slots, rounding
    (signed(8), 5, Fraction(1, 256), -128, (-128, 127), 2, "half_even"),
    (unsigned(4), 3, Fraction(1, 100), 0, (0, 63), 4, "half_up"),
    (unsigned(4), 16, Fraction(1, 8), 0, (0, 7), 2, "half_even"),
    (signed(4), 32, Fraction(1, 16), 1, (-4, 7), 2, "half_odd"),
    (unsigned(10), 2, Fraction(1, 255), 3, (0, 255), 8, "half_down"),
    (signed(3), 1, Fraction(1, 15), 0, (0, 15), 2, "floor"),
    (signed(12), 7, Fraction(1, 65535), -32768, (-32768, 32767), 2, "half_even"),
]


@pytest.mark.parametrize(
    ("shape", "channels", "step", "zero", "results", "slots", "rounding"), CASES
)
def test_exact_division(
    stream_bench, unpack, shape, channels, step, zero, results, slots, rounding
):
    low, high = shape_bounds(shape)
    tables = softmax.exact_tables(Fraction(1, 7), step, channels, high - low)
    op = ig.Softmax(*tables, zero, *results, **ROUNDINGS[rounding])
    dut = build(op, channels, shape, signed(17), rounding, slots)
    rows = vectors(12, channels, low, high)
    mask = (1 << shape.width) - 1
    result = stream_bench(
        dut, {"i": [int(v) & mask for v in rows.ravel()]}, {"o": rows.size}, idle=0.2,
        backpressure=0.3,
    )  # fmt: skip
    got = [unpack(v, 1, 17, True)[0] for v in result.data["o"]]
    assert got == softmax.evaluate(op, rows).ravel().tolist()


@pytest.mark.parametrize("channels", [12, 2])
def test_kernel_of_tensorflow_lite(stream_bench, unpack, channels):
    op = kernel()
    rows = vectors(8, channels, -128, 127)
    dut = build(op, channels, signed(8), signed(8), None)
    result = stream_bench(
        dut, {"i": [int(v) & 255 for v in rows.ravel()]}, {"o": rows.size}, idle=0.2,
        backpressure=0.3,
    )  # fmt: skip
    got = [unpack(v, 1, 8, True)[0] for v in result.data["o"]]
    assert got == softmax.evaluate(op, rows).ravel().tolist()


@pytest.mark.parametrize("rounding", ["half_even", None])
@pytest.mark.parametrize(
    ("channels", "slots", "idle"),
    [(1, 2, 0), (3, 2, 0.5), (3, 16, 0), (10, 2, 0), (10, 2, 0.7), (40, 4, 0.1)],
)
def test_cycles(stream_bench, rounding, channels, slots, idle):
    op = kernel()
    if rounding:
        tables = softmax.exact_tables(Fraction(1, 9), Fraction(1, 256), channels, 255)
        op = ig.Softmax(*tables, -128, -128, 127)
    dut = build(op, channels, signed(8), signed(8), rounding, slots, depth=64)
    rows = vectors(7, channels, -128, 127)
    result = stream_bench(
        dut, {"i": [int(v) & 255 for v in rows.ravel()]}, {"o": rows.size}, idle=idle
    )
    assert result.time["o"] == expected_times(dut, result.time["i"])
    if not idle and slots == 16 and rounding:
        # Enough slots for one element a cycle.
        assert result.time["o"][-1] - result.time["o"][0] == rows.size - 1


def test_bad_arguments():
    def make(numerators=(4, 2), denominators=(4, 2), channels=3, rounding="half_up", slots=2):
        Softmax(8, 8, channels, numerators, denominators, 0, 0, 255, rounding=rounding,
                slots=slots, depth=2)  # fmt: skip

    make()
    with pytest.raises(ValueError, match="power of two of at least 2, not 3"):
        make(slots=3)
    with pytest.raises(ValueError, match="not 1 and 2"):
        make(numerators=(4,))
    with pytest.raises(ValueError, match="greatest at 0"):
        make(denominators=(2, 4))
    with pytest.raises(ValueError, match="below 2\\^31"):
        make(numerators=(1 << 31, 0), rounding=None)
    with pytest.raises(ValueError, match="no rounding 'up'"):
        make(rounding="up")
    with pytest.raises(ValueError, match="channels must be at least 1"):
        make(channels=0)
