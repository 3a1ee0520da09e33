"""Quantizers of real networks, for every reachable accumulator, against rational arithmetic."""

from fractions import Fraction

import numpy as np
import pytest

import nn2rtl
from nn2rtl.design import integer_graph
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.model import Function, Rounding
from nn2rtl.options import InputType
from nn2rtl.passes.lower import lower
from nn2rtl.passes.requantize import requantizer

NAMES = {
    "digits_mlp": None,
    "digits_cnn": None,
    "tfc_1w1a": None,
    "tfc_1w2a": None,
    "tfc_2w2a": None,
    "jettagging": "int8:1/16",
    "kws_w3a3": None,
    "rn06": "uint8:1/256",
}


def rational(definition, channel, x):
    """The definition at integers x: exact, though mostly decided in float64.

    A float64 position is off by less than 1e-6 steps; only closer to a rounding boundary (or to
    zero, for a sign) does rational arithmetic decide.
    """
    chain, quantizer = definition.chain, definition.quantizer
    value = x.astype(np.float64)
    for step in chain:
        if isinstance(step, fn.AffineStep):
            value = value * float(fn.pick(step.scale, channel))
            value = value + float(fn.pick(step.offset, channel))
        else:
            assert step.function is Function.RELU
            value = np.maximum(value, 0)
    if isinstance(quantizer, fn.SignQuantizer):
        result, close = (value >= 0).astype(np.int64), np.abs(value) < 1e-6
    else:
        assert quantizer.rounding is Rounding.HALF_EVEN
        position = value / float(fn.pick(quantizer.scale, channel))
        position = position + float(fn.pick(quantizer.zero_point, channel))
        position = np.clip(position, quantizer.low - 1, quantizer.high + 1)
        rounded = np.rint(position)
        result = np.clip(rounded, quantizer.low, quantizer.high).astype(np.int64)
        close = np.abs(position - rounded) > 0.5 - 1e-6
    for index in np.flatnonzero(close):
        exact = fn.evaluate(chain, Fraction(int(x[index])), channel)
        result[index] = fn.quantize(quantizer, exact, channel)
    return result


def hardware(op, channel, x):
    """A step function's integer form, as the hardware computes it."""
    if isinstance(op, ig.Thresholds):
        row = op.values[channel % len(op.values)]
        reached = op.decreasing[channel % len(op.decreasing)]
        order = np.sort(row)
        if reached:
            return op.low + len(row) - np.searchsorted(order, x, side="left")
        return op.low + np.searchsorted(order, x, side="right")
    multiplier, bias = (v[channel % len(v)] for v in (op.multiplier, op.bias))
    total = x * multiplier + bias
    if op.step is not None:
        total += np.where(total >> op.shift >= op.split, op.step[channel % len(op.step)], 0)
    result = total >> op.shift
    if op.half_even:
        result = np.where(result << op.shift == total, result & ~1, result)
    return np.clip(result, op.low, op.high)


@pytest.mark.parametrize("name", NAMES)
def test_every_reachable_accumulator(real_model, name):
    model = real_model(name)
    net = nn2rtl.load(model.path)
    kind = NAMES[name]
    chosen = integer_graph(net, None if kind is None else InputType.parse(kind))
    quantizer = None
    if kind is not None:
        parsed = InputType.parse(kind)
        low = -(1 << (parsed.width - 1)) if parsed.signed else 0
        quantizer = fn.Quantizer(
            (parsed.scale,), (Fraction(0),), low, low + (1 << parsed.width) - 1, Rounding.HALF_EVEN
        )
    exact = lower(net, quantizer)
    checked = 0
    for node in exact:
        if not isinstance(node.op, ig.Thresholds):
            continue
        low, high = ig.ranges(exact, node.inputs[0])
        # Whether or not it is the cheaper form here: the multiplication is checked as well.
        forms = [chosen[node.name].op, requantizer(node.op, low, high, force=True)]
        for channel in range(len(node.op.values)):
            x = np.arange(low[channel], high[channel] + 1)
            if len(node.op.values) == 1:
                x = np.arange(low.min(), high.max() + 1)
            expected = rational(node.op.definition, channel, x)
            for form in forms:
                if form is not None:
                    np.testing.assert_array_equal(hardware(form, channel, x), expected)
            checked += len(x)
    assert checked > 100
