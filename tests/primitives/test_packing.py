"""Packed products as plain integers: fields hold what they should, for all operands."""

import numpy as np
import pytest

from nn2rtl.primitives.packing import MAX_CHAIN, Packing, plan_packing

BYTE, NARROW, UNSIGNED = (-128, 127), (-127, 127), (0, 255)
NIBBLE, UNSIGNED_NIBBLE = (-8, 7), (0, 15)


@pytest.mark.parametrize(
    ("act", "weight", "sharing", "packing"),
    [
        (BYTE, NARROW, 2, Packing(2, 17, 4, 0)),
        (BYTE, NARROW, 7, Packing(2, 17, 4, 0)),
        (BYTE, BYTE, 2, Packing(2, 16, 2, 1)),
        (UNSIGNED, NARROW, 2, Packing(2, 17, 2, 0)),
        (UNSIGNED, BYTE, 2, Packing(2, 16, 1, 0)),
        (BYTE, BYTE, 1, Packing(1, 0, 4, 0)),
        (NIBBLE, NIBBLE, 3, Packing(3, 10, 4, 0)),
        (UNSIGNED_NIBBLE, NIBBLE, 4, Packing(2, 20, 4, 0)),  # twice two
        (UNSIGNED_NIBBLE, NIBBLE, 9, Packing(3, 10, 4, 0)),
        (UNSIGNED_NIBBLE, (-2, 1), 4, Packing(4, 7, 2, 0)),
        ((-32768, 32767), BYTE, 8, Packing(1, 0, 4, 0)),
        ((0, (1 << 18) - 1), BYTE, 8, Packing(1, 0, 4, 0)),  # by the long port
        ((0, (1 << 18) - 1), (-(1 << 19), 1 << 19), 8, None),
    ],
)
def test_plans(act, weight, sharing, packing):
    assert plan_packing(act, weight, sharing) == packing


def decoded(packing, total):
    """What the hardware takes from a slice's result: the highest field is not biased."""
    half, mask = 1 << packing.distance - 1, (1 << packing.distance) - 1
    low = [
        (total >> packing.distance * i & mask) - half + packing.less
        for i in range(packing.count - 1)
    ]
    return [*low, total >> packing.distance * (packing.count - 1)]


def check(packing, acts, weights):
    """Sums of products (axis 0: terms; each of them an array) through one packed number."""
    total = packing.bias
    for act, row in zip(acts, weights, strict=True):
        word = sum(w << packing.distance * i for i, w in enumerate(row))
        assert np.min(word) >= -(1 << 24) and np.max(word) < 1 << 24
        total = total + word * act
    exact = [
        sum(act * row[i] for act, row in zip(acts, weights, strict=True))
        for i in range(packing.count)
    ]
    assert np.array_equal(decoded(packing, total), exact)


@pytest.mark.parametrize("act", [BYTE, UNSIGNED])
@pytest.mark.parametrize("weight", [BYTE, NARROW])
def test_every_pair_of_bytes(act, weight):
    """All activations with all low weights, for several high ones, and the same in all terms."""
    packing = plan_packing(act, weight, 2)
    a, low = np.meshgrid(np.arange(act[0], act[1] + 1), np.arange(weight[0], weight[1] + 1))
    for high in (weight[0], -1, 0, 1, 77, weight[1]):
        for terms in range(1, packing.terms + 1):
            check(packing, [a] * terms, [(low, np.full_like(low, high))] * terms)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("abits", range(1, 9))
@pytest.mark.parametrize("wbits", range(2, 9))
def test_extremes_and_random_operands(abits, wbits, signed):
    act = (-(1 << abits - 1), (1 << abits - 1) - 1) if signed else (0, (1 << abits) - 1)
    rng = np.random.default_rng(abits * 10 + wbits)
    for low in (-(1 << wbits - 1), 1 - (1 << wbits - 1)):
        weight = low, (1 << wbits - 1) - 1
        for sharing in (2, 3, 4):
            packing = plan_packing(act, weight, sharing)
            assert 1 <= packing.terms <= MAX_CHAIN
            for spread in (True, False):
                def draw(bounds, spread=spread):
                    ends = rng.choice(bounds, 500)
                    return np.where(spread, ends, rng.integers(*bounds, 500, endpoint=True))

                acts = [draw(act) for _ in range(packing.terms)]
                rows = [[draw(weight) for _ in range(packing.count)] for _ in acts]
                if packing.count > 1:
                    check(packing, acts, rows)
                    check(packing, [acts[0]] * packing.terms, [rows[0]] * packing.terms)


def test_chains():
    packing = Packing(2, 17, 4, 0)
    assert packing.chains(10) == [4, 4, 2]
    assert [packing.levels(lanes) for lanes in (1, 2, 3, 9)] == [1, 1, 2, 2]
