"""Operator-oriented quantization: QLinearConv and its kin, of ONNX and of onnxruntime.

Each is a standard operator between dequantizers and a quantizer, in rational arithmetic of the
file's scales. onnxruntime's kernels multiply by float32 quotients of them, so its results may
differ by one where the exact value is a tie up to float32's precision.
"""

from __future__ import annotations

from fractions import Fraction

from nn2rtl.frontend.affine_quantization import (
    dequantize,
    integers_of,
    parameters,
    quantize,
    whole_constant,
)
from nn2rtl.frontend.constants import as_exact
from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.delegation import as_standard, channels_first, channels_last
from nn2rtl.frontend.registry import STANDARD, handles
from nn2rtl.frontend.source import AttributeValue
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.types import IntType

MICROSOFT = ("com.microsoft",)
_BOTH = (*STANDARD, *MICROSOFT)
_UNARY = {
    "QLinearAveragePool": "AveragePool",
    "QLinearGlobalAveragePool": "GlobalAveragePool",
    "QLinearLeakyRelu": "LeakyRelu",
    "QLinearReduceMean": "ReduceMean",
    "QLinearSigmoid": "Sigmoid",
}


@handles("QLinearConv", domains=_BOTH, supported="as Conv; constant weight and bias")
def qlinear_conv(context: NodeContext) -> Value:
    attributes, last = _without_layout(context)
    x = _operand(context, 0)
    weight = _operand(context, 3, axis=0)
    bias = _bias(context, 8, (1, 4), Fraction(1))
    if last:
        x = channels_first(context, x)
    y = as_standard(context, "Conv", (x, weight, bias), attributes)
    return _result(context, channels_last(context, y) if last else y, 6)


@handles("QLinearMatMul", domains=_BOTH, supported="as MatMul; constant weight", on_rows=True)
def qlinear_matmul(context: NodeContext) -> Value:
    y = as_standard(context, "MatMul", (_operand(context, 0, -2), _operand(context, 3, -1)))
    return _result(context, y, 6)


@handles(
    "QGemm",
    domains=MICROSOFT,
    supported="as Gemm; constant B and C; quantized or float result",
    on_rows=True,
)
def qgemm(context: NodeContext) -> Value:
    transposed = context.integer("transB", 0)
    a, b = _operand(context, 0), _operand(context, 3, axis=0 if transposed else 1)
    bias = _bias(context, 6, (1, 4), Fraction(context.finite("alpha", 1.0)))
    y = as_standard(context, "Gemm", (a, b, bias))
    return y if context.optional(7) is None else _result(context, y, 7)


@handles("QLinearAdd", "QLinearMul", domains=MICROSOFT, supported="as Add and Mul")
def qlinear_pair(context: NodeContext) -> Value:
    operands = _operand(context, 0), _operand(context, 3)
    op = context.node.op.removeprefix("QLinear")
    return _result(context, as_standard(context, op, operands, {}), 6)


@handles("QLinearConcat", domains=MICROSOFT, supported="as Concat")
def qlinear_concat(context: NodeContext) -> Value:
    if len(context.inputs) < 5 or len(context.inputs) % 3 != 2:
        raise context.invalid("it has to have a scale, a zero point, and three inputs an operand")
    operands = tuple(_operand(context, index) for index in range(2, len(context.inputs), 3))
    return _result(context, as_standard(context, "Concat", operands), 0)


@handles(*_UNARY, domains=MICROSOFT, supported="as the standard operator; channels_last")
def qlinear_unary(context: NodeContext) -> Value:
    attributes, last = _without_layout(context)
    x = _operand(context, 0)
    if last:
        x = channels_first(context, x)
    y = as_standard(context, _UNARY[context.node.op], (x,), attributes)
    return _result(context, channels_last(context, y) if last else y, 3)


@handles("QLinearSoftmax", domains=MICROSOFT, supported="as Softmax")
def qlinear_softmax(context: NodeContext) -> Value:
    attributes = {k: v for k, v in context.node.attributes.items() if k == "axis"}
    opset = context.integer("opset", context.opset)
    y = as_standard(context, "Softmax", (_operand(context, 0),), attributes, opset)
    return _result(context, y, 3)


def _without_layout(context: NodeContext) -> tuple[dict[str, AttributeValue], bool]:
    """The attributes of the standard operator, and whether channels are the last axis."""
    attributes = dict(context.node.attributes)
    last = context.integer("channels_last", 0)
    attributes.pop("channels_last", None)
    return attributes, bool(last)


def _operand(context: NodeContext, index: int, axis: int = 1) -> Value:
    """A quantized operand, followed by its scale and zero point, as real numbers.

    Parameters
    ----------
    axis : int
        Along which scale and zero point may vary.
    """
    value = context.value(index)
    rank = len(value.batched) if isinstance(value, Tensor) else len(value.shape)
    place = max(axis + rank, 0) if axis < 0 else axis
    return dequantize(context, value, parameters(context, index + 1, index + 2), place)


def _bias(
    context: NodeContext, index: int, scales: tuple[int, int], factor: Fraction
) -> Constant | None:
    """A constant of integers times the scales of operand and weight."""
    value = context.optional(index)
    if value is None:
        return None
    if isinstance(value, Tensor):
        raise context.unsupported("its bias is computed from the network's input", "fold it")
    operand, weight = (context.exact(scale) for scale in scales)
    operand = operand.reshape(()) if operand.size == 1 else operand
    weight = weight.reshape(()) if weight.size == 1 else weight
    try:
        return Constant(
            as_exact(whole_constant(context, value).exact() * operand * weight * factor)
        )
    except ValueError:
        raise context.invalid(
            f"bias of shape {list(value.shape)} for {weight.size} scales of the weight"
        ) from None


def _result(context: NodeContext, y: Value, scale: int) -> Value:
    """The result's integers; its scale and zero point are the operands from `scale` on."""
    return quantize(context, y, parameters(context, scale, scale + 1), _span(context, scale + 1))


def _span(context: NodeContext, zero_point: int) -> IntType:
    """Range of the result: the type of its zero point, or of another where that is omitted."""
    others = [v for v in context.inputs if isinstance(v, Constant) and v.values.dtype.kind in "iu"]
    candidates = (context.optional(zero_point), *others)
    spans = [span for span in map(integers_of, candidates) if span and span.width <= 16]
    if not spans:
        raise context.unsupported(
            "the type of its result is not known", "state its zero point, also if it is 0"
        )
    return spans[0]
