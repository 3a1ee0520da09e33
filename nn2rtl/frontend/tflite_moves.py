"""Moving the elements of a tensor of TensorFlow Lite: what its operators have in common."""

from __future__ import annotations

from dataclasses import replace
from math import prod

import numpy as np

from nn2rtl.frontend.tflite_context import MAX_GATHER, OperatorContext
from nn2rtl.frontend.tflite_values import Activation, Constant, Value, quantization_of, sample
from nn2rtl.ir.types import IntArray

Shape = tuple[int, ...]


def places(context: OperatorContext, x: Value) -> IntArray:
    """For each element of an operand, its place in the flattened tensor."""
    check_size(context, x.shape)
    return np.arange(prod(x.shape), dtype=np.int64).reshape(x.shape)


def check_size(context: OperatorContext, sizes: list[int] | Shape) -> None:
    """Refuse an index of too many elements before it is made."""
    if prod(sizes) > MAX_GATHER:
        raise context.unsupported(f"a tensor of {prod(sizes)} elements is too large")


def rearranged(context: OperatorContext, x: Value, index: IntArray, place: int = 0) -> Value:
    """The operand's elements at `index`, as the result number `place`."""
    shape = tuple(index.shape)
    if isinstance(x, Constant):
        return computed(context, x.values.ravel()[index], place)
    context.check_shape(shape, place)
    _check_kept(context, x, place)
    return context.result(context.gathered(x.node, index, shape), x, shape)


def reshaped(context: OperatorContext, x: Value, shape: Shape) -> Value:
    """The operand under another shape of the file."""
    if isinstance(x, Constant):
        return computed(context, x.values.reshape(shape))
    context.check_shape(shape)
    _check_kept(context, x, 0)
    return replace(x, node=context.reshaped(x.node, sample(shape)), shape=shape)


def _check_kept(context: OperatorContext, x: Activation, place: int) -> None:
    """Moving elements changes neither type nor scale."""
    data = context.results[place]
    if x.quantization is not None and quantization_of(data) != x.quantization:
        raise context.invalid("operand and result have different scales or zero points")


def computed(context: OperatorContext, values: IntArray, place: int = 0) -> Constant:
    """A result that is known."""
    return Constant(np.asarray(values), context.results[place])


def single(context: OperatorContext, index: int) -> int:
    """A constant operand that is one integer."""
    values = context.whole_numbers(index).ravel()
    if len(values) != 1:
        raise context.invalid(f"input {index} has to be one integer")
    return int(values[0])


def pad_sizes(context: OperatorContext, x: Activation) -> IntArray:
    """Elements before and after each axis [axes, 2], from input 1."""
    sizes = context.whole_numbers(1)
    if sizes.shape != (len(x.shape), 2) or sizes.min(initial=0) < 0 or sizes.max() > 1 << 20:
        raise context.invalid(f"pads of shape {list(sizes.shape)} for {list(x.shape)}")
    return sizes
