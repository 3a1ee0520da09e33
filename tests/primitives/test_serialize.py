# amaranth: UnusedElaboratable=no
"""Serialisation: order and cycle of each narrow beat."""

import random
from itertools import accumulate

import pytest
from amaranth.hdl import signed

from nn2rtl.primitives.serialize import Serializer, serializer_levels


@pytest.mark.parametrize(
    ("lanes", "ratio"), [(1, 2), (3, 3), (1, 4), (2, 5), (1, 16), (1, 17), (2, 20), (1, 67)]
)
@pytest.mark.parametrize("tight", [True, False])
def test_beats_follow_each_other(stream_bench, pack, unpack, lanes, ratio, tight):
    rng = random.Random(ratio)
    wide = [[rng.randint(-8, 7) for _ in range(lanes * ratio)] for _ in range(5)]
    dut = Serializer(signed(4), lanes, ratio)
    # A beat comes when the one before it has left, or after some more cycles.
    gaps = [ratio + (0 if tight else rng.randint(0, 3)) for _ in wide]
    begins = [0, *accumulate(gaps[1:])]
    run = stream_bench(dut, {"i": [pack(beat, 4) for beat in wide]}, {"o": len(wide) * ratio},
                       idle=lambda cycle: cycle not in begins)
    assert run.time["i"] == begins
    assert run.time["o"] == [t + dut.latency + j for t in begins for j in range(ratio)]
    narrow = [beat[k : k + lanes] for beat in wide for k in range(0, lanes * ratio, lanes)]
    assert [unpack(word, lanes, 4, True) for word in run.data["o"]] == narrow


def test_levels():
    levels = {2: 1, 4: 1, 5: 2, 16: 2, 17: 3, 64: 3, 65: 4}
    assert {ratio: serializer_levels(ratio) for ratio in levels} == levels


def test_refusals():
    with pytest.raises(ValueError, match="at least 2"):
        Serializer(signed(4), 1, 1)
    with pytest.raises(ValueError, match="lanes"):
        Serializer(signed(4), 0, 2)
