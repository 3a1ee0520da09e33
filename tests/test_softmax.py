"""Softmax in networks: hardware equals the model, to the cycle; what is refused."""

from fractions import Fraction

import numpy as np
import pytest
from model_executor import run_graph
from networks import Network, check_hardware

from nn2rtl.build import check_simulation
from nn2rtl.design import Emulator, integer_graph
from nn2rtl.errors import UnsupportedError
from nn2rtl.frontend import tflite_fixed_point
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model, softmax
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.types import exact_array
from nn2rtl.plan.stages import SoftmaxStage
from nn2rtl.simulation import Stalls


class Tail(Network):
    """A network that ends in softmax."""

    def softmax(self, axis=-1):
        return self.append("softmax", model.Softmax(axis % len(self.shape)), self.shape)

    def quantized(self, step, low, high, zero=0, rounding=Rounding.HALF_EVEN, after=True):
        op = model.Quantize(exact_array(step), exact_array(zero), low, high, rounding, after)
        return self.append("probabilities", op, self.shape)

    def transpose(self, *permutation):
        shape = tuple(self.shape[axis] for axis in permutation)
        return self.append("transpose", model.Transpose(permutation), shape)

    def fixed_point(self, scale, beta=1.0):
        prepared = tflite_fixed_point.softmax(beta, float(scale))
        op = model.FixedPointSoftmax(
            scale, Fraction(0), prepared.multiplier, prepared.left_shift, prepared.diff_min
        )
        return self.append("softmax", op, self.shape)


NETWORKS = {
    "vector": lambda: (
        Tail((12,), 4).dense(10).quantize(8, signed=True, scale=Fraction(1, 8))
        .softmax().quantized(Fraction(1, 256), -128, 127, -128)
    ),
    "positions": lambda: (
        Tail((3, 6, 5), 1).conv(4, 3, pad=1).quantize(5, signed=True)
        .softmax(0).quantized(Fraction(1, 16), 0, 15, after=False).conv(3, 2)
    ),
}  # fmt: skip
OTHERS = {
    "transposed": lambda: (
        Tail((4, 5), 2).transpose(1, 0).softmax(0).quantized(Fraction(1, 100), 0, 255)
        .transpose(1, 0)
    ),
    "across the stream": lambda: (
        Tail((3, 4, 6), 5).conv(2, 1).quantize(6, signed=False)
        .softmax(2).quantized(Fraction(1, 64), -8, 55, -8, Rounding.HALF_AWAY)
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name):
    design = NETWORKS[name]().done()
    check_hardware(design)
    (stage,) = (s for s in design.planned.plan.stages if isinstance(s, SoftmaxStage))
    assert (stage.slots == 2) == (name == "vector")


@pytest.mark.parametrize("name", OTHERS)
def test_emulation(name):
    net = OTHERS[name]()
    net.graph.outputs = [net.name]
    graph = integer_graph(net.graph)
    x = np.random.default_rng(7).normal(scale=1.5, size=(50, *graph.spec()[0].shape))
    assert np.array_equal(Emulator(graph).emulate(x), run_graph(net.graph, x))
    # Only elements that do not follow each other in the stream have to be moved.
    assert any(isinstance(node.op, ig.Gather) for node in graph) == (name == "across the stream")


def test_fixed_point_network():
    scale = Fraction(1, 8)
    net = Tail((12,), 3).dense(10).quantize(8, signed=True, scale=scale).fixed_point(scale)
    design = net.done()
    x = np.random.default_rng(1).normal(scale=1.5, size=(20, 12))
    ahead = Tail((12,), 3).dense(10).quantize(8, signed=True, scale=scale)
    ahead.graph.outputs = [ahead.name]
    logits = Emulator(integer_graph(ahead.graph)).emulate(x, raw=True)
    op = next(node.op for node in design.graph if isinstance(node.op, ig.Softmax))
    assert op.division is ig.Division.RECIPROCAL
    wanted = softmax.evaluate(op, logits)
    assert np.array_equal(design.emulate(x, raw=True), wanted)
    assert np.array_equal(design.emulate(x), (wanted + 128) / 256)
    assert np.abs(design.emulate(x).sum(axis=1) - 1).max() < 0.03
    run = design.simulate(x)
    assert run.mismatches == 0
    check_simulation(design, run)
    assert design.simulate(x, stalls=Stalls(idle=0.2, backpressure=0.5, seed=3)).mismatches == 0


def test_float_softmax_is_left_to_the_host():
    design = Tail((12,), 4).dense(10).quantize(8, signed=True).softmax().done()
    assert not any(isinstance(node.op, ig.Softmax) for node in design.graph)
    assert np.allclose(design.emulate(np.ones((3, 12))).sum(axis=1), 1)


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (lambda: Tail((999,)).dense(3).quantize(13, signed=True).softmax().quantized(1, 0, 3),
         "softmax of integers of 13 bits"),
        (lambda: Tail((4,)).dense(3).quantize(5, signed=True).norm().softmax().quantized(1, 0, 3),
         "has a scale for each channel"),
        (lambda: Tail((4,)).dense(3).quantize(5, signed=True).softmax()
         .quantized([1, 2, 3], 0, 3), "several scales"),
        (lambda: Tail((4,)).softmax().quantized(1, 0, 3, Fraction(1, 2)), "zero point 0.5"),
        (lambda: Tail((4,)).softmax().quantized(Fraction(1, 1 << 30), 0, 3), "scale 9.3"),
        (lambda: Tail((4,)).softmax().quantized(1, 0, 3, rounding=Rounding.CEIL), "rounding ceil"),
        (lambda: Tail((4,)).softmax().norm(), "Affine after a softmax"),
        (lambda: Tail((4,)).fixed_point(Fraction(1, 3)), "scale 0.25, not 0.333"),
        (lambda: Tail((4096,)).fixed_point(Fraction(1, 4)), "over 4096 elements"),
    ],
)  # fmt: skip
def test_refusals(net, message):
    graph = net()
    graph.graph.outputs = [graph.name]
    with pytest.raises(UnsupportedError, match=message) as caught:
        integer_graph(graph.graph)
    assert caught.value.remedy
