"""One small network for each kind of layer: emulation equals the model, hardware equals both."""

from fractions import Fraction

import numpy as np
import pytest
from model_executor import run_graph
from networks import Network, check_hardware

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import model
from nn2rtl.ir.types import IntType, QuantizedConstant, exact_array

FINE = Fraction(1, 16)


class Layers(Network):
    """Networks with the less usual layers."""

    def transposed(self, kernel, stride, pad, extra=0, groups=1):
        values = self.rng.integers(-3, 4, (4, 6 // groups, kernel, kernel))
        one = exact_array(Fraction(1, 8)), exact_array(0)
        weight = QuantizedConstant(values, *one, IntType(-3, 3))
        size = [(n - 1) * stride + kernel - 2 * pad + extra for n in self.shape[1:]]
        op = model.ConvTranspose(
            weight, exact_array(np.arange(6)) / 8, (stride,) * 2, (pad,) * 4, (1, 1), groups,
            (extra,) * 2,
        )
        return self.append("up", op, (6, *size)).signed(6)

    def signed(self, bits, scale=Fraction(1, 4)):
        return self.quantize(bits, signed=True, scale=scale)

    def times(self, other, name="times"):
        return self.append(name, model.Mul(), self.shape, other)

    def gate(self, function):
        """x times a function of x."""
        whole = self.name
        return self.apply(function).times(whole)

    def pick(self, index):
        return self.append("pick", model.Gather(np.ascontiguousarray(index)), index.shape)

    @property
    def index(self):
        return np.arange(np.prod(self.shape)).reshape(self.shape)

    def join(self, other, axis, shape):
        sizes = list(self.shape)
        sizes[axis] += shape[axis]
        return self.append("join", model.Concat(axis), sizes, other)

    def mean(self, pads, counted):
        op = model.AveragePool((3, 3), (1, 1), pads, counted)
        height = self.shape[1] + pads[0] + pads[2] - 2
        width = self.shape[2] + pads[1] + pads[3] - 2
        return self.append("mean", op, (self.shape[0], height, width))


def small(seed=0):
    return Layers((4, 5, 4), seed)


def activated(seed=0):
    return small(seed).conv(4, 1).signed(4)


def joined(axis):
    net = small()
    other, shape = net.name, net.shape
    net.conv(4, 1).signed(4, Fraction(1, 2))
    return net.join(other, axis, shape).signed(6).conv(3, 3).signed(6)


def excited():
    """Squeeze and excite: channels are scaled by a function of their means."""
    net = small().conv(6, 3, pad=1).signed(5)
    whole, shape = net.name, net.shape
    net.pool(model.AveragePool, 5, 1) if shape[1] == shape[2] else net.append(
        "mean", model.AveragePool(shape[1:], (1, 1), (0,) * 4), (6, 1, 1)
    )
    net.signed(5).flatten().dense(6).apply(model.Function.SIGMOID)
    net.quantize(4, signed=False, scale=FINE).append("back", model.Reshape(), (6, 1, 1))
    net.pick(np.broadcast_to(net.index, shape)).times(whole)
    return net.signed(6).conv(3, 1).signed(6)


def u_net():
    net = small().conv(4, 3, pad=1).quantize(4, signed=False)
    skip, shape = net.name, net.shape
    net.pool(model.MaxPool, 2, 1).conv(5, 2, stride=2).quantize(4, signed=False)
    net.pick(net.index.repeat(3, axis=1).repeat(4, axis=2)[:, :5, :4])
    return net.join(skip, 0, shape).conv(3, 3, pad=1).signed(6)


def depth_to_space(inner_first):
    net = small().conv(8, 1).signed(4)
    if inner_first:
        net.append("split", model.Reshape(), (2, 2, 2, 5, 4))
        net.append("move", model.Transpose((2, 3, 0, 4, 1)), (2, 5, 2, 4, 2))
    else:
        net.append("split", model.Reshape(), (2, 2, 2, 5, 4))
        net.append("move", model.Transpose((0, 3, 1, 4, 2)), (2, 5, 2, 4, 2))
    return net.append("merge", model.Reshape(), (2, 10, 8)).conv(3, 3).signed(5)


def leaky(slopes):
    net = small().conv(4, 3, pad=1).norm()
    parameter = exact_array(np.array(slopes).reshape(-1, 1, 1)) / 8
    op = model.Elementwise(model.Function.LEAKY_RELU, parameter)
    return net.append("leaky", op, net.shape).signed(6).conv(3, 1).signed(6)


def rounded():
    """Two roundings between sum and quantizer, as TensorFlow Lite requantizes."""
    net = small().conv(4, 3, pad=1)
    zero = exact_array(0)
    net.append("fine", model.Affine(exact_array([3, 5, -7, 9]).reshape(4, 1, 1), zero), net.shape)
    net.append("once", model.Round(model.Rounding.HALF_UP), net.shape)
    net.append("coarse", model.Affine(exact_array(Fraction(1, 8)), zero), net.shape)
    net.append("twice", model.Round(model.Rounding.HALF_AWAY), net.shape)
    return net.signed(6, Fraction(1)).conv(3, 1).signed(6)


def thresholded(rows):
    net = small().conv(4, 3, pad=1).norm()
    op = model.MultiThreshold(exact_array(np.array(rows)) / 4, Fraction(2), Fraction(-1))
    return net.append("steps", op, net.shape).conv(3, 1).signed(6)


LAYERS = {
    "transposed 2/2": lambda: small().transposed(2, 2, 0),
    "transposed 3/2": lambda: small().transposed(3, 2, 1, 1),
    "transposed 4/2": lambda: small().transposed(4, 2, 1).conv(3, 3, pad=1).signed(6),
    "transposed 3/1": lambda: small().transposed(3, 1, 1),
    "transposed 1/2": lambda: small().transposed(1, 2, 0),
    "transposed in groups": lambda: small().transposed(3, 2, 1, 1, 2),
    "gate": lambda: activated().gate(model.Function.SIGMOID).signed(6, FINE).conv(3, 1).signed(5),
    "gate of sums": lambda: (
        small().conv(4, 3, pad=1).norm().gate(model.Function.SIGMOID).signed(5).conv(3, 1).signed(5)
    ),
    "product": lambda: (
        (net := small()) and net.conv(4, 1).signed(4).times("quant").signed(6).conv(3, 1).signed(5)
    ),
    "sum behind a rectifier": lambda: activated().apply(model.Function.RELU).add("quant").signed(6),
    "joined channels": lambda: joined(0),
    "joined rows": lambda: joined(1),
    "joined columns": lambda: joined(2),
    "slice": lambda: (net := activated()).pick(net.index[:, ::2, 1:]).conv(3, 1).signed(5),
    "slice of channels": lambda: (net := activated()).pick(net.index[1:3]).conv(3, 3).signed(5),
    "backwards": lambda: (net := activated()).pick(net.index[:, ::-1]).conv(3, 3).signed(5),
    "enlarged": lambda: (
        (net := activated()).pick(net.index.repeat(2, 1).repeat(3, 2)).conv(3, 3).signed(5)
    ),
    "padded layer": lambda: (
        activated().append("pad", model.Pad((0, 1, 2, 0, 1, 0), Fraction(0)), (4, 7, 6))
        .conv(3, 3).signed(5)
    ),
    "padded with a number": lambda: (
        activated().append("pad", model.Pad((1, 1, 2, 0, 1, 0), Fraction(1, 2)), (5, 7, 6))
        .conv(3, 3).signed(5)
    ),
    "mean without padding": lambda: (
        small().mean((1,) * 4, (0,) * 4).signed(6, Fraction(101, 1000)).conv(3, 1).signed(6)
    ),
    "mean with an overhang": lambda: (
        small().mean((1, 1, 2, 2), (1,) * 4).signed(6, Fraction(101, 1000)).conv(3, 1).signed(6)
    ),
    "depth to space": lambda: depth_to_space(False),
    "depth to space, columns first": lambda: depth_to_space(True),
    "leaky": lambda: leaky([1]),
    "leaky in channels": lambda: leaky([0, 1, 3, 12]),
    "falling leaky": lambda: leaky([-3, 1, 3, -8]),
    "roundings": rounded,
    "thresholds": lambda: thresholded([[-9, 0, 2, 30], [1, 2, 3, 4], [-5, -5, 0, 0], [0, 1, 5, 6]]),
    "bipolar threshold": lambda: thresholded([[-3]]),
    "squeeze and excite": excited,
    "u-net": u_net,
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_emulation(name):
    net = LAYERS[name]()
    net.graph.outputs = [net.name]
    design = Emulator(integer_graph(net.graph))
    rng = np.random.default_rng(3)
    x = rng.integers(-16, 16, (30, *design.graph.spec()[0].shape)) / 8
    found, expected = design.emulate(x), run_graph(net.graph, x)
    np.testing.assert_allclose(found, expected, atol=1e-9)
    assert len(np.unique(found)) > 1


@pytest.mark.parametrize("name", LAYERS)
def test_hardware(name):
    check_hardware(LAYERS[name]().done(), samples=6)


def test_a_sum_of_tensors_that_activations_leave_off_every_grid():
    net = activated().apply(model.Function.SIGMOID).add("quant").signed(6)
    with pytest.raises(UnsupportedError, match="put a quantizer after the activation"):
        net.done()
