# amaranth: UnusedElaboratable=no
"""Weighted sums against plain integers."""

from itertools import product

import pytest
from amaranth.hdl import signed, unsigned

from nn2rtl.primitives.credits import CreditedPipe
from nn2rtl.primitives.pipe import shape_bounds
from nn2rtl.primitives.weighted_sum import WeightedSum


@pytest.mark.parametrize("depth", [0, 3])
@pytest.mark.parametrize(
    ("weights", "latency"),
    [((1, 1), 1), ((1, -1), 1), ((0, 1), 1), ((0, 0), 1), ((-4, -1), 1), ((3, 5), 2), ((4, -7), 2),
     ((85, -11), 3), ((0, -1), 1), ((-1, 0), 1)],
)  # fmt: skip
@pytest.mark.parametrize("shapes", [(signed(3), signed(3)), (unsigned(2), signed(4))])
def test_every_pair(stream_bench, pack, unpack, shapes, weights, latency, depth):
    a, b = shapes
    pairs = list(product(*(range(low, high + 1) for low, high in map(shape_bounds, shapes))))
    beats = [(pairs[k], pairs[-1 - k]) for k in range(len(pairs))]
    words = [
        pack([beat[0][0], beat[1][0]], a.width)
        | pack([beat[0][1], beat[1][1]], b.width) << 2 * a.width
        for beat in beats
    ]
    pipe = WeightedSum(shapes, signed(12), 2, weights)
    assert pipe.latency == latency
    dut = CreditedPipe(pipe, depth) if depth else pipe
    run = stream_bench(dut, {"i": words}, {"o": len(words)}, idle=0.2,
                       backpressure=0.4 if depth else 0)  # fmt: skip
    assert [unpack(word, 2, 12, True) for word in run.data["o"]] == [
        [weights[0] * p + weights[1] * q for p, q in beat] for beat in beats
    ]
    if not depth:
        assert run.time["o"] == [cycle + latency for cycle in run.time["i"]]


def test_sums_that_fit_are_exact(stream_bench, pack):
    """Numbers within 0 to 8 and 0 to 7 need a bit less than all numbers of their shapes."""
    pairs = list(product(range(9), range(8)))
    dut = WeightedSum([unsigned(4), unsigned(3)], unsigned(4), 1, [1, 1])
    run = stream_bench(dut, {"i": [p | q << 4 for p, q in pairs]}, {"o": len(pairs)})
    assert run.data["o"] == [p + q for p, q in pairs]


def test_refusals():
    with pytest.raises(ValueError, match="lanes"):
        WeightedSum((signed(3), signed(3)), signed(4), 0, (1, 1))
    with pytest.raises(ValueError, match="two weights"):
        WeightedSum((signed(3), signed(3)), signed(4), 1, (1, 1, 1))
    with pytest.raises(ValueError, match="two shapes"):
        WeightedSum((signed(3),), signed(4), 1, (1, 1))
