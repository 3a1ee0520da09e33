"""The model graph: real-valued operations with explicit quantizers, as a model file means them.

Shapes and axes are the model's own, without the batch dimension (axis 0 is the first after it).
Each dialect of the front end yields this graph; passes lower it to the integer graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from fractions import Fraction
from typing import TypeAlias

from nn2rtl.ir.graph import Graph
from nn2rtl.ir.types import ExactArray, IntArray, QuantizedConstant, RealType


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
    """Elementwise functions of one real number; some have a parameter a."""

    RELU = "relu"
    LEAKY_RELU = "leaky_relu"  # x where x >= 0, else a x
    ELU = "elu"  # x where x >= 0, else a (exp(x) - 1)
    SIGMOID = "sigmoid"
    TANH = "tanh"
    EXP = "exp"
    SOFTPLUS = "softplus"  # ln(1 + exp(x))
    SOFTSIGN = "softsign"  # x / (1 + |x|)
    ERF = "erf"
    ABS = "abs"


@dataclass(frozen=True)
class Input:
    """The network's input, real-valued."""


@dataclass(frozen=True, eq=False)
class Quantize:
    """``scale * (q - zero_point)`` with ``q = clip(round(x / scale + zero_point), low, high)``.

    With `zero_after`, ``q = clip(round(x / scale) + zero_point, low, high)``: ties differ where the
    zero point is odd (ONNX's QuantizeLinear adds it after rounding, QONNX's Quant before).

    Parameters
    ----------
    scale, zero_point : arrays of Fraction
        Broadcastable to the tensor without its batch dimension.
    low, high : int
        Range of q.
    rounding : Rounding
        How it is rounded.
    zero_after : bool
        Whether the zero point is added after rounding.
    """

    scale: ExactArray
    zero_point: ExactArray
    low: int
    high: int
    rounding: Rounding = Rounding.HALF_EVEN
    zero_after: bool = False


@dataclass(frozen=True, eq=False)
class BipolarQuantize:
    """``scale`` where ``x >= 0``, else ``-scale``.

    Parameters
    ----------
    scale : array of Fraction
        Broadcastable to the tensor without its batch dimension.
    """

    scale: ExactArray


@dataclass(frozen=True)
class Round:
    """The integer that each number is rounded to: a step of a dialect's integer arithmetic.

    Parameters
    ----------
    rounding : Rounding
        How.
    """

    rounding: Rounding


@dataclass(frozen=True, eq=False)
class MultiThreshold:
    """``scale * n + bias`` with n the number of thresholds that x reaches (``x >= t``).

    Parameters
    ----------
    thresholds : array of Fraction [channels or 1, levels]
        Ascending. Channels are axis 0 of the tensor (its only axis counts as channels, too).
    scale, bias : Fraction
        Of the result.
    """

    thresholds: ExactArray
    scale: Fraction
    bias: Fraction


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
class ConvTranspose:
    """Transposed convolution: position i and tap k add to ``i * stride + k * dilation - pad``.

    Attributes as in `Conv`, other than:

    Parameters
    ----------
    weight : QuantizedConstant
        [input channels, output channels / groups, kernel height, kernel width] (or length).
    output_padding : tuple of int
        Positions more at the end of each spatial axis.
    """

    weight: QuantizedConstant
    bias: ExactArray | None
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...]
    groups: int
    output_padding: tuple[int, ...]


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


@dataclass(frozen=True, eq=False)
class Elementwise:
    """A function of each element.

    Parameters
    ----------
    function : Function
        Which.
    parameter : array of Fraction or None
        Its parameter, broadcastable to the tensor without its batch dimension.
    """

    function: Function
    parameter: ExactArray | None = None


@dataclass(frozen=True)
class Add:
    """Sum of two tensors of the same shape."""


@dataclass(frozen=True)
class Mul:
    """Product, element by element, of two tensors of the same shape."""


@dataclass(frozen=True)
class MaxPool:
    """Largest value in each window of a channels-first tensor; padding never wins.

    Attributes as in `Conv`; `dilations` empty stands for ones.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    dilations: tuple[int, ...] = ()


@dataclass(frozen=True)
class AveragePool:
    """Sum over each window of a channels-first tensor, by the number of positions that count.

    Attributes as in `Conv`, and:

    Parameters
    ----------
    pads : tuple of int
        Zeros around the tensor that windows may reach into.
    counted : tuple of int
        How many of these pads count as positions of a window, like `pads`; None: all of them.
    """

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads: tuple[int, ...]
    counted: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Concat:
    """Several tensors joined along an axis.

    Parameters
    ----------
    axis : int
        Axis (batch not counted).
    """

    axis: int


@dataclass(frozen=True, eq=False)
class Gather:
    """Elements of the tensor at constant places: slices, repetitions, rearrangements.

    Parameters
    ----------
    index : int64 array
        Of the result's shape: the index into the flattened operand of each element of the result.
    """

    index: IntArray


@dataclass(frozen=True)
class Pad:
    """The tensor within constants.

    Parameters
    ----------
    pads : tuple of int
        Elements before, for each axis (batch not counted), then elements after, for each.
    fill : Fraction
        The constant.
    """

    pads: tuple[int, ...]
    fill: Fraction


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


@dataclass(frozen=True)
class FixedPointSoftmax:
    """TensorFlow Lite's int8 softmax over the last axis; only behind an affine quantized tensor.

    On integers q of the operand: fixed-point exponentials of ``(q - max q) * beta * scale`` and a
    fixed-point reciprocal of their sum, as in the reference kernel
    (``tensorflow/lite/kernels/internal/reference/softmax.h``). The result is ``(y + 128) / 256``
    with y from -128 to 127.

    Parameters
    ----------
    scale, offset : Fraction
        Meaning of the operand's integers: ``scale * q + offset``.
    multiplier, left_shift : int
        Of ``beta * scale``, as the kernel's preparation computes them.
    diff_min : int
        Differences below it count as zero probability.
    """

    scale: Fraction
    offset: Fraction
    multiplier: int
    left_shift: int
    diff_min: int


ModelOp: TypeAlias = (
    Input
    | Quantize
    | BipolarQuantize
    | Round
    | MultiThreshold
    | Conv
    | ConvTranspose
    | MatMul
    | Affine
    | Elementwise
    | Add
    | Mul
    | MaxPool
    | AveragePool
    | Concat
    | Gather
    | Pad
    | FixedPointSoftmax
    | Reshape
    | Transpose
    | Softmax
    | ArgMax
)

ModelGraph: TypeAlias = Graph[ModelOp, RealType]
