"""ConvInteger and MatMulInteger: sums of products of integers less their zero points."""

from __future__ import annotations

from nn2rtl.frontend.affine_quantization import dequantize, parameters
from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.delegation import as_standard
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.values import Tensor, Value


@handles("ConvInteger", supported="as Conv; constant weight")
def conv_integer(context: NodeContext) -> Value:
    operands = _shifted(context, 0, 1), _shifted(context, 1, 0)
    return as_standard(context, "Conv", operands)


@handles("MatMulInteger", supported="as MatMul; constant weight")
def matmul_integer(context: NodeContext) -> Value:
    operands = _shifted(context, 0, -2), _shifted(context, 1, -1)
    return as_standard(context, "MatMul", operands)


def _shifted(context: NodeContext, index: int, axis: int) -> Value:
    """An operand less its zero point, which is two inputs behind it."""
    value = context.value(index)
    rank = len(value.batched) if isinstance(value, Tensor) else len(value.shape)
    place = max(axis + rank, 0) if axis < 0 else axis
    return dequantize(context, value, parameters(context, None, index + 2), place)
