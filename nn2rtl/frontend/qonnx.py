"""QONNX: Quant, IntQuant and BipolarQuant, on activations and on constants."""

from __future__ import annotations

import numpy as np

from nn2rtl.frontend.constants import as_exact, full_rank
from nn2rtl.frontend.context import MAX_WEIGHTS, NodeContext, shown
from nn2rtl.frontend.quantization import quantize_constant
from nn2rtl.frontend.registry import STANDARD, handles
from nn2rtl.frontend.shapes import fit
from nn2rtl.frontend.source import Array
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.ir.model import BipolarQuantize, Quantize, Rounding
from nn2rtl.ir.types import ExactArray, IntType, QuantizedConstant, exact_array

QONNX_DOMAINS = (
    *STANDARD,
    "onnx.brevitas",
    "finn.custom_op.general",
    "qonnx.custom_op.general",
)
_MAX_ACTIVATION_BITS = 16
_MAX_CONSTANT_BITS = 32
_MAX_ZERO_POINT = 1 << 32

# QONNX's half modes are symmetric about zero.
_ROUNDING = {
    "ROUND": Rounding.HALF_EVEN,
    "HALF_EVEN": Rounding.HALF_EVEN,
    "HALF_UP": Rounding.HALF_AWAY,
    "HALF_DOWN": Rounding.HALF_TO_ZERO,
    "UP": Rounding.UP,
    "DOWN": Rounding.DOWN,
    "ROUND_TO_ZERO": Rounding.DOWN,
    "CEIL": Rounding.CEIL,
    "FLOOR": Rounding.FLOOR,
}


@handles(
    "Quant",
    "IntQuant",
    domains=QONNX_DOMAINS,
    supported="1 to 16 bits (constants to 32), any zero point, narrow, every rounding mode; "
    "signed 1 bit is bipolar",
)
def quant(context: NodeContext) -> Value:
    value = context.value(0)
    bits = _bit_width(context, _MAX_ACTIVATION_BITS if isinstance(value, Tensor) else None)
    signed, narrow = (bool(context.integer(name, d)) for name, d in (("signed", 1), ("narrow", 0)))
    mode = context.text("rounding_mode", "ROUND")
    rounding = _ROUNDING.get(mode.upper())
    if rounding is None:
        raise context.unsupported(
            f"rounding mode {mode!r} is unknown", f"use one of {', '.join(_ROUNDING)}"
        )
    scale, zero_point = _scale(context), context.exact(2)
    for number in zero_point.ravel():
        if number.denominator != 1 or abs(number) >= _MAX_ZERO_POINT:
            raise context.unsupported(
                f"zero point {shown(number)} is not a 32-bit integer",
                "quantize with an integer zero point",
            )
    if bits == 1 and signed:
        if any(number != 0 for number in zero_point.ravel()):
            raise context.unsupported("a bipolar quantizer with a zero point", "set it to 0")
        return _bipolar(context, value, scale)
    full = IntType.of_width(bits, signed)
    low = full.low + 1 if signed and narrow else full.low
    high = full.high - 1 if narrow and not signed else full.high
    if isinstance(value, Tensor):
        op = Quantize(
            _fitted(context, scale, value, "scale"),
            _fitted(context, zero_point, value, "zero point"),
            low,
            high,
            rounding,
        )
        return context.emit(op, (value,), value.shape)
    values = _finite(context)
    scale = _constant_parameter(context, scale, values, "scale")
    zero_point = _constant_parameter(context, zero_point, values, "zero point")
    integers = quantize_constant(values, scale, zero_point, low, high, rounding)
    return QuantizedConstant(integers, scale, zero_point, IntType(low, high))


@handles(
    "BipolarQuant",
    domains=QONNX_DOMAINS,
    supported="scale where x >= 0, else -scale, per tensor or per channel",
)
def bipolar_quant(context: NodeContext) -> Value:
    return _bipolar(context, context.value(0), _scale(context))


def _bipolar(context: NodeContext, value: Value, scale: ExactArray) -> Value:
    if isinstance(value, Tensor):
        op = BipolarQuantize(_fitted(context, scale, value, "scale"))
        return context.emit(op, (value,), value.shape)
    values = _finite(context)
    scale = _constant_parameter(context, scale, values, "scale")
    integers = np.where(np.asarray(values >= 0, dtype=bool), 1, -1).astype(np.int64)
    return QuantizedConstant(integers, scale, exact_array(0), IntType(-1, 1))


def _bit_width(context: NodeContext, limit: int | None) -> int:
    widths = set(context.exact(3).ravel())
    if len(widths) != 1:
        raise context.unsupported(
            "the bit width differs between elements", "use one bit width for each tensor"
        )
    width = widths.pop()
    if width.denominator != 1 or width < 1:
        raise context.unsupported(
            f"bit width {shown(width)} is not a positive integer", "use a whole bit width"
        )
    most = limit or _MAX_CONSTANT_BITS
    if width > most:
        what = "activations" if limit else "constants"
        raise context.unsupported(
            f"{shown(width)} bits are too many for {what}", f"quantize to {most} bits or fewer"
        )
    return int(width)


def _scale(context: NodeContext) -> ExactArray:
    scale = context.exact(1)
    if any(number <= 0 for number in scale.ravel()):
        raise context.invalid(
            f"scale {shown(min(scale.ravel()))} is not positive",
            "train longer, or constrain scales to positive numbers",
        )
    if scale.size == 0:
        raise context.invalid("its scale is empty")
    return scale


def _fitted(context: NodeContext, values: ExactArray, tensor: Tensor, what: str) -> ExactArray:
    if values.size == 1:
        return values.reshape(())
    return as_exact(fit(context, values, tensor, what))


def _constant_parameter(
    context: NodeContext, parameter: ExactArray, values: Array, what: str
) -> ExactArray:
    if parameter.size == 1:
        return parameter.reshape(())
    try:
        fits = np.broadcast_shapes(parameter.shape, values.shape) == values.shape
    except ValueError:
        fits = False
    if not fits:
        raise context.invalid(
            f"{what} of shape {list(parameter.shape)} does not broadcast to {list(values.shape)}"
        )
    return full_rank(parameter, values.shape)


def _finite(context: NodeContext) -> Array:
    values = context.numbers(0)
    if values.size > MAX_WEIGHTS:
        raise context.unsupported(f"{values.size} constants are too many")
    if values.dtype.kind == "f" and not np.all(np.isfinite(values)):
        raise context.invalid(
            "the constant that it quantizes contains NaN or infinity", "repair the training"
        )
    return values
