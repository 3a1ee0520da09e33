"""Layers with weights: Conv, MatMul, Gemm, and BatchNormalization."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nn2rtl.frontend.constants import as_exact, rearranged, weight_of
from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import fit
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.frontend.windows import spatial_rank, window
from nn2rtl.ir.exact import exact_sqrt
from nn2rtl.ir.model import Affine, Conv, MatMul
from nn2rtl.ir.types import ExactArray, exact_array

_EPSILON = float(np.float32(1e-5))


@handles(
    "Conv",
    supported="1-D and 2-D, any stride, padding and dilation, one group; quantized weights, "
    "float or quantized bias",
)
def conv(context: NodeContext) -> Value:
    x = context.tensor(0)
    rank = spatial_rank(context, x)
    weight = weight_of(context, 1, channel_axis=0)
    groups = context.integer("group", 1)
    if len(weight.shape) != rank + 2:
        raise context.invalid(
            f"weight of shape {list(weight.shape)} does not fit input {list(x.batched)}"
        )
    outputs, inputs = weight.shape[:2]
    if groups < 1 or outputs % groups or inputs * groups != x.shape[0]:
        raise context.invalid(
            f"weight of shape {list(weight.shape)} in {groups} groups does not fit "
            f"{x.shape[0]} input channels"
        )
    area = window(context, x.shape[1:], weight.shape[2:])
    bias = None
    if context.optional(2) is not None:
        bias = context.exact(2)
        if bias.shape != (outputs,):
            raise context.invalid(f"bias of shape {list(bias.shape)} for {outputs} channels")
    op = Conv(weight, bias, area.strides, area.pads, area.dilations, groups)
    return context.emit(op, (x,), (outputs, *area.result))


@handles("MatMul", supported="activation times quantized constant matrix, over the last axis")
def matmul(context: NodeContext) -> Value:
    if not isinstance(context.value(0), Tensor):
        raise context.unsupported(
            "a constant times the activation", "transpose it to activation times constant"
        )
    x = context.tensor(0)
    weight = weight_of(context, 1, channel_axis=1)
    if len(weight.shape) != 2:
        raise context.unsupported(
            f"weight of shape {list(weight.shape)}", "use a matrix [inputs, outputs]"
        )
    return _multiply(context, x, MatMul(weight))


@handles("Gemm", supported="quantized constant B, transB, alpha, beta, constant C; no transA")
def gemm(context: NodeContext) -> Value:
    x = context.tensor(0)
    if context.integer("transA", 0):
        raise context.unsupported("transA is set", "export the linear layer without it")
    if len(x.shape) != 1:
        raise context.invalid(f"input of shape {list(x.batched)} is not a matrix")
    transposed = bool(context.integer("transB", 0))
    weight = weight_of(context, 1, channel_axis=0 if transposed else 1)
    if len(weight.shape) != 2:
        raise context.invalid(f"weight of shape {list(weight.shape)} is not a matrix")
    if transposed:
        weight = rearranged(weight, np.transpose)
    y = _multiply(context, x, MatMul(weight))
    alpha, beta = (Fraction(context.finite(name, 1.0)) for name in ("alpha", "beta"))
    offset = exact_array(0)
    if context.optional(2) is not None and beta != 0:
        offset = as_exact(fit(context, context.exact(2), y, "C") * beta)
    if alpha == 1 and not np.any(offset != 0):
        return y
    return context.emit(Affine(exact_array(alpha), offset), (y,), y.shape)


def _multiply(context: NodeContext, x: Tensor, op: MatMul) -> Tensor:
    inputs, outputs = op.weight.shape
    if not x.shape or x.shape[-1] != inputs:
        raise context.invalid(
            f"input {list(x.batched)} does not fit weight {list(op.weight.shape)}"
        )
    return context.emit(op, (x,), (*x.shape[:-1], outputs))


@handles("BatchNormalization", supported="inference, with constant parameters")
def batch_normalization(context: NodeContext) -> Value:
    x = context.tensor(0)
    if context.integer("training_mode", 0):
        raise context.unsupported("training mode", "export the network in evaluation mode")
    if not context.integer("spatial", 1):
        raise context.unsupported("statistics for each position (spatial = 0)")
    if not x.shape:
        raise context.invalid("its input has no channels")
    channels = x.shape[0]
    gamma, beta, mean, variance = (_per_channel(context, i, channels) for i in range(1, 5))
    epsilon = Fraction(context.finite("epsilon", _EPSILON))
    if any(value + epsilon <= 0 for value in variance):
        raise context.invalid("variance plus epsilon is not positive")
    scale = as_exact([g / exact_sqrt(v + epsilon) for g, v in zip(gamma, variance)])
    offset = as_exact(beta - mean * scale)
    shape = (channels,) + (1,) * (len(x.shape) - 1)
    return context.emit(Affine(scale.reshape(shape), offset.reshape(shape)), (x,), x.shape)


def _per_channel(context: NodeContext, index: int, channels: int) -> ExactArray:
    values = context.exact(index)
    if values.shape != (channels,):
        raise context.invalid(
            f"input {index} has shape {list(values.shape)}, for {channels} channels"
        )
    return values
