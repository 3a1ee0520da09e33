"""Packed products as plain integers: fields hold what they should, for all operands."""

import numpy as np
import pytest

from nn2rtl.primitives.packing import MAX_CHAIN, Packing, plan_packing

BYTE, NARROW, UNSIGNED = (-128, 127), (-127, 127), (0, 255)
NIBBLE, UNSIGNED_NIBBLE = (-8, 7), (0, 15)


@pytest.mark.parametrize(
    ("act", "weight", "sharing", "packing"),
    [
        (BYTE, NARROW, 2, Packing(2, 17, 4, False)),
        (BYTE, NARROW, 7, Packing(2, 17, 4, False)),
        (BYTE, BYTE, 2, Packing(2, 16, 2, True)),
        (UNSIGNED, NARROW, 2, Packing(2, 17, 2, False)),
        (UNSIGNED, BYTE, 2, Packing(2, 16, 1, False)),
        (BYTE, BYTE, 1, Packing(1, 0, 4, False)),
        (NIBBLE, NIBBLE, 3, Packing(3, 10, 4, False)),
        (UNSIGNED_NIBBLE, NIBBLE, 4, Packing(2, 20, 4, False)),  # twice two
        (UNSIGNED_NIBBLE, NIBBLE, 9, Packing(3, 10, 4, False)),
        (UNSIGNED_NIBBLE, (-2, 1), 4, Packing(4, 7, 2, False)),
        ((-32768, 32767), BYTE, 8, Packing(1, 0, 4, False)),
        ((0, (1 << 18) - 1), BYTE, 8, Packing(1, 0, 4, False)),  # by the long port
        ((0, (1 << 18) - 1), (-(1 << 19), 1 << 19), 8, None),
    ],
)
def test_plans(act, weight, sharing, packing):
    assert plan_packing(act, weight, sharing) == packing


def decoded(packing, total, width):
    """What the hardware takes from a slice's result: the highest field is not biased."""
    fields = []
    for i in range(packing.count):
        field = total >> packing.distance * i & (1 << width) - 1
        if i < packing.count - 1 and width == packing.distance:
            field ^= 1 << width - 1
        fields.append(field - ((field >> width - 1) << width))
    return fields


def check(packing, acts, weights):
    """Sums of products (axis 0: terms; each of them an array) through one packed number."""
    total = packing.bias
    for act, row in zip(acts, weights, strict=True):
        word = sum(w << packing.distance * i for i, w in enumerate(row))
        assert np.min(word) >= -(1 << 24) and np.max(word) < 1 << 24
        total = total + (-1 if packing.negative else 1) * word * act
    exact = [
        sum(act * row[i] for act, row in zip(acts, weights, strict=True))
        for i in range(packing.count)
    ]
    width = packing.distance
    for field, sums in zip(decoded(packing, total, width), exact, strict=True):
        assert np.array_equal(-field if packing.negative else field, sums)


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
    packing = Packing(2, 17, 4, False)
    assert packing.chains(10) == [4, 4, 2]
    assert [packing.levels(lanes) for lanes in (1, 2, 3, 9)] == [1, 1, 2, 2]
