"""The comparison of a network's stages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.float_functions import real_values
from nn2rtl.ir.types import IntArray
from nn2rtl.quantities import dequantize_output
from nn2rtl.reference import Reference
from nn2rtl.trace.bounds import error, rounded_again
from nn2rtl.trace.executor import Floats, step
from nn2rtl.trace.references import FLOAT64, Run
from nn2rtl.trace.result import Layer, Trace

_QUANTIZERS = (model.Quantize, model.BipolarQuantize, model.MultiThreshold)
_QUANTIZED = (ig.Input, ig.Thresholds, ig.Requantize, ig.Lookup, ig.Softmax, ig.ArgMax)
_FLOAT64_NOISE = 2.0**-40  # of numbers that this comparison itself computes in float64
_OFF_GRID = 0.25  # steps from the nearest integer at which a reference has none


def trace(
    net: model.ModelGraph, graph: ig.IntegerGraph, stream: IntArray, x: Floats, reference: Run
) -> Trace:
    """Compare an integer graph with a reference, each layer also by itself.

    Parameters
    ----------
    net : ModelGraph
        What the model file means.
    graph : IntegerGraph
        Lowered from it.
    stream : int64 array [samples, elements]
        Inputs as integers.
    x : float64 array [samples, ...]
        The same inputs as the model's values.
    reference : Run
        What the reference computed for them.
    """
    own = _Own(net, graph, stream, x, reference)
    layers = [own.layer(name) for name in own.shown()]
    output = net.outputs[0]
    if output not in [layer.name for layer in layers] and output in reference.tensors:
        layers.append(own.output_layer())
    notes = (reference.note,) if reference.note else ()
    return Trace(reference.name, notes, len(stream), tuple(layers))


@dataclass
class _Own:
    """Every layer computed from the reference's operands, in integers and in float64."""

    net: model.ModelGraph
    graph: ig.IntegerGraph
    stream: IntArray
    x: Floats
    reference: Run
    emulated: dict[str, IntArray] = field(default_factory=dict)
    computed: dict[str, IntArray] = field(default_factory=dict)  # from settled operands
    settled: dict[str, IntArray] = field(default_factory=dict)  # the reference's, if it has them
    values: dict[str, Floats] = field(default_factory=dict)
    errors: dict[str, Floats] = field(default_factory=dict)
    anchored: set[str] = field(default_factory=set)
    """Integer tensors that are settled by the reference."""
    alone: dict[str, tuple[Floats, Floats]] = field(default_factory=dict)
    """Integer tensors by the float64 executor, not rounded, and bounds on the reference's errors.
    """

    def __post_init__(self) -> None:
        self._run_integers()
        if self.reference.tensors:
            self._run_floats()

    def _run_integers(self) -> None:
        machine = Reference(self.graph)
        anchors = {
            meaning.node: name
            for name, meaning in self.graph.meanings.items()
            if name in self.reference.tensors
            and isinstance(self.graph[meaning.node].op, _QUANTIZED)
            and _is_grid(meaning)
        }
        self.emulated = dict(machine.tensors(self.stream))
        steps = {name: (inputs, compute) for name, inputs, compute in machine.steps}
        for name in self.emulated:
            if name in steps:
                inputs, compute = steps[name]
                operands = [self.settled[i] for i in inputs]
                same = all(self.settled[i] is self.emulated[i] for i in inputs)
                result = self.emulated[name] if same else compute(*operands).astype(np.int64)
            else:
                result = self.emulated[name]
            self.computed[name] = self.settled[name] = result
            if name in anchors:
                self._settle(name, anchors[name])

    def _settle(self, name: str, tensor: str) -> None:
        """Take the reference's integers from here on, if it has them all."""
        meaning, kind = self.graph.meanings[tensor], self.graph.types[name]
        position = meaning.position.ravel()
        if np.unique(position).size != kind.size:
            return
        exact = self._positions(meaning, self.reference.tensors[tensor])
        integers = np.rint(exact)
        on_grid = np.abs(exact - integers).max() < _OFF_GRID
        if not on_grid or integers.min() < kind.type.low or integers.max() > kind.type.high:
            return
        result = np.empty((len(exact), kind.size), dtype=np.int64)
        result[:, position] = integers
        shaped = result.reshape(len(exact), *kind.shape)
        self.anchored.add(name)
        same = np.array_equal(shaped, self.emulated[name])
        self.settled[name] = self.emulated[name] if same else shaped

    def _run_floats(self) -> None:
        for node in self.net:
            shape = self.net.types[node.name].shape
            operands = [self.values[name] for name in node.inputs] or [self.x]
            errors = [self.errors[name] for name in node.inputs] or [np.zeros(self.x.shape)]
            value = step(node.op, operands, shape)
            unit = self.reference.unit
            bound: Floats = np.zeros(value.shape)
            if unit or self.reference.rounds_twice:
                bound = bound + error(node.op, operands, errors, value, max(unit, FLOAT64))
            if self.reference.rounds_twice and rounded_again(self.net, node.name):
                bound = bound + 0.5  # a kernel that rounds once does not round here
            meaning = self.graph.meanings.get(node.name)
            if meaning is not None:
                if meaning.node not in self.alone and _is_grid(meaning):
                    self.alone[meaning.node] = self._in_steps(meaning, value, bound)
                if meaning.node in self.anchored and _is_grid(meaning):
                    value = self._real(meaning, self.settled[meaning.node])
                    bound = unit * np.abs(value)
            self.values[node.name], self.errors[node.name] = value, bound

    def _in_steps(self, meaning: ig.Meaning, value: Floats, bound: Floats) -> tuple[Floats, Floats]:
        """A tensor and its error bound as integers of the stream, not rounded."""
        position = meaning.position.ravel()
        size = len(value), self.graph.types[meaning.node].size
        steps, spread = np.full(size, np.nan), np.full(size, np.nan)
        exact = self._positions(meaning, value)
        steps[:, position] = exact
        spread[:, position] = np.abs(self._positions(meaning, value + bound) - exact)
        return steps, spread

    def _real(self, meaning: ig.Meaning, integers: IntArray) -> Floats:
        """What integers of the stream mean, as the tensor of the model."""
        kind = self.graph.types[meaning.node]
        channel_of = np.arange(kind.size, dtype=np.int64) % kind.channels
        flat = integers.reshape(len(integers), -1).astype(np.float64)
        real = real_values(meaning.chain, channel_of, flat)
        return np.asarray(real[:, meaning.position], dtype=np.float64)

    def _is_quantized(self, name: str) -> bool:
        return isinstance(self.net[name].op, _QUANTIZERS)

    def _channel_of(self, meaning: ig.Meaning) -> IntArray:
        return meaning.position.ravel() % self.graph.types[meaning.node].channels

    def _positions(self, meaning: ig.Meaning, values: Floats) -> Floats:
        """Real values [samples, elements] in steps of the integers, not rounded."""
        step_ = fn.as_affine(meaning.chain)
        if step_ is None:
            raise ValueError(f"{meaning.node} has no affine meaning")
        channel_of = self._channel_of(meaning)
        scale, offset = (
            np.array([float(v) for v in numbers])[channel_of if len(numbers) > 1 else [0]]
            for numbers in (step_.scale, step_.offset)
        )
        flat = values.reshape(len(values), -1)
        return np.asarray((flat - offset) / scale)

    def shown(self) -> list[str]:
        """Tensors of the model to show: one for each integer tensor, in order."""
        chosen: dict[str, str] = {}
        for name in self.net.nodes:
            meaning = self.graph.meanings.get(name)
            if meaning is None or not _is_grid(meaning):
                continue
            known = chosen.get(meaning.node)
            if known is None or self._rank(name) > self._rank(known):
                chosen[meaning.node] = name
        order = {name: place for place, name in enumerate(self.net.nodes)}
        return sorted(chosen.values(), key=order.__getitem__)

    def _rank(self, name: str) -> tuple[bool, bool]:
        return name in self.reference.tensors, self._is_quantized(name)

    def layer(self, name: str) -> Layer:
        """One tensor of the model in all stages."""
        meaning = self.graph.meanings[name]
        kind = self.graph.types[meaning.node]
        integers = self.emulated[meaning.node]
        at_low, at_high = self._ends(meaning.node)
        result = Layer(
            name, self.net[name].source or name,
            type(self.graph[meaning.node].op).__name__.lower(), self.net.types[name].shape,
            str(kind.type), int(integers.min()), int(integers.max()), kind.type.low,
            kind.type.high, at_low, at_high, integers.size,
        )  # fmt: skip
        theirs = self.reference.tensors.get(name)
        if theirs is None:
            return result
        position = meaning.position.ravel()
        exact = self._positions(meaning, theirs)
        rounded = np.rint(exact)
        off = np.abs(exact - rounded) > _OFF_GRID
        ours, alone = (
            values[meaning.node].reshape(len(integers), -1)[:, position]
            for values in (self.emulated, self.computed)
        )
        different, caused = (rounded != ours) | off, (rounded != alone) | off
        value, bound = (part[:, position] for part in self.alone[meaning.node])
        close = np.abs(exact - value) <= bound + _FLOAT64_NOISE * np.abs(exact)
        explained = close & (self.reference.unit > 0 or self.reference.rounds_twice)
        return replace(
            result,
            elements=ours.size,
            compared=True,
            different=int(different.sum()),
            greatest=float(np.abs(exact - ours)[different].max(initial=0.0)),
            following=int((different & ~caused).sum()),
            ties=int((caused & explained).sum()),
            unexplained=int((caused & ~explained).sum()),
        )

    def _ends(self, node: str) -> tuple[int | None, int | None]:
        """Elements at both ends of the range of the quantizer that made them."""
        for name, meaning in self.graph.meanings.items():
            op = self.net[name].op
            if meaning.node != node:
                continue
            if isinstance(op, model.Quantize):
                low, high = op.low, op.high
            elif isinstance(op, model.MultiThreshold):
                low, high = 0, op.thresholds.shape[1]
            else:
                continue
            if high - low < 2:
                break  # there is nothing but ends
            integers = self.emulated[node]
            return int((integers == low).sum()), int((integers == high).sum())
        return None, None

    def output_layer(self) -> Layer:
        """The network's result where the host computes it, in real numbers."""
        _, spec = self.graph.spec()
        name, node = self.net.outputs[0], self.graph.outputs[0]
        kind = self.graph.types[node].type
        flat = {
            key: dequantize_output(spec, values[node].reshape(len(self.stream), -1))
            for key, values in (("ours", self.emulated), ("alone", self.settled))
        }
        theirs = self.reference.tensors[name]
        allowed = self.errors[name] + 1e-9 * np.abs(theirs)
        ours, alone = (flat[key].reshape(theirs.shape) for key in ("ours", "alone"))
        different, caused = np.abs(ours - theirs) > allowed, np.abs(alone - theirs) > allowed
        integers = self.emulated[node]
        return Layer(
            name, self.net[name].source or name, "host", self.net.types[name].shape, str(kind),
            int(integers.min()), int(integers.max()), kind.low, kind.high, None, None,
            ours.size, True, int(different.sum()),
            float(np.abs(ours - theirs)[different].max(initial=0.0)),
            int((different & ~caused).sum()), 0, int(caused.sum()),
        )  # fmt: skip


def _is_grid(meaning: ig.Meaning) -> bool:
    """Whether a tensor's numbers tell its integers."""
    affine = fn.as_affine(meaning.chain)
    return affine is not None and all(affine.scale)
