"""State and checks of the lowering: model tensors as integers with a meaning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TypeAlias

import numpy as np

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.graph import Node
from nn2rtl.ir.types import ExactArray, IntArray, IntTensor, QuantizedConstant
from nn2rtl.passes import layout

MAX_ACCUMULATOR_WIDTH = 48  # of the DSP48E1's accumulator, and safely inside int64

ModelNode: TypeAlias = Node[model.ModelOp]


@dataclass(frozen=True, eq=False)
class Value:
    """A model tensor as the integer graph has it.

    Parameters
    ----------
    name : str or None
        Node of the integer graph; None for the real input ahead of its quantizer.
    position : int64 array
        Stream position of each element of the model tensor (of the model tensor's shape); behind
        a softmax or argmax, of their operand.
    chain : Chain
        From the integers to the model's numbers, for each channel of the integer tensor.
    softmax_axis, argmax_axis : int or None
        Tail that the host computes.
    index : bool
        Whether the integers are indices, computed by the hardware.
    """

    name: str | None
    position: IntArray
    chain: fn.Chain
    softmax_axis: int | None = None
    argmax_axis: int | None = None
    index: bool = False

    @property
    def tail(self) -> bool:
        """Whether only the host works on it from here on."""
        return self.softmax_axis is not None or self.argmax_axis is not None or self.index


@dataclass(frozen=True, eq=False)
class Weight:
    """Integers, and one scale or one for each output."""

    values: IntArray
    scale: fn.Channelwise


class Lowering:
    """The integer graph so far, and what the handlers of operations share."""

    def __init__(self, graph: model.ModelGraph) -> None:
        self.graph = graph
        self.result = ig.IntegerGraph(graph.name)
        self.values: dict[str, Value] = {}
        self.input_name = ""

    def append(
        self, hint: str, op: ig.IntOp, inputs: tuple[str, ...], result: IntTensor, source: str
    ) -> str:
        """Append an integer node, if its numbers are not too wide."""
        if result.type.width > MAX_ACCUMULATOR_WIDTH:
            raise UnsupportedError(
                f"needs {result.type.width}-bit integers, more than {MAX_ACCUMULATOR_WIDTH}",
                node=source,
                remedy="quantize its operands to fewer bits or to related scales",
            )
        return self.result.append(hint, op, inputs, result, source)

    def integers(self, node: ModelNode, value: Value) -> tuple[str, IntTensor]:
        """Name and type of the integer tensor; an error for a real input."""
        if value.name is None:
            raise ModelError(
                f"the network's input {self.input_name!r} has no quantizer ahead of this node",
                node=node.source,
                remedy="say how it is quantized: --input-type int8:0.0078125 (type:scale)",
            )
        return value.name, self.result.types[value.name]

    def uniform_scale(self, node: ModelNode, value: Value) -> tuple[Fraction, fn.Channelwise]:
        """The one scale and the per-channel offsets of an operand."""
        step = self.affine_step(node, value)
        if len(step.scale) > 1:
            raise UnsupportedError(
                "its operand has a scale for each channel",
                node=node.source,
                remedy="quantize the operand with one scale for the whole tensor",
            )
        return step.scale[0], step.offset

    def affine_step(self, node: ModelNode, value: Value) -> fn.AffineStep:
        """The chain of an operand, which must be affine."""
        step = fn.as_affine(value.chain)
        if step is None:
            raise UnsupportedError(
                "its operand passes an activation that is not followed by a quantizer",
                node=node.source,
                remedy="put a quantizer after the activation",
            )
        return step

    def padding(self, node: ModelNode, value: Value, window: ig.Window) -> int:
        """The integer that stands for a real zero, for padding; 0 if there is none."""
        if not any(window.pads):
            return 0
        scale, offset = self.uniform_scale(node, value)
        exact = {-o / scale for o in offset} if scale else {Fraction(1, 2)}
        number = exact.pop()
        if exact or number.denominator != 1:
            raise UnsupportedError(
                "its zero padding is not a value of the quantized operand",
                node=node.source,
                remedy="use a quantizer that has a zero (not a bipolar one), or no padding",
            )
        _, tensor = self.integers(node, value)
        if not tensor.type.low <= number <= tensor.type.high:
            raise UnsupportedError(
                f"its zero padding is {number}, which the operand ({tensor.type.low} to "
                f"{tensor.type.high}) does not have",
                node=node.source,
                remedy="quantize the operand so that it can be zero",
            )
        return int(number)

    def is_padded(self, name: str) -> bool:
        """Whether a layer that reads a model tensor pads it with zeros."""
        return any(
            any(reader.op.pads)
            if isinstance(reader.op, model.Conv | model.AveragePool)
            else isinstance(reader.op, model.MaxPool | model.Reshape | model.Transpose)
            and self.is_padded(reader.name)
            for reader in self.graph.consumers(name)
        )

    def channelwise(self, node: ModelNode, value: Value, array: ExactArray) -> fn.Channelwise:
        """Per-channel entries of a constant that is broadcast over the model tensor."""
        if array.size == 1:
            return (Fraction(array.ravel()[0]),)
        flat = np.broadcast_to(array, value.position.shape).ravel()
        stream = flat[layout.invert(value.position)]
        channels = (
            value.position.size if value.name is None else self.result.types[value.name].channels
        )
        rows = stream.reshape(-1, channels)
        if not all((row == rows[0]).all() for row in rows[1:]):
            raise UnsupportedError(
                "its constant differs from position to position",
                node=node.source,
                remedy="use one constant for each channel, or one for the tensor",
            )
        return tuple(rows[0])

    def spatial(self, node: ModelNode, value: Value) -> Value:
        """The operand as a (height, width, channels) stream of a channels-first model tensor."""
        shape = value.position.shape
        if not np.array_equal(layout.channels_first_position(shape), value.position):
            raise transposed(node, "keep one axis order (channels first or last) throughout")
        height, width = (1, *shape[1:])[-2:]
        return self.reshaped(node, value, (height, width, shape[0]))

    def reshaped(self, node: ModelNode, value: Value, shape: tuple[int, int, int]) -> Value:
        """The operand under another shape of its stream."""
        name, tensor = self.integers(node, value)
        if tensor.shape == shape:
            return value
        chain = rechanneled(node, value.chain, tensor.size, shape[2])
        if isinstance(self.result[name].op, ig.Reshape):
            (name,) = self.result[name].inputs
            if self.result.types[name].shape == shape:
                return replace(value, name=name, chain=chain)
        result = IntTensor(shape, tensor.type)
        name = self.append("reshape", ig.Reshape(), (name,), result, node.source)
        return replace(value, name=name, chain=chain)


def transposed(node: ModelNode, remedy: str) -> UnsupportedError:
    """The error for an order of elements that the streams do not have."""
    return UnsupportedError(
        "its operand would have to be transposed in hardware", node=node.source, remedy=remedy
    )


def rechanneled(node: ModelNode, chain: fn.Chain, size: int, channels: int) -> fn.Chain:
    """The chain of a tensor of `size` elements that is streamed with other channels."""

    def entries(values: fn.Channelwise) -> fn.Channelwise:
        if len(values) == 1:
            return values
        every = values * (size // len(values))
        if every != every[:channels] * (size // channels):
            raise UnsupportedError(
                "scale or offset of its operand differ from position to position",
                node=node.source,
                remedy="use one constant for each channel, or one for the tensor",
            )
        return every[:channels]

    return tuple(
        fn.affine(entries(step.scale), entries(step.offset))
        if isinstance(step, fn.AffineStep)
        else step
        for step in chain
    )


def is_uniform(chain: fn.Chain, quantizer: fn.AnyQuantizer) -> bool:
    """Whether all channels have the same function."""
    steps = [s for s in chain if isinstance(s, fn.AffineStep)]
    counts = [len(v) for s in steps for v in (s.scale, s.offset)]
    if isinstance(quantizer, fn.Quantizer):
        counts += [len(quantizer.scale), len(quantizer.zero_point)]
    return all(count == 1 for count in counts)


def integer_weight(node: ModelNode, weight: QuantizedConstant, output_axis: int = 0) -> Weight:
    """Integers and a scale for each output, from a quantized constant."""
    zero = np.asarray(weight.zero_point)
    if any(z.denominator != 1 for z in zero.ravel()):
        raise UnsupportedError(
            "zero point of the weights is not an integer",
            node=node.source,
            remedy="quantize the weights with an integer zero point",
        )
    values = weight.values - np.broadcast_to(zero.astype(np.int64), weight.values.shape)
    if weight.scale.size == 1:
        return Weight(values, (Fraction(weight.scale.ravel()[0]),))
    scale = np.moveaxis(np.broadcast_to(weight.scale, weight.values.shape), output_axis, 0)
    rows = scale.reshape(scale.shape[0], -1)
    if not (rows == rows[:, :1]).all():
        raise UnsupportedError(
            "scale of the weights differs within an output channel",
            node=node.source,
            remedy="quantize the weights per tensor or per output channel",
        )
    return Weight(values, tuple(Fraction(s) for s in rows[:, 0]))
