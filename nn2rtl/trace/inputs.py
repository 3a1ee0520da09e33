"""The inputs of a comparison as the model's real numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.float_functions import real_values
from nn2rtl.ir.types import IntArray
from nn2rtl.trace.executor import Floats


def model_input(net: model.ModelGraph, graph: ig.IntegerGraph, x: Any, stream: IntArray) -> Floats:
    """The model's input as real numbers: as given, or what the quantized integers mean.

    Parameters
    ----------
    x : array [samples, ...]
        As the user gave it: real numbers, or integers of the input stream.
    stream : int64 array [samples, elements]
        The quantized input.
    """
    spec, _ = graph.spec()
    meaning = graph.meanings.get(next(iter(net.nodes)))
    shape = net.types[next(iter(net.nodes))].shape
    if meaning is not None:  # quantized as the user says
        channels = np.arange(stream.shape[1])
        quantized = real_values(meaning.chain, channels, stream.astype(np.float64))
        return np.asarray(quantized[:, meaning.position.ravel()]).reshape(len(stream), *shape)
    x = np.asarray(x)
    if x.dtype.kind == "f":
        return np.asarray(x, dtype=np.float64).reshape(len(stream), *shape)
    quantizer = spec.quantizer
    integers: Floats = stream.astype(np.float64)
    if isinstance(quantizer, fn.Quantizer):
        scale, zero = _floats(quantizer.scale), _floats(quantizer.zero_point)
        integers = scale * (integers - zero)
    elif isinstance(quantizer, fn.SignQuantizer):
        integers = 2 * integers - 1
    before = fn.as_affine(spec.chain)
    if before is not None:
        integers = (integers - _floats(before.offset)) / _floats(before.scale)
    result = np.empty(integers.shape)
    result[:, spec.order] = integers
    return result.reshape(len(stream), *shape)


def _floats(values: fn.Channelwise) -> Floats:
    return np.array([float(value) for value in values])
