# amaranth: UnusedElaboratable=no
"""Divider against Python's fractions."""

import random
from fractions import Fraction
from math import floor

import pytest

from nn2rtl.primitives.divide import Divider

SIZES = [
    (1000, 3, 40), (255 << 8, 256, 700), (5, 7, 100), (1, 1, 1), ((1 << 20) - 1, 1 << 12, 1 << 14)
]  # fmt: skip


def rounded(value, rounding):
    whole = floor(value)
    rest = value - whole
    if rounding == "floor" or rest < Fraction(1, 2):
        return whole
    if rest > Fraction(1, 2) or rounding == "half_up":
        return whole + 1
    if rounding == "half_down":
        return whole
    return whole + (whole % 2 == (rounding == "half_even"))


@pytest.mark.parametrize(("most", "least_total", "most_total"), SIZES)
@pytest.mark.parametrize("rounding", ["half_even", "half_odd", "half_up", "half_down", "floor"])
def test_divider(stream_bench, most, least_total, most_total, rounding):
    rng = random.Random(most)
    pairs = [(n, t) for n in (0, 1, most) for t in (least_total, most_total)]
    for _ in range(150):
        total = rng.randint(least_total, most_total)
        tie = (2 * rng.randrange(1 + most // total) + 1) * total // 2
        pairs.append((min(most, rng.choice((rng.randint(0, most), tie, tie + 1))), total))
    dut = Divider(most, least_total, most_total, rounding)
    width = most.bit_length()
    result = stream_bench(
        dut, {"i": [n | t << width for n, t in pairs]}, {"o": len(pairs)}, idle=0.2
    )
    assert result.data["o"] == [rounded(Fraction(n, t), rounding) for n, t in pairs]
    assert max(result.data["o"]) <= dut.max_quotient
    assert result.time["o"] == [t + dut.latency for t in result.time["i"]]
    assert dut.latency == dut.bits + 1


def test_bad_arguments():
    with pytest.raises(ValueError, match="must be a range, not 5 to 4"):
        Divider(3, 5, 4)
    with pytest.raises(ValueError, match="min_total must be at least 1, not 0"):
        Divider(3, 0, 4)
    with pytest.raises(ValueError, match="not 'up'"):
        Divider(3, 1, 4, "up")
