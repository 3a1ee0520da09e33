"""Small networks of random weights, and what has to hold for the hardware of each network."""

from fractions import Fraction

import numpy as np
from model_executor import run_graph

import nn2rtl
from nn2rtl.build import check_simulation
from nn2rtl.ir import model
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.types import IntType, QuantizedConstant, RealType, exact_array
from nn2rtl.simulation import Stalls

SMALL = {"interval_cycles": 4000}


class Network:
    """A model graph, layer by layer, with random weights."""

    def __init__(self, shape, seed=0):
        self.rng = np.random.default_rng(seed)
        self.graph = Graph("test")
        self.name = self.graph.append("image", model.Input(), (), RealType(shape))
        self.quantize(4, signed=True)

    @property
    def shape(self):
        return self.graph.types[self.name].shape

    def append(self, hint, op, shape, *others):
        inputs = (self.name, *others)
        self.name = self.graph.append(hint, op, inputs, RealType(tuple(shape)))
        return self

    def quantize(self, bits, *, signed, scale=Fraction(1, 4), zero=0):
        low = -(1 << (bits - 1)) if signed else 0
        op = model.Quantize(
            exact_array(scale), exact_array(zero), low, low + (1 << bits) - 1
        )
        return self.append("quant", op, self.shape)

    def weight(self, shape, bits=3):
        high = (1 << (bits - 1)) - 1
        values = self.rng.integers(-high, high, shape, endpoint=True)
        one = (shape[0],) + (1,) * (len(shape) - 1)
        scale = exact_array(self.rng.integers(1, 9, one)) / 16
        zero = exact_array(np.zeros(one, int))
        return QuantizedConstant(values, scale, zero, IntType(-high, high))

    def conv(self, outputs, kernel, stride=1, pad=0, dilation=1, groups=1):
        channels, height, width = self.shape
        extent = (kernel - 1) * dilation + 1
        size = [(n + 2 * pad - extent) // stride + 1 for n in (height, width)]
        op = model.Conv(
            self.weight((outputs, channels // groups, kernel, kernel)),
            exact_array(self.rng.integers(-9, 9, outputs)) / 8,
            (stride, stride), (pad,) * 4, (dilation, dilation), groups,
        )
        return self.append("conv", op, (outputs, *size))

    def norm(self):
        channels = self.shape[0]
        shape = (channels,) + (1,) * (len(self.shape) - 1)
        scale = exact_array(self.rng.integers(-5, 6, shape)) / 4
        offset = exact_array(self.rng.integers(-20, 20, shape)) / 8
        return self.append("norm", model.Affine(scale, offset), self.shape)

    def apply(self, function):
        return self.append("act", model.Elementwise(function), self.shape)

    def pool(self, kind, kernel, stride, pad=0):
        channels, height, width = self.shape
        size = [(n + 2 * pad - kernel) // stride + 1 for n in (height, width)]
        op = kind((kernel, kernel), (stride, stride), (pad,) * 4)
        return self.append("pool", op, (channels, *size))

    def add(self, other):
        return self.append("add", model.Add(), self.shape, other)

    def flatten(self):
        return self.append("flatten", model.Reshape(), (int(np.prod(self.shape)),))

    def dense(self, outputs):
        (inputs,) = self.shape
        weight = self.weight((outputs, inputs))
        parts = (part.T for part in (weight.values, weight.scale, weight.zero_point))
        turned = QuantizedConstant(*parts, weight.type)
        return self.append("dense", model.MatMul(turned), (outputs,))

    def done(self, options=SMALL):
        self.graph.outputs = [self.name]
        return nn2rtl.compile(self.graph, options=options)


def check_hardware(design, samples=20):
    """Emulation equals the model, the simulated hardware equals both, to the cycle."""
    shape = design.graph.spec()[0].shape
    x = np.random.default_rng(7).normal(scale=1.5, size=(samples, *shape))
    # All constants are dyadic, so that float64 computes what the model means exactly.
    np.testing.assert_array_equal(design.emulate(x), run_graph(design.model, x))
    run = design.simulate(x)
    assert run.mismatches == 0
    check_simulation(design, run)
    assert len(np.unique(run.outputs, axis=0)) > 1
    stalled = design.simulate(x, stalls=Stalls(idle=0.3, backpressure=0.5, seed=2))
    assert stalled.mismatches == 0
    beats = design.planned.plan.input.result.beats
    reset = design.simulate(x[:3], stalls=Stalls(reset_after_beats=beats + beats // 2 + 1))
    check_simulation(design, reset)
