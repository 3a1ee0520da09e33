"""What ends a TensorFlow Lite classifier: SOFTMAX and ARG_MAX."""

from __future__ import annotations

from nn2rtl.frontend import tflite_fixed_point as fixed
from nn2rtl.frontend.tflite_context import OperatorContext, handles
from nn2rtl.frontend.tflite_requantize import prepared
from nn2rtl.frontend.tflite_values import Activation, meaning, sample
from nn2rtl.ir.model import ArgMax, FixedPointSoftmax, Softmax


@handles("SOFTMAX", supported="int8 (or float behind DEQUANTIZE), over the last axis, at the end")
def softmax(context: OperatorContext) -> Activation:
    x = context.activation(0)
    shape = context.check_shape(x.shape)
    beta = context.real("Beta")
    given = x.quantization
    if given is None:
        node = context.affine(x.node, beta, 0)
        node = context.emit(Softmax(len(sample(shape)) - 1), (node,), sample(shape))
        return Activation(node, shape, None, "SOFTMAX")
    context.integers(0)
    result = context.quantization()
    if (result.scale, result.zero_point) != (1 / 256, -128):
        raise context.unsupported(
            f"a result of scale {result.scale} and zero point {result.zero_point}",
            "the int8 softmax has scale 1/256 and zero point -128",
        )
    parameters = prepared(context, lambda: fixed.softmax(beta, given.scale))
    scale, offset = meaning(given)
    node = context.affine(x.node, scale, offset, "meaning")
    op = FixedPointSoftmax(
        scale, offset, parameters.multiplier, parameters.left_shift, parameters.diff_min
    )
    node = context.emit(op, (node,), sample(shape))
    return Activation(node, shape, None, "SOFTMAX")


@handles("ARG_MAX", supported="over one axis, at the end")
def arg_max(context: OperatorContext) -> Activation:
    x = context.activation(0)
    axis = context.whole_numbers(1).ravel()
    if len(axis) != 1:
        raise context.invalid("its axis is not one integer")
    outer = context.axis(int(axis[0]), x.shape)
    inner = context.sample_axis(outer, x.shape)
    shape = context.check_shape((*x.shape[:outer], *x.shape[outer + 1 :]))
    inner_shape = sample(x.shape)
    result = (*inner_shape[:inner], *inner_shape[inner + 1 :])
    node = context.emit(ArgMax(inner, keep=False), (x.node,), result)
    return Activation(node, shape, None, "ARG_MAX")
