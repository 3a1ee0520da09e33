"""Functions of one number: activations, clipping and rounding.

Composite functions are built from the model graph's own: ``x * sigmoid(x)`` is a product of x and a
sigmoid. Attributes are the file's float32 numbers, taken exactly; constants of an operator's
definition (1/6, 0.044715, pi) are the definition's rational or real numbers, not float32.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np

from nn2rtl.frontend.constants import as_exact
from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.elementwise import affine, product, total, with_constant
from nn2rtl.frontend.integers import whole
from nn2rtl.frontend.registry import STANDARD, handles
from nn2rtl.frontend.shapes import fit
from nn2rtl.frontend.source import Array, is_integral
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.exact import exact_sqrt, round_exact
from nn2rtl.ir.model import Affine, Elementwise, Function, Quantize, Round, Rounding
from nn2rtl.ir.types import ExactArray, IntType, QuantizedConstant, exact_array

_MICROSOFT = "com.microsoft"
_UNBOUNDED = float(np.finfo(np.float32).max)
_MAX_LEVELS = 1 << 16
_HALF = Fraction(1, 2)
# 100 digits: far closer than any quantizer of float32 numbers can tell.
_PI = Fraction(
    "3.141592653589793238462643383279502884197169399375105820974944592307816406286"
    "2089986280348253421170679"
)
_PLAIN = {
    "Relu": Function.RELU,
    "Sigmoid": Function.SIGMOID,
    "Tanh": Function.TANH,
    "Exp": Function.EXP,
    "Softplus": Function.SOFTPLUS,
    "Softsign": Function.SOFTSIGN,
    "Erf": Function.ERF,
}
_ROUNDING = {"Round": Rounding.HALF_EVEN, "Floor": Rounding.FLOOR, "Ceil": Rounding.CEIL}


def apply(
    context: NodeContext, x: Tensor, function: Function, parameter: ExactArray | None = None
) -> Tensor:
    """A function of each element."""
    return context.emit(Elementwise(function, parameter), (x,), x.shape)


def at_least(context: NodeContext, x: Tensor, bound: ExactArray | Fraction | int) -> Tensor:
    """The larger of x and a bound: ``relu(x - bound) + bound``."""
    bound = as_exact(bound)
    shifted = apply(context, affine(context, x, 1, as_exact(-bound)), Function.RELU)
    return affine(context, shifted, 1, bound)


def at_most(context: NodeContext, x: Tensor, bound: ExactArray | Fraction | int) -> Tensor:
    """The smaller of x and a bound: ``bound - relu(bound - x)``."""
    bound = as_exact(bound)
    room = apply(context, affine(context, x, -1, bound), Function.RELU)
    return affine(context, room, -1, bound)


def _attribute(context: NodeContext, name: str, default: float) -> Fraction:
    return Fraction(context.finite(name, float(np.float32(default))))


@handles(*_PLAIN, supported="tensors", on_rows=True)
def function(context: NodeContext) -> Value:
    return apply(context, context.tensor(0), _PLAIN[context.node.op])


@handles("Abs", supported="tensors and constants")
def absolute(context: NodeContext) -> Value:
    x = context.value(0)
    if isinstance(x, Tensor):
        return apply(context, x, Function.ABS)
    return Constant(as_exact(np.abs(context.exact(0))))


@handles("Floor", "Ceil", "Round", supported="tensors and constants; Round takes half to even")
def rounded(context: NodeContext) -> Value:
    x, rounding = context.value(0), _ROUNDING[context.node.op]
    if isinstance(x, Tensor):
        return x if whole(context.graph, x.name) else context.emit(Round(rounding), (x,), x.shape)
    values = context.exact(0)
    integers = [round_exact(value, rounding) for value in values.ravel()]
    return Constant(exact_array(as_exact(integers)).reshape(values.shape))


@handles("Sign", supported="tensors")
def sign(context: NodeContext) -> Value:
    x = context.tensor(0)  # away from zero, and between -1 and 1
    op = Quantize(exact_array(1), exact_array(0), -1, 1, Rounding.UP)
    return context.emit(op, (x,), x.shape)


@handles("LeakyRelu", supported="tensors", on_rows=True)
def leaky_relu(context: NodeContext) -> Value:
    slope = exact_array(_attribute(context, "alpha", 0.01))
    return apply(context, context.tensor(0), Function.LEAKY_RELU, slope)


@handles("PRelu", supported="constant slope, per tensor or per channel")
def prelu(context: NodeContext) -> Value:
    x = context.tensor(0)
    slope = as_exact(fit(context, context.exact(1), x, "the slope"))
    return apply(context, x, Function.LEAKY_RELU, slope)


@handles("Elu", supported="tensors")
def elu(context: NodeContext) -> Value:
    parameter = exact_array(_attribute(context, "alpha", 1.0))
    return apply(context, context.tensor(0), Function.ELU, parameter)


@handles("Selu", supported="tensors")
def selu(context: NodeContext) -> Value:
    parameter = exact_array(_attribute(context, "alpha", 1.6732632423543772))
    y = apply(context, context.tensor(0), Function.ELU, parameter)
    return affine(context, y, _attribute(context, "gamma", 1.0507009873554805))


@handles("Celu", supported="tensors, alpha above zero")
def celu(context: NodeContext) -> Value:
    alpha = _attribute(context, "alpha", 1.0)
    if alpha <= 0:
        raise context.invalid("attribute 'alpha' is not positive")
    narrow = affine(context, context.tensor(0), 1 / alpha)
    return affine(context, apply(context, narrow, Function.ELU, exact_array(1)), alpha)


def _hard_sigmoid(context: NodeContext, x: Tensor, slope: Fraction, offset: Fraction) -> Tensor:
    return at_most(context, at_least(context, affine(context, x, slope, offset), 0), 1)


@handles("HardSigmoid", supported="tensors")
def hard_sigmoid(context: NodeContext) -> Value:
    slope, offset = (_attribute(context, n, d) for n, d in (("alpha", 0.2), ("beta", 0.5)))
    return _hard_sigmoid(context, context.tensor(0), slope, offset)


@handles("HardSwish", supported="tensors")
def hard_swish(context: NodeContext) -> Value:
    x = context.tensor(0)
    return product(context, x, _hard_sigmoid(context, x, Fraction(1, 6), _HALF))


def _swish(context: NodeContext, x: Tensor, factor: Fraction) -> Tensor:
    gate = apply(context, affine(context, x, factor), Function.SIGMOID)
    return product(context, x, gate)


@handles("Swish", supported="tensors")
def swish(context: NodeContext) -> Value:
    return _swish(context, context.tensor(0), _attribute(context, "alpha", 1.0))


@handles("QuickGelu", supported="tensors", domains=(_MICROSOFT,))
def quick_gelu(context: NodeContext) -> Value:
    return _swish(context, context.tensor(0), _attribute(context, "alpha", 1.702))


@handles("Mish", supported="tensors")
def mish(context: NodeContext) -> Value:
    x = context.tensor(0)
    gate = apply(context, apply(context, x, Function.SOFTPLUS), Function.TANH)
    return product(context, x, gate)


@handles(
    "Gelu",
    supported="approximate none and tanh",
    domains=(*STANDARD, _MICROSOFT),
    on_rows=True,
)
def gelu(context: NodeContext) -> Value:
    x, approximation = context.tensor(0), context.text("approximate", "none")
    if approximation == "tanh":
        return _tanh_gelu(context, x)
    if approximation != "none":
        raise context.invalid(f"approximation {approximation!r} is unknown")
    inner = affine(context, x, exact_sqrt(_HALF))
    return product(context, x, _halved(context, apply(context, inner, Function.ERF)))


@handles("FastGelu", supported="tensors, with an optional constant bias", domains=(_MICROSOFT,))
def fast_gelu(context: NodeContext) -> Value:
    x = context.tensor(0)
    if context.optional(1) is not None:
        x, bias = with_constant(context, x, 1)
        x = affine(context, x, 1, bias)
    return _tanh_gelu(context, x)


def _tanh_gelu(context: NodeContext, x: Tensor) -> Tensor:
    cube = product(context, product(context, x, x), x)
    inner = total(context, x, affine(context, cube, Fraction("0.044715")))
    inner = affine(context, inner, exact_sqrt(2 / _PI))
    return product(context, x, _halved(context, apply(context, inner, Function.TANH)))


def _halved(context: NodeContext, x: Tensor) -> Tensor:
    """From -1 to 1 to from 0 to 1."""
    return affine(context, x, _HALF, _HALF)


@handles("Min", "Max", supported="a tensor and constants; constants")
def extremum(context: NodeContext) -> Value:
    values = [context.value(index) for index in range(len(context.inputs))]
    tensors = [value for value in values if isinstance(value, Tensor)]
    largest = context.node.op == "Max"
    if not tensors:
        arrays = [context.exact(index) for index in range(len(values))]
        result = arrays[0]
        for array in arrays[1:]:
            result = as_exact((np.maximum if largest else np.minimum)(result, array))
        return Constant(result)
    if len(tensors) > 1:
        raise context.unsupported(
            f"the {context.node.op.lower()}imum of two activations",
            "only bounds that are constants are supported",
        )
    x = tensors[0]
    for index, value in enumerate(values):
        if not isinstance(value, Tensor):
            x, bound = with_constant(context, x, index)
            x = (at_least if largest else at_most)(context, x, bound)
    return x


@handles("Clip", supported="tensors and constants, with constant scalar bounds", on_rows=True)
def clip(context: NodeContext) -> Value:
    x = context.value(0)
    low, high = (_bound(context, index, name) for index, name in ((1, "min"), (2, "max")))
    if not isinstance(x, Tensor):
        return _clipped_constant(context, x, low, high)
    levels = _levels(context, x, low, high)
    if levels is not None:
        return levels
    x = x if low is None else at_least(context, x, low)
    return x if high is None else at_most(context, x, high)


def _clipped_constant(
    context: NodeContext,
    x: Constant | QuantizedConstant,
    low: Fraction | None,
    high: Fraction | None,
) -> Constant | QuantizedConstant:
    """Integers keep their type, and those of a quantizer their scale of one."""
    whole_bounds = all(bound is None or bound.denominator == 1 for bound in (low, high))
    if isinstance(x, QuantizedConstant):
        if whole_bounds and np.all(x.scale == 1) and not np.any(x.zero_point):
            ends = x.type.low, x.type.high
            least, most = (_inside(bound, *ends) for bound in _given(low, high, ends))
            values = np.minimum(np.maximum(x.values, least), most)
            return replace(x, values=values, type=IntType(min(least, most), most))
        x = Constant(x.exact())
    if whole_bounds and is_integral(x.values) and x.values.dtype != np.bool_:
        info = np.iinfo(x.values.dtype)
        ends = int(info.min), int(info.max)
        least, most = (_inside(bound, *ends) for bound in _given(low, high, ends))
        return replace(x, values=np.minimum(np.maximum(x.values, least), most))
    exact = context.to_exact(x.values)
    exact = exact if low is None else as_exact(np.maximum(exact, exact_array(low)))
    return Constant(exact if high is None else as_exact(np.minimum(exact, exact_array(high))))


def _given(
    low: Fraction | None, high: Fraction | None, ends: tuple[int, int]
) -> tuple[Fraction | int, Fraction | int]:
    return ends[0] if low is None else low, ends[1] if high is None else high


def _inside(bound: Fraction | int, low: int, high: int) -> int:
    return min(max(int(bound), low), high)


def _levels(
    context: NodeContext, x: Tensor, low: Fraction | None, high: Fraction | None
) -> Tensor | None:
    """Integers clipped to an interval of integers: these are the levels of a quantizer."""
    if low is None or high is None or not 0 <= high - low < _MAX_LEVELS:
        return None
    if low.denominator != 1 or high.denominator != 1:
        return None
    integers = whole(context.graph, x.name)
    if integers is None:
        return None
    if integers.within(int(low), int(high)):
        return x
    narrowed = _narrowed(context, x, int(low), int(high))
    if narrowed is not None:
        return narrowed
    op = Quantize(exact_array(1), exact_array(0), int(low), int(high))
    return context.emit(op, (x,), x.shape)


def _narrowed(context: NodeContext, x: Tensor, low: int, high: int) -> Tensor | None:
    """Integers of a quantizer, clipped by a quantizer of fewer levels in its place."""
    node = context.graph[x.name]
    meaning = node.op if isinstance(node.op, Affine) else Affine(exact_array(1), exact_array(0))
    if isinstance(node.op, Affine):
        node = context.graph[node.inputs[0]]
    op = node.op
    if not isinstance(op, Quantize) or np.any(meaning.scale * op.scale != 1):
        return None
    shifts = set(as_exact(meaning.offset - op.zero_point).ravel())
    shift = shifts.pop()
    if shifts or shift.denominator != 1:
        return None
    low, high = max(low - int(shift), op.low), min(high - int(shift), op.high)
    if low > high:
        return None
    source = replace(x, name=node.inputs[0], shape=context.graph.types[node.inputs[0]].shape)
    y = context.emit(replace(op, low=low, high=high), (source,), x.shape)
    return affine(context, y, meaning.scale, meaning.offset)


def _bound(context: NodeContext, index: int, name: str) -> Fraction | None:
    """A bound of Clip: an attribute up to opset 10, then an input; None if there is none."""
    if context.opset < 11:
        if not context.has(name):
            return None
        number: float | Fraction = context.real(name, 0.0)
    else:
        if context.optional(index) is None:
            return None
        values: Array = context.numbers(index)
        if values.size != 1:
            raise context.invalid(f"bound {name!r} has shape {list(values.shape)}")
        number = values.reshape(-1)[0]
        number = number if isinstance(number, Fraction) else np.asarray(number).item()
        if number != number:
            raise context.invalid(f"bound {name!r} is not a number")
    if isinstance(number, float) and abs(number) >= _UNBOUNDED:
        if (number > 0) != (name == "max"):
            raise context.invalid(f"bound {name!r} is {number}")
        return None
    return Fraction(number)
