"""The integer graph: what the hardware computes, on integers only.

Tensors are [height, width, channels] (`IntTensor`), the order of the hardware's streams.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from nn2rtl.ir.functions import AnyQuantizer, Chain
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.model import Rounding
from nn2rtl.ir.types import IntArray, IntTensor, IntType


@dataclass(frozen=True)
class Window:
    """Geometry of a sliding window.

    Parameters
    ----------
    kernel, stride, dilation, pads : tuple of int
        Vertical, horizontal; pads: top, left, bottom, right.
    """

    kernel: tuple[int, int]
    stride: tuple[int, int] = (1, 1)
    pads: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)

    def output_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the result."""
        sizes = []
        for size, axis in ((height, 0), (width, 1)):
            extent = (self.kernel[axis] - 1) * self.dilation[axis] + 1
            sizes.append(
                (size + self.pads[axis] + self.pads[axis + 2] - extent) // self.stride[axis] + 1
            )
        return sizes[0], sizes[1]

    @property
    def taps(self) -> int:
        """Positions in the window."""
        return self.kernel[0] * self.kernel[1]


@dataclass(frozen=True)
class Input:
    """The stream of quantized inputs."""


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution (a dense layer is one of kernel 1x1 over one position), without bias.

    Parameters
    ----------
    weight : int64 array
        [output channels, kernel height, kernel width, input channels / groups].
    window : Window
        Geometry.
    pad_value : int
        The integer that stands for a real zero.
    groups : int
        Groups of consecutive channels: outputs of a group see the inputs of that group only.
    """

    weight: IntArray
    window: Window
    pad_value: int = 0
    groups: int = 1

    def output_ranges(self, operand: IntType) -> tuple[IntArray, IntArray]:
        """Least and greatest accumulator of each output channel, for operands in a range."""
        low, high = operand.low, operand.high
        if any(self.window.pads):
            low, high = min(low, self.pad_value), max(high, self.pad_value)
        flat = self.weight.reshape(self.weight.shape[0], -1)
        positive, negative = np.maximum(flat, 0).sum(axis=1), np.minimum(flat, 0).sum(axis=1)
        return positive * low + negative * high, positive * high + negative * low


@dataclass(frozen=True)
class SumPool:
    """Sum over each window; padding counts as `pad_value`."""

    window: Window
    pad_value: int = 0


@dataclass(frozen=True)
class MaxPool:
    """Largest value in each window; padding never wins."""

    window: Window


@dataclass(frozen=True)
class WeightedSum:
    """``weights[0] * a + weights[1] * b`` of two tensors."""

    weights: tuple[int, int]


@dataclass(frozen=True)
class Product:
    """``(a + offsets[0]) * (b + offsets[1])`` of two tensors, element by element."""

    offsets: tuple[int, int]


@dataclass(frozen=True)
class Concat:
    """Tensors joined along an axis of (height, width, channels): 0, 1 or 2."""

    axis: int


@dataclass(frozen=True, eq=False)
class Gather:
    """Elements of the operand's stream at constant places.

    Parameters
    ----------
    index : int64 array [elements]
        For each element of the result's stream the place in the operand's, or -1 for `fill`.
    fill : int
        The integer at all other places.
    """

    index: IntArray
    fill: int = 0


@dataclass(frozen=True, eq=False)
class Lookup:
    """``table[x - low]``: any function of an integer from `low` to ``low + len(table) - 1``.

    Parameters
    ----------
    low : int
        Operand of the first entry.
    table : int64 array [operands]
        Results.
    definition : Definition, optional
        Where it comes from, if it ends with a quantizer.
    """

    low: int
    table: IntArray
    definition: Definition | None = None


@dataclass(frozen=True)
class Definition:
    """What a step function was derived from: real functions of each channel, and a quantizer."""

    chain: Chain
    quantizer: AnyQuantizer


@dataclass(frozen=True, eq=False)
class Thresholds:
    """A step function: `low` plus the number of thresholds that the operand reaches.

    Parameters
    ----------
    low : int
        Result where no threshold is reached.
    values : int64 array
        [channels or 1, levels]. An operand reaches a threshold if it is at least as great; in
        decreasing channels if it is at most as great.
    decreasing : bool array
        [channels or 1].
    definition : Definition, optional
        Where it comes from, for checks and explanations.
    """

    low: int
    values: IntArray
    decreasing: npt.NDArray[np.bool_]
    definition: Definition | None = None


@dataclass(frozen=True, eq=False)
class Requantize:
    """``clip((x * multiplier[c] + bias[c]) >> shift, low, high)`` with a flooring shift.

    Sums whose shifted value is `split` or more get ``step[c]`` added before the shift: so rounding
    can be symmetric about a level (half away from zero, say).

    Parameters
    ----------
    multiplier, bias : int64 arrays
        [channels or 1].
    shift, low, high : int
        Common to all channels.
    half_even : bool
        Whether a result without remainder (``shift`` zero bits shifted out) loses its lowest bit.
        With half of a step in `bias` that is rounding half to even.
    split : int
        See above.
    step : int64 array or None
        [channels or 1], see above; None without such a step. Not together with `half_even`.
    """

    multiplier: IntArray
    bias: IntArray
    shift: int
    low: int
    high: int
    half_even: bool = False
    split: int = 0
    step: IntArray | None = None


class Division(Enum):
    """How a softmax divides by the sum."""

    EXACT = "exact"  # quotient of integers, rounded once
    RECIPROCAL = "reciprocal"  # TensorFlow Lite's fixed-point reciprocal and multiplication


@dataclass(frozen=True, eq=False)
class Softmax:
    """Softmax over the channels of each position; `nn2rtl.ir.softmax` has the arithmetic.

    With ``d = max(x) - x`` for each element x of a position (d beyond the tables as their last
    entry): the quotient of ``numerators[d]`` by the sum of all ``denominators[d]``, rounded, plus
    `zero`, clipped.

    Parameters
    ----------
    numerators, denominators : int64 arrays
        Equally long, at least one entry; not negative, greatest at 0.
    zero : int
        Added to the quotient.
    low, high : int
        Range of the results.
    division : Division
        How it divides. `RECIPROCAL` is in TensorFlow Lite's formats: numerators Q0.31,
        denominators Q12.19, steps of 1/256.
    rounding : Rounding
        Of an exact division: HALF_EVEN, HALF_UP, HALF_DOWN or FLOOR.
    zero_after : bool
        Whether the zero point is added after rounding (it matters for ties to even).
    """

    numerators: IntArray
    denominators: IntArray
    zero: int
    low: int
    high: int
    division: Division = Division.EXACT
    rounding: Rounding = Rounding.HALF_EVEN
    zero_after: bool = False


@dataclass(frozen=True)
class ArgMax:
    """Index of the largest of all elements, the first of equals."""


@dataclass(frozen=True)
class Reshape:
    """The same stream under another shape."""


IntOp: TypeAlias = (
    Input
    | Conv
    | SumPool
    | MaxPool
    | WeightedSum
    | Product
    | Concat
    | Gather
    | Lookup
    | Thresholds
    | Requantize
    | Softmax
    | ArgMax
    | Reshape
)


@dataclass(frozen=True, eq=False)
class InputSpec:
    """How a real input becomes the input stream.

    Parameters
    ----------
    name : str
        The model's name of it.
    shape : tuple of int
        The model's shape, without batch dimension.
    order : int64 array
        Element p of the stream is element ``order[p]`` of the flattened input.
    chain, quantizer
        Real functions ahead of the input quantizer (over `channel_of`), and the quantizer.
    channel_of : int64 array
        Channel, for chain and quantizer, of each stream element.
    """

    name: str
    shape: tuple[int, ...]
    order: IntArray
    chain: Chain
    quantizer: AnyQuantizer
    channel_of: IntArray


@dataclass(frozen=True, eq=False)
class OutputSpec:
    """What the output stream means.

    Parameters
    ----------
    name : str
        The model's name of it.
    shape : tuple of int
        The model's shape, without batch dimension.
    position : int64 array
        Element i of the flattened result is stream element ``position[i]``.
    chain : Chain
        Real functions from the stream's integers to the model's numbers.
    channel_of : int64 array
        Channel, for the chain, of each stream element.
    softmax_axis, argmax_axis : int or None
        Tail that the host computes after the chain, in floating point.
    operand_shape : tuple of int
        Shape of the tensor that the tail is computed from (without tail: `shape`).
    index : bool
        Whether the hardware's result is an index (real values are integers too).
    """

    name: str
    shape: tuple[int, ...]
    position: IntArray
    chain: Chain
    channel_of: IntArray
    softmax_axis: int | None = None
    argmax_axis: int | None = None
    operand_shape: tuple[int, ...] = ()
    index: bool = False


@dataclass(frozen=True, eq=False)
class Meaning:
    """A tensor of the model graph as the integer graph has it.

    Parameters
    ----------
    node : str
        Node of the integer graph.
    position : int64 array
        Stream position of each element of the model's tensor, of its shape.
    chain : Chain
        From the integers to the model's numbers, for each channel of the integer tensor.
    """

    node: str
    position: IntArray
    chain: Chain


@dataclass(repr=False)
class IntegerGraph(Graph[IntOp, IntTensor]):
    """An integer graph with one input and one output, and their meaning.

    Parameters
    ----------
    meanings : dict
        Nodes of the model graph whose tensors have integers, and which those are.
    """

    input: InputSpec | None = field(default=None)
    output: OutputSpec | None = field(default=None)
    meanings: dict[str, Meaning] = field(default_factory=dict)

    def spec(self) -> tuple[InputSpec, OutputSpec]:
        """Input and output specification of a complete graph."""
        if self.input is None or self.output is None:
            raise ValueError("the integer graph is not complete")
        return self.input, self.output


def ranges(graph: IntegerGraph, name: str) -> tuple[IntArray, IntArray]:
    """Least and greatest reachable value of each channel of a tensor [channels]."""
    node, tensor = graph[name], graph.types[name]
    if isinstance(node.op, Conv):
        return node.op.output_ranges(graph.types[node.inputs[0]].type)
    low = np.full(tensor.channels, tensor.type.low, dtype=np.int64)
    high = np.full(tensor.channels, tensor.type.high, dtype=np.int64)
    return low, high
