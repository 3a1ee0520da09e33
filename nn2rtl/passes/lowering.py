"""State and checks of the lowering: model tensors as integers with a meaning."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd, lcm
from typing import TypeAlias

import numpy as np

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.graph import Node
from nn2rtl.ir.types import ExactArray, IntArray, IntTensor, IntType, QuantizedConstant

MAX_ACCUMULATOR_WIDTH = 48  # of the DSP48E1's accumulator, and safely inside int64

MAX_TABLE_WIDTH = 12
"""Widest operand of a function that is looked up, in bits."""

_KEEPS_ZERO = (
    model.Affine,
    model.Concat,
    model.Elementwise,
    model.Gather,
    model.MaxPool,
    model.Reshape,
    model.Transpose,
)

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
        a softmax or argmax, of their operand. Elements of the stream may be left out or repeated.
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
        self.tables: dict[tuple[str, bytes], str] = {}
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

    def operand_ranges(self, name: str, *, uniform: bool) -> tuple[IntArray, IntArray]:
        """Least and greatest operand of each channel, or of all where these are treated alike."""
        low, high = ig.ranges(self.result, name)
        return (low.min(keepdims=True), high.max(keepdims=True)) if uniform else (low, high)

    def uniform_scale(self, node: ModelNode, value: Value) -> tuple[Fraction, fn.Channelwise]:
        """The one scale and the per-channel offsets of an operand whose chain is affine."""
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

    def on_grid(self, node: ModelNode, value: Value) -> Value:
        """The operand with an affine chain: another one is looked up, if its values are on a grid.

        That serves narrow operands behind rectifiers, clips and roundings.
        """
        if value.name is None or fn.as_affine(value.chain) is not None:
            return value
        name, tensor = self.integers(node, value)
        if (
            tensor.type.width > MAX_TABLE_WIDTH
            or not fn.is_uniform(value.chain)
            or not fn.is_rational(value.chain)
        ):
            return value
        operands = range(tensor.type.low, tensor.type.high + 1)
        numbers = [fn.evaluate(value.chain, Fraction(q), 0) for q in operands]
        unit = _common_unit(numbers)
        base = Fraction(0) if (numbers[0] / unit).denominator == 1 else numbers[0]
        table = np.array([int((number - base) / unit) for number in numbers], dtype=np.int64)
        kind = IntType(int(table.min()), int(table.max()))
        key = (name, table.tobytes())
        if key not in self.tables:
            op = ig.Lookup(tensor.type.low, table)
            result = IntTensor(tensor.shape, kind)
            self.tables[key] = self.append(f"{name}_table", op, (name,), result, node.source)
        chain: fn.Chain = (fn.affine((unit,), (base,)),)
        return replace(value, name=self.tables[key], chain=chain)

    def padding(self, node: ModelNode, value: Value, window: ig.Window) -> int:
        """The integer that stands for a real zero, for padding; 0 if there is none."""
        if not any(window.pads):
            return 0
        number = self.constant(node, value, Fraction(0), "zero padding")
        _, tensor = self.integers(node, value)
        if not tensor.type.low <= number <= tensor.type.high:
            raise UnsupportedError(
                f"its zero padding is {number}, which the operand ({tensor.type.low} to "
                f"{tensor.type.high}) does not have",
                node=node.source,
                remedy="quantize the operand so that it can be zero",
            )
        return number

    def constant(self, node: ModelNode, value: Value, number: Fraction, what: str) -> int:
        """The integer that stands for a real number among an operand's values."""
        scale, offset = self.uniform_scale(node, value)
        exact = {(number - o) / scale for o in offset} if scale else {Fraction(1, 2)}
        integer = exact.pop()
        if exact or integer.denominator != 1:
            raise UnsupportedError(
                f"its {what} is not a value of the quantized operand",
                node=node.source,
                remedy="use a quantizer that has that value (a bipolar one has no zero)",
            )
        return int(integer)

    def is_padded(self, name: str) -> bool:
        """Whether a layer behind a model tensor, ahead of the next quantizer, pads with zeros."""
        return any(
            any(reader.op.pads)
            if isinstance(reader.op, model.Conv | model.AveragePool | model.Pad)
            else isinstance(reader.op, _KEEPS_ZERO) and self.is_padded(reader.name)
            for reader in self.graph.consumers(name)
        )

    def channelwise(self, node: ModelNode, value: Value, array: ExactArray) -> fn.Channelwise:
        """Per-channel entries of a constant that is broadcast over the model tensor."""
        if array.size == 1:
            return (Fraction(array.ravel()[0]),)
        constants = array.ravel()
        which = np.arange(array.size).reshape(array.shape)
        of_element = np.broadcast_to(which, value.position.shape).ravel()
        channels = (
            self.values[self.input_name].position.size
            if value.name is None
            else self.result.types[value.name].channels
        )
        channel_of = value.position.ravel() % channels
        element_of = np.zeros(channels, dtype=np.int64)
        element_of[channel_of] = np.arange(len(of_element))
        of_channel = of_element[element_of]  # of channels that the tensor leaves out, any
        # Comparing places is quick; different places may hold equal constants.
        other = np.flatnonzero(of_channel[channel_of] != of_element)
        if (constants[of_channel[channel_of[other]]] != constants[of_element[other]]).any():
            raise UnsupportedError(
                "its constant differs from position to position",
                node=node.source,
                remedy="use one constant for each channel, or one for the tensor",
            )
        return tuple(constants[of_channel])

    def reshaped(self, node: ModelNode, value: Value, shape: tuple[int, int, int]) -> Value:
        """The operand under another shape of its stream."""
        name, tensor = self.integers(node, value)
        if tensor.shape == shape:
            return value
        channel_of = np.arange(tensor.size, dtype=np.int64) % tensor.channels
        chain = rechanneled(node, value.chain, channel_of, shape[2])
        if isinstance(self.result[name].op, ig.Reshape):
            (name,) = self.result[name].inputs
            if self.result.types[name].shape == shape:
                return replace(value, name=name, chain=chain)
        result = IntTensor(shape, tensor.type)
        name = self.append("reshape", ig.Reshape(), (name,), result, node.source)
        return replace(value, name=name, chain=chain)


def rechanneled(
    node: ModelNode, chain: fn.Chain, channel_of: IntArray, channels: int
) -> fn.Chain:
    """The chain of a tensor whose elements are streamed in other channels.

    Parameters
    ----------
    channel_of : int64 array [elements]
        For each element of the new stream the channel that it had.
    channels : int
        Of the new stream.
    """

    def entries(values: fn.Channelwise) -> fn.Channelwise:
        if len(values) == 1:
            return values
        rows = np.array(values, dtype=object)[channel_of].reshape(-1, channels)
        if not (rows == rows[:1]).all():
            raise UnsupportedError(
                "scale or offset of its operand differ from position to position",
                node=node.source,
                remedy="use one constant for each channel, or one for the tensor",
            )
        return tuple(rows[0])

    return fn.with_parameters(chain, entries)


def _common_unit(numbers: list[Fraction]) -> Fraction:
    """The greatest number of which all differences are multiples."""
    common = lcm(*(number.denominator for number in numbers))
    whole = [number.numerator * (common // number.denominator) for number in numbers]
    return Fraction(gcd(*(number - whole[0] for number in whole)) or common, common)


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
