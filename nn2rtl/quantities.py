"""Between the model's real numbers and the integers of the streams."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from os import cpu_count
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import InputError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.float_functions import real_values
from nn2rtl.ir.float_quantizers import float_quantized
from nn2rtl.ir.types import IntArray, IntTensor

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

_MARGIN = 1e-6  # of a quantizer's step: nearer to a decision, rational arithmetic decides
_CHUNK = 1 << 17  # elements quantized at a time: they stay in the cache


def quantize_input(spec: ig.InputSpec, tensor: IntTensor, x: Array) -> IntArray:
    """The input stream for an array of real numbers, or of the stream's integers.

    Parameters
    ----------
    x : array [samples, ...]
        Real numbers (floating point) that the model's own input quantizer makes integers of, or
        those integers themselves (integer type). One sample may come without its batch axis.

    Returns
    -------
    int64 array [samples, elements]
        In stream order.

    Raises
    ------
    InputError
        On a wrong shape or type, without samples, on values that are not finite, and on integers
        out of range.
    """
    x = np.asarray(x)
    if x.dtype.kind not in "fiub":
        raise InputError(
            f"input array is of type {x.dtype}",
            node=spec.name,
            remedy="give floating point numbers, or the quantized integers as an integer array",
        )
    if x.shape == spec.shape:
        x = x[None]
    size = int(np.prod(spec.shape))
    if x.ndim < 1 or (x.shape[1:] != spec.shape and (x.ndim != 2 or x.shape[1] != size)):
        raise InputError(
            f"input array has shape {list(x.shape)}",
            node=spec.name,
            remedy=f"the model takes [samples, {', '.join(map(str, spec.shape))}]",
        )
    if not len(x):
        raise InputError(
            "input array holds no samples", node=spec.name, remedy="give at least one"
        )
    flat = x.reshape(len(x), size)
    if (spec.order[1:] < spec.order[:-1]).any():  # streamed in another order
        flat = flat[:, spec.order]
    if x.dtype.kind in "iub":
        if flat.min() < tensor.type.low or flat.max() > tensor.type.high:
            raise InputError(
                f"integers from {flat.min()} to {flat.max()} are out of the input's range "
                f"{tensor.type.low} to {tensor.type.high}",
                node=spec.name,
                remedy="give real numbers as floating point, or integers within that range",
            )
        return flat.astype(np.int64)
    if not np.isfinite(flat).all():
        raise InputError(
            "input array holds NaN or infinity", node=spec.name, remedy="clean the data"
        )
    result = np.empty(flat.shape, dtype=np.int64)
    rows = max(1, _CHUNK // size)
    starts = range(0, len(flat), rows)

    def part(start: int) -> None:
        chunk = flat[start : start + rows].astype(np.float64)
        with np.errstate(over="ignore"):  # infinity is clipped as any large number is
            result[start : start + rows] = _quantize_real(spec, chunk)

    with ThreadPoolExecutor(cpu_count() or 1) as pool:
        list(pool.map(part, starts))
    return result


def _quantize_real(spec: ig.InputSpec, flat: Floats) -> IntArray:
    """Quantize exactly: in float64, and in rational arithmetic close to a decision."""
    exact = real_values(spec.chain, spec.channel_of, flat)
    magnitude = float(np.abs(flat).max(initial=0.0))
    result, close = float_quantized(spec.quantizer, exact, spec.channel_of, _MARGIN, magnitude)
    if not close.any():
        return result
    known: dict[tuple[int, float], int] = {}
    for sample, element in zip(*np.nonzero(close), strict=True):
        number, channel = float(flat[sample, element]), int(spec.channel_of[element])
        key = (channel, number)
        if key not in known:
            real = fn.evaluate(spec.chain, Fraction(number), channel)
            known[key] = fn.quantize(spec.quantizer, real, channel)
        result[sample, element] = known[key]
    return result


def dequantize_output(spec: ig.OutputSpec, stream: IntArray) -> Array:
    """The model's outputs for an output stream [samples, elements].

    Returns
    -------
    array [samples, ...]
        float64, or int64 where the model yields an index.
    """
    shape = (len(stream), *spec.shape)
    if spec.index:
        return stream.reshape(shape)
    real = real_values(spec.chain, spec.channel_of, stream.astype(np.float64))[:, spec.position]
    real = real.reshape(len(stream), *spec.operand_shape)
    if spec.softmax_axis is not None:
        axis = spec.softmax_axis + 1
        powers = np.exp(real - real.max(axis=axis, keepdims=True))
        real = powers / powers.sum(axis=axis, keepdims=True)
    if spec.argmax_axis is not None:
        return np.asarray(np.argmax(real, axis=spec.argmax_axis + 1)).reshape(shape)
    return real.reshape(shape)


def raw_output(spec: ig.OutputSpec, stream: IntArray) -> IntArray:
    """The integers of output streams [samples, elements], in the model's axis order.

    The shape is that of the model's output, or of the operand of a softmax or argmax that the
    host computes.
    """
    if spec.index:
        return stream.reshape(len(stream), *spec.shape)
    return stream[:, spec.position].reshape(len(stream), *spec.operand_shape)
