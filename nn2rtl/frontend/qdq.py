"""ONNX QDQ: QuantizeLinear and DequantizeLinear, on activations and on constants."""

from __future__ import annotations

from nn2rtl.frontend.affine_quantization import (
    Parameters,
    dequantize,
    integers_of,
    parameters,
    quantize,
)
from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.onnx_tensors import integer_type, type_name
from nn2rtl.frontend.registry import STANDARD, handles
from nn2rtl.frontend.values import Constant, Value
from nn2rtl.ir.types import IntType

DOMAINS = (*STANDARD, "com.microsoft")
_UINT8 = IntType.of_width(8, signed=False)
_AXIS = 1


@handles(
    "QuantizeLinear",
    domains=DOMAINS,
    supported="integers of 2 to 16 bits, any zero point; per tensor or along one axis, not in "
    "blocks; no float8 or float4",
    behind_tail=True,
    on_rows=True,
)
def quantize_linear(context: NodeContext) -> Value:
    given = _parameters(context)
    return quantize(
        context, context.value(0), given, _result_type(context), context.integer("axis", _AXIS)
    )


@handles(
    "DequantizeLinear",
    domains=DOMAINS,
    supported="activations and constants (weights, biases), any zero point; per tensor or along "
    "one axis, not in blocks",
    behind_tail=True,
    on_rows=True,
)
def dequantize_linear(context: NodeContext) -> Value:
    x = context.value(0)
    if isinstance(x, Constant) and integers_of(x) is None:
        raise context.unsupported(
            f"a constant of type {x.values.dtype}", "dequantize integers, not floats"
        )
    return dequantize(context, x, _parameters(context), context.integer("axis", _AXIS))


def _parameters(context: NodeContext) -> Parameters:
    if context.integer("block_size", 0):
        raise context.unsupported(
            f"blocks of {context.integer('block_size', 0)} elements",
            "quantize per tensor or per axis",
        )
    return parameters(context, 1, 2)


def _result_type(context: NodeContext) -> IntType:
    """Range of QuantizeLinear's result: the zero point's type, or as an attribute says."""
    number = context.integer("output_dtype", 0)
    stated = integer_type(number)
    if number and stated is None:
        raise context.unsupported(f"quantization to {type_name(number)}", "quantize to integers")
    zero = context.optional(2)
    if zero is None:
        return stated or _UINT8
    span = integers_of(zero)
    if span is None:
        raise context.invalid("its zero point is not a constant of an integer type")
    if stated not in (None, span):
        raise context.invalid(f"output_dtype {type_name(number)} is not the zero point's type")
    return span
