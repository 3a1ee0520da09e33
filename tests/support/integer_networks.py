"""Small integer graphs, built node by node, and what has to hold for their hardware."""

from fractions import Fraction

import numpy as np

from nn2rtl.boards.board import load_board
from nn2rtl.build import check_simulation
from nn2rtl.design import Design
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.ir.verify import verify
from nn2rtl.options import options_from
from nn2rtl.plan.planner import make_plan
from nn2rtl.simulation import Stalls


class IntegerNetwork:
    """An integer graph whose newest tensor is `name`."""

    def __init__(self, shape, low=-8, high=7, seed=0):
        self.rng = np.random.default_rng(seed)
        self.graph = ig.IntegerGraph("test")
        self.name = self.graph.append("image", ig.Input(), (), IntTensor(shape, IntType(low, high)))

    @property
    def tensor(self):
        return self.graph.types[self.name]

    def append(self, hint, op, shape, kind, *names):
        self.name = self.graph.append(hint, op, names or (self.name,), IntTensor(shape, kind))
        return self

    def at(self, name):
        """Go on from another tensor."""
        self.name = name
        return self

    def gather(self, rearrange, fill=0):
        """`rearrange` an array [height, width, channels] of places (-1: `fill`)."""
        tensor = self.tensor
        index = rearrange(np.arange(tensor.size).reshape(tensor.shape))
        kind = tensor.type
        if (index < 0).any():
            kind = IntType(min(kind.low, fill), max(kind.high, fill))
        return self.append("gather", ig.Gather(index.ravel(), fill), index.shape, kind)

    def concat(self, axis, *names):
        tensors = [self.graph.types[name] for name in names]
        shape = list(tensors[0].shape)
        shape[axis] = sum(tensor.shape[axis] for tensor in tensors)
        kind = IntType(min(t.type.low for t in tensors), max(t.type.high for t in tensors))
        return self.append("concat", ig.Concat(axis), tuple(shape), kind, *names)

    def conv(self, outputs, kernel, stride=1, pad=0):
        tensor = self.tensor
        weight = self.rng.integers(-3, 4, (outputs, kernel, kernel, tensor.channels))
        window = ig.Window((kernel, kernel), (stride, stride), (pad,) * 4)
        op = ig.Conv(weight, window)
        low, high = op.output_ranges(tensor.type)
        shape = (*window.output_size(*tensor.shape[:2]), outputs)
        return self.append("conv", op, shape, IntType(int(low.min()), int(high.max())))

    def pool(self, size, stride=None):
        tensor, taps = self.tensor, size * size
        window = ig.Window((size, size), (stride or size,) * 2)
        kind = IntType(tensor.type.low * taps, tensor.type.high * taps)
        shape = (*window.output_size(*tensor.shape[:2]), tensor.channels)
        return self.append("pool", ig.SumPool(window), shape, kind)

    def clip(self, shift, low=-8, high=7):
        one = np.ones(1, dtype=np.int64)
        op = ig.Requantize(one, one << shift >> 1, shift, low, high)
        return self.append("clip", op, self.tensor.shape, IntType(low, high))

    def add(self, other):
        tensors = self.tensor.type, self.graph.types[other].type
        kind = IntType(sum(t.low for t in tensors), sum(t.high for t in tensors))
        return self.append("add", ig.WeightedSum((1, 1)), self.tensor.shape, kind, self.name, other)

    def done(self, **options):
        """The planned design."""
        graph, source = self.graph, next(iter(self.graph))
        first, last = graph.types[source.name], self.tensor
        graph.outputs = [self.name]
        numbers = [np.arange(tensor.size) for tensor in (first, last)]
        quantizer = fn.Quantizer(
            (Fraction(1),), fn.ZERO, first.type.low, first.type.high, Rounding.HALF_EVEN
        )
        graph.input = ig.InputSpec(
            "image", first.shape, numbers[0], (), quantizer, numbers[0] % first.channels
        )
        graph.output = ig.OutputSpec(
            "result", last.shape, numbers[1], (), numbers[1] % last.channels,
            operand_shape=last.shape,
        )
        verify(graph, "building")
        settings = options_from(options)
        board = load_board(settings.board)
        return Design(None, graph, board, settings, make_plan(graph, board.resources, settings))


def check_integer_hardware(design, samples=5):
    """The simulated hardware equals the integer model, to the cycle, also with stalls and reset."""
    tensor = design.graph.types[design.reference.source]
    x = np.random.default_rng(7).integers(
        tensor.type.low, tensor.type.high + 1, (samples, *tensor.shape)
    )
    run = design.simulate(x, raw=True)
    assert run.mismatches == 0
    np.testing.assert_array_equal(run.outputs, design.emulate(x, raw=True))
    check_simulation(design, run)
    stalled = design.simulate(x, raw=True, stalls=Stalls(idle=0.3, backpressure=0.5, seed=2))
    assert stalled.mismatches == 0
    beats = design.planned.plan.input.result.beats
    reset = design.simulate(
        x[:3], raw=True, stalls=Stalls(reset_after_beats=beats + beats // 2 + 1)
    )
    check_simulation(design, reset)
    return x, run
