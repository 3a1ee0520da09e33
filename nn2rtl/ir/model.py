"""The model graph: real-valued operations with explicit quantizers, as a model file means them.

Shapes and axes are the model's own, without the batch dimension (axis 0 is the first after it).
Each dialect of the front end yields this graph; passes lower it to the integer graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from nn2rtl.ir.graph import Graph
from nn2rtl.ir.types import ExactArray, QuantizedConstant, RealType


class Rounding(Enum):
    """How a real number becomes an integer."""

    HALF_EVEN = "half_even"
    HALF_UP = "half_up"
    HALF_DOWN = "half_down"
    HALF_AWAY = "half_away"
    HALF_TO_ZERO = "half_to_zero"
    UP = "up"  # away from zero
    DOWN = "down"  # towards zero
    CEIL = "ceil"
    FLOOR = "floor"


class Function(Enum):
    """Elementwise functions of one real number."""

    RELU = "relu"
    SIGMOID = "sigmoid"
    TANH = "tanh"


@dataclass(frozen=True)
class Input:
    """The network's input, real-valued."""


@dataclass(frozen=True, eq=False)
class Quantize:
    """``scale * (q - zero_point)`` with ``q = clip(round(x / scale + zero_point), low, high)``.

    Parameters
    ----------
    scale, zero_point : arrays of Fraction
        Broadcastable to the tensor without its batch dimension.
    low, high : int
        Range of q.
    rounding : Rounding
        How ``x / scale + zero_point`` is rounded.
    """

    scale: ExactArray
    zero_point: ExactArray
    low: int
    high: int
    rounding: Rounding = Rounding.HALF_EVEN


@dataclass(frozen=True, eq=False)
class BipolarQuantize:
    """``scale`` where ``x >= 0``, else ``-scale``.

    Parameters
    ----------
    scale : array of Fraction
        Broadcastable to the tensor without its batch dimension.
    """

    scale: ExactArray


@dataclass(frozen=True, eq=False)
class Conv:
    """Convolution over a tensor [channels, height, width] (or [channels, length]).

    Parameters
    ----------
    weight : QuantizedConstant
        [output channels, input channels / groups, kernel height, kernel width] (or
        [output channels, input channels / groups, kernel length]).
    bias : array of Fraction or None
        [output channels].
    strides, dilations : tuple of int
        One for each spatial axis.
    pads : tuple of int
        Begin of each spatial axis, then end of each, as ONNX has it.
    groups : int
        Number of groups.
    """

    weight: QuantizedConstant
    bias: ExactArray | None
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int


@dataclass(frozen=True, eq=False)
class MatMul:
    """``x @ weight`` over the last axis.

    Parameters
    ----------
    weight : QuantizedConstant
        [inputs, outputs].
    """

    weight: QuantizedConstant


@dataclass(frozen=True, eq=False)
class Affine:
    """``scale * x + offset``; the scale may be negative or zero.

    Parameters
    ----------
    scale, offset : arrays of Fraction
        Broadcastable to the tensor without its batch dimension.
    """

    scale: ExactArray
    offset: ExactArray


@dataclass(frozen=True)
class Elementwise:
    """A function of each element."""

    function: Function


@dataclass(frozen=True)
class Add:
    """Sum of two tensors of the same shape."""


@dataclass(frozen=True)
class MaxPool:
    """Largest value in each window of a channels-first tensor; padding never wins.

    Attributes as in `Conv`.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]


@dataclass(frozen=True)
class AveragePool:
    """Mean of each window of a channels-first tensor (zero padding counts, if there is any).

    Attributes as in `Conv`.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]


@dataclass(frozen=True)
class Reshape:
    """The same elements in row-major order under the result type's shape."""


@dataclass(frozen=True)
class Transpose:
    """Permuted axes.

    Parameters
    ----------
    permutation : tuple of int
        Axis i of the result is axis ``permutation[i]`` of the operand (batch not counted).
    """

    permutation: tuple[int, ...]


@dataclass(frozen=True)
class Softmax:
    """Softmax over one axis; only at the tail of a network."""

    axis: int


@dataclass(frozen=True)
class ArgMax:
    """Index of the largest element over one axis (the first of equals); only at the tail.

    Parameters
    ----------
    axis : int
        Axis that it runs over; of length 1 in the result if `keep`, else absent.
    """

    axis: int
    keep: bool


ModelOp: TypeAlias = (
    Input
    | Quantize
    | BipolarQuantize
    | Conv
    | MatMul
    | Affine
    | Elementwise
    | Add
    | MaxPool
    | AveragePool
    | Reshape
    | Transpose
    | Softmax
    | ArgMax
)

ModelGraph: TypeAlias = Graph[ModelOp, RealType]
