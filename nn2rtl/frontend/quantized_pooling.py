"""QuantAvgPool2d: Brevitas' average pooling, a sum without its lowest bits."""

from __future__ import annotations

from fractions import Fraction

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.delegation import channels_first, channels_last
from nn2rtl.frontend.elementwise import affine
from nn2rtl.frontend.qonnx import QONNX_DOMAINS
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.ir.model import AveragePool, Quantize, Rounding
from nn2rtl.ir.types import IntType, exact_array

_MAX_BITS = 16


@handles(
    "QuantAvgPool2d",
    domains=QONNX_DOMAINS,
    supported="operands of up to 16 bits, channels first or last",
)
def quantized_average_pool(context: NodeContext) -> Value:
    x = context.tensor(0)
    kernel, stride = context.integer("kernel", 1), context.integer("stride", 1)
    bits, kept = context.integer("ibits", 1), context.integer("obits", 1)
    signed = bool(context.integer("signed", 0))
    if len(x.shape) != 3 or kernel < 1 or stride < 1:
        raise context.invalid(f"windows of {kernel}x{kernel} of a tensor {list(x.batched)}")
    if not (1 <= bits <= _MAX_BITS and 1 <= kept <= _MAX_BITS):
        raise context.unsupported(f"{bits} and {kept} bits", f"use 1 to {_MAX_BITS} bits")
    last = context.text("data_layout", "NCHW") == "NHWC"
    if last:
        moved = channels_first(context, x)
        assert isinstance(moved, Tensor)
        x = moved
    channels, *sizes = x.shape
    if min(sizes) < kernel:
        raise context.invalid(f"a window of {kernel}x{kernel} does not fit {list(x.batched)}")
    count = kernel**2
    shift = max((((1 << bits) - 1) * count).bit_length() - kept, 0)
    shape = (channels, *((size - kernel) // stride + 1 for size in sizes))
    y = context.emit(AveragePool((kernel,) * 2, (stride,) * 2, (0,) * 4), (x,), shape)
    y = affine(context, y, Fraction(count, 1 << shift))
    span = IntType.of_width(bits, signed)  # of the operand; the sums are that many times as large
    levels = (span.low * count) >> shift, (span.high * count) >> shift
    one, zero = exact_array(1), exact_array(0)
    y = context.emit(Quantize(one, zero, *levels, Rounding.FLOOR), (y,), y.shape)
    return channels_last(context, y) if last else y
