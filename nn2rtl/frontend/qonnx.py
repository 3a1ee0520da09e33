"""QONNX: Quant, IntQuant and BipolarQuant, on activations and on constants."""

from __future__ import annotations

import numpy as np

from nn2rtl.frontend.constants import as_exact, full_rank
from nn2rtl.frontend.context import MAX_WEIGHTS, NodeContext, shown
from nn2rtl.frontend.functions import at_least, at_most
from nn2rtl.frontend.quantization import quantize_constant
from nn2rtl.frontend.registry import STANDARD, handles
from nn2rtl.frontend.shapes import fit
from nn2rtl.frontend.source import Array
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.ir.model import BipolarQuantize, Quantize, Rounding
from nn2rtl.ir.types import ExactArray, IntArray, IntType, QuantizedConstant, exact_array

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
    supported="1 to 16 bits (constants to 32), also different ones for each channel or element "
    "(then also 0 bits, the integer 0), any zero point, narrow, every rounding mode; signed 1 bit "
    "for the whole tensor is bipolar",
    behind_tail=True,
    on_rows=True,
)
def quant(context: NodeContext) -> Value:
    value = context.value(0)
    bits = _bit_widths(context, _MAX_ACTIVATION_BITS if isinstance(value, Tensor) else None)
    signed, narrow = (bool(context.integer(name, d)) for name, d in (("signed", 1), ("narrow", 0)))
    rounding = rounding_mode(context, "ROUND")
    scale, zero_point = positive_scale(context, 1), context.exact(2)
    for number in zero_point.ravel():
        if number.denominator != 1 or abs(number) >= _MAX_ZERO_POINT:
            raise context.unsupported(
                f"zero point {shown(number)} is not a 32-bit integer",
                "quantize with an integer zero point",
            )
    if bits.size == 1 and bits.item() == 1 and signed:
        if any(number != 0 for number in zero_point.ravel()):
            raise context.unsupported("a bipolar quantizer with a zero point", "set it to 0")
        return _bipolar(context, value, scale)
    limits = [level_range(int(width), signed, narrow) for width in bits.ravel()]
    low, high = (np.array(ends, dtype=np.int64).reshape(bits.shape) for ends in zip(*limits))
    if isinstance(value, Tensor):
        scale = fitted(context, scale, value, "scale")
        zero_point = fitted(context, zero_point, value, "zero point")
        if bits.size > 1:
            value = _limited(context, value, scale, zero_point, low, high)
        op = Quantize(scale, zero_point, int(low.min()), int(high.max()), rounding)
        return context.emit(op, (value,), value.shape)
    values = _finite(context)
    scale = _constant_parameter(context, scale, values, "scale")
    zero_point = _constant_parameter(context, zero_point, values, "zero point")
    ends = int(low.min()), int(high.max())
    integers = quantize_constant(values, scale, zero_point, *ends, rounding)
    if bits.size > 1:
        low, high = (_constant_parameter(context, e, values, "bit width") for e in (low, high))
        integers = np.minimum(np.maximum(integers, low), high)
    return QuantizedConstant(integers, scale, zero_point, IntType(*ends))


def _limited(
    context: NodeContext,
    x: Tensor,
    scale: ExactArray,
    zero_point: ExactArray,
    low: IntArray,
    high: IntArray,
) -> Tensor:
    """A tensor clipped to what its own levels mean; behind it one quantizer serves all channels."""
    least, most = (exact_array(fit(context, ends, x, "the bit width")) for ends in (low, high))
    x = at_least(context, x, as_exact((least - zero_point) * scale))
    return at_most(context, x, as_exact((most - zero_point) * scale))


def level_range(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """The least and greatest integer of a quantizer."""
    if bits == 0:
        return 0, 0
    full = IntType.of_width(bits, signed)
    return full.low + (signed and narrow), full.high - (narrow and not signed)


def rounding_mode(context: NodeContext, default: str) -> Rounding:
    """The attribute ``rounding_mode``, in upper or lower case."""
    mode = context.text("rounding_mode", default)
    rounding = _ROUNDING.get(mode.upper())
    if rounding is None:
        raise context.unsupported(
            f"rounding mode {mode!r} is unknown", f"use one of {', '.join(_ROUNDING)}"
        )
    return rounding


@handles(
    "BipolarQuant",
    domains=QONNX_DOMAINS,
    supported="scale where x >= 0, else -scale, per tensor or per channel",
)
def bipolar_quant(context: NodeContext) -> Value:
    return _bipolar(context, context.value(0), positive_scale(context, 1))


def _bipolar(context: NodeContext, value: Value, scale: ExactArray) -> Value:
    if isinstance(value, Tensor):
        op = BipolarQuantize(fitted(context, scale, value, "scale"))
        return context.emit(op, (value,), value.shape)
    values = _finite(context)
    scale = _constant_parameter(context, scale, values, "scale")
    integers = np.where(np.asarray(values >= 0, dtype=bool), 1, -1).astype(np.int64)
    return QuantizedConstant(integers, scale, exact_array(0), IntType(-1, 1))


def _bit_widths(context: NodeContext, limit: int | None) -> IntArray:
    widths = context.exact(3)
    if widths.size == 0:
        raise context.invalid("its bit width is empty")
    several = min(widths.ravel()) != max(widths.ravel())
    most = limit or _MAX_CONSTANT_BITS
    for width in set(widths.ravel()):
        if width.denominator != 1 or width < 0 or (width == 0 and not several):
            raise context.unsupported(
                f"bit width {shown(width)} is not a positive integer", "use a whole bit width"
            )
        if width > most:
            what = "activations" if limit else "constants"
            raise context.unsupported(
                f"{shown(width)} bits are too many for {what}", f"quantize to {most} bits or fewer"
            )
    result: IntArray = widths.astype(np.int64)
    return result if several else result.ravel()[:1].reshape(())


def positive_scale(context: NodeContext, index: int) -> ExactArray:
    """A constant operand of positive numbers."""
    scale = context.exact(index)
    if scale.size == 0:
        raise context.invalid("its scale is empty")
    if any(number <= 0 for number in scale.ravel()):
        raise context.invalid(
            f"scale {shown(min(scale.ravel()))} is not positive",
            "train longer, or constrain scales to positive numbers",
        )
    return scale


def fitted(context: NodeContext, values: ExactArray, tensor: Tensor, what: str) -> ExactArray:
    """A parameter that broadcasts to a tensor without its batch dimension."""
    if values.size == 1:
        return values.reshape(())
    return as_exact(fit(context, values, tensor, what))


def _constant_parameter(context: NodeContext, parameter: Array, values: Array, what: str) -> Array:
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
