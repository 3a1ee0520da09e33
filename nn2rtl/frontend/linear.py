"""Layers with weights: Conv, MatMul, Gemm, and BatchNormalization."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from nn2rtl.frontend.constants import as_exact, rearranged, weight_of
from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.registry import handles
from nn2rtl.frontend.shapes import fit
from nn2rtl.frontend.values import Tensor, Value
from nn2rtl.frontend.windows import spatial_rank, transposed_window, window
from nn2rtl.ir.exact import exact_sqrt
from nn2rtl.ir.model import Affine, Conv, ConvTranspose, MatMul, Transpose
from nn2rtl.ir.types import ExactArray, exact_array

_EPSILON = float(np.float32(1e-5))


@handles(
    "Conv",
    supported="1-D and 2-D, any stride, padding, dilation and groups; quantized weights, float or "
    "quantized bias",
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
    op = Conv(weight, _bias(context, outputs), area.strides, area.pads, area.dilations, groups)
    return context.emit(op, (x,), (outputs, *area.result))


def _bias(context: NodeContext, outputs: int) -> ExactArray | None:
    if context.optional(2) is None:
        return None
    bias = context.exact(2)
    if bias.shape != (outputs,):
        raise context.invalid(f"bias of shape {list(bias.shape)} for {outputs} channels")
    return bias


@handles(
    "ConvTranspose",
    supported="1-D and 2-D, any stride, padding, dilation, groups, output_padding and "
    "output_shape; quantized weights, float or quantized bias",
)
def conv_transpose(context: NodeContext) -> Value:
    x = context.tensor(0)
    rank = spatial_rank(context, x)
    weight = weight_of(context, 1, channel_axis=1)
    groups = context.integer("group", 1)
    if len(weight.shape) != rank + 2 or groups < 1:
        raise context.invalid(
            f"weight of shape {list(weight.shape)} in {groups} groups does not fit input "
            f"{list(x.batched)}"
        )
    inputs, outputs = weight.shape[0], weight.shape[1] * groups
    if inputs != x.shape[0] or inputs % groups:
        raise context.invalid(
            f"weight of shape {list(weight.shape)} in {groups} groups does not fit "
            f"{x.shape[0]} input channels"
        )
    area = transposed_window(context, x.shape[1:], weight.shape[2:])
    op = ConvTranspose(
        weight,
        _bias(context, outputs),
        area.strides,
        area.pads,
        area.dilations,
        groups,
        area.output_padding,
    )
    return context.emit(op, (x,), (outputs, *area.result))


@handles(
    "MatMul",
    supported="a tensor and a quantized constant matrix, on either side",
    on_rows=True,
)
def matmul(context: NodeContext) -> Value:
    if not isinstance(context.value(0), Tensor):
        return _from_the_left(context)
    x = context.tensor(0)
    weight = weight_of(context, 1, channel_axis=1)
    if len(weight.shape) != 2:
        raise context.unsupported(
            f"weight of shape {list(weight.shape)}", "use a matrix [inputs, outputs]"
        )
    return _multiply(context, x, MatMul(weight))


def _from_the_left(context: NodeContext) -> Tensor:
    """``W x`` as the transpose of ``x' W'``."""
    x = context.tensor(1)
    if len(x.shape) < 2 or x.rows:
        raise context.unsupported(
            "a constant times a vector for each sample", "transpose it to activation times constant"
        )
    weight = weight_of(context, 0, channel_axis=0)
    if len(weight.shape) != 2:
        raise context.unsupported(
            f"weight of shape {list(weight.shape)}", "use a matrix [outputs, inputs]"
        )
    turned = _turned(context, x)
    return _turned(context, _multiply(context, turned, MatMul(rearranged(weight, np.transpose))))


def _turned(context: NodeContext, x: Tensor) -> Tensor:
    """The last two axes exchanged."""
    rank = len(x.shape)
    order = (*range(rank - 2), rank - 1, rank - 2)
    return context.emit(Transpose(order), (x,), tuple(x.shape[axis] for axis in order))


@handles(
    "Gemm",
    supported="quantized constant B, transB, alpha, beta, constant C; no transA",
    on_rows=True,
)
def gemm(context: NodeContext) -> Value:
    x = context.tensor(0)
    if context.integer("transA", 0):
        raise context.unsupported("transA is set", "export the linear layer without it")
    if len(x.batched) != 2:
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
