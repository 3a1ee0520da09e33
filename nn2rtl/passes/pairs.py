"""Lowering of sums and products of two tensors."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from math import gcd, lcm

import numpy as np

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.passes import order
from nn2rtl.passes.lowering import Lowering, ModelNode, Value


def add(state: Lowering, node: ModelNode, op: model.Add, left: Value, right: Value) -> Value:
    left, right = _aligned(state, node, left, right)
    if left.name == right.name:
        return _combined(left, right, fn.Combination.SUM)
    left, right = state.on_grid(node, left), state.on_grid(node, right)
    (a, tensor_a), (b, tensor_b) = (state.integers(node, value) for value in (left, right))
    scale_a, offset_a = state.uniform_scale(node, left)
    scale_b, offset_b = state.uniform_scale(node, right)
    count = max(len(offset_a), len(offset_b))
    offset = tuple(fn.pick(offset_a, c) + fn.pick(offset_b, c) for c in range(count))
    common = lcm(scale_a.denominator, scale_b.denominator)
    numerators = int(scale_a * common), int(scale_b * common)
    divisor = gcd(*numerators) or 1
    weights = numerators[0] // divisor, numerators[1] // divisor
    ends = [
        sorted((w * t.type.low, w * t.type.high))
        for w, t in zip(weights, (tensor_a, tensor_b), strict=True)
    ]
    kind = IntType(ends[0][0] + ends[1][0], ends[0][1] + ends[1][1])
    result = IntTensor(tensor_a.shape, kind)
    name = state.append(node.name, ig.WeightedSum(weights), (a, b), result, node.source)
    return Value(name, left.position, (fn.affine((Fraction(divisor, common),), offset),))


def mul(state: Lowering, node: ModelNode, op: model.Mul, left: Value, right: Value) -> Value:
    left, right = _aligned(state, node, left, right)
    if left.name == right.name:
        return _combined(left, right, fn.Combination.PRODUCT)
    left, right = state.on_grid(node, left), state.on_grid(node, right)
    (a, tensor_a), (b, tensor_b) = (state.integers(node, value) for value in (left, right))
    scales, offsets = [], []
    for value in (left, right):
        scale, offset = state.uniform_scale(node, value)
        if len(offset) > 1:
            raise UnsupportedError(
                "a factor of it has an offset for each channel",
                node=node.source,
                remedy="quantize both factors with one scale and zero point for the tensor",
            )
        if scale and (offset[0] / scale).denominator != 1:
            raise UnsupportedError(
                "zero is not a value of one of its quantized factors",
                node=node.source,
                remedy="quantize both factors with integer zero points",
            )
        scales.append(scale)
        offsets.append(offset[0])
    if not all(scales):  # one factor is a constant
        constant, other = (0, right) if not scales[0] else (1, left)
        step = fn.affine((offsets[constant],), (Fraction(0),))
        return replace(other, chain=fn.extend(other.chain, step))
    shifts = int(offsets[0] / scales[0]), int(offsets[1] / scales[1])
    corners = [
        (x + shifts[0]) * (y + shifts[1])
        for x, y in product(
            (tensor_a.type.low, tensor_a.type.high), (tensor_b.type.low, tensor_b.type.high)
        )
    ]
    result = IntTensor(tensor_a.shape, IntType(min(corners), max(corners)))
    name = state.append(node.name, ig.Product(shifts), (a, b), result, node.source)
    chain: fn.Chain = (fn.affine((scales[0] * scales[1],), fn.ZERO),)
    return Value(name, left.position, chain)


def _aligned(
    state: Lowering, node: ModelNode, left: Value, right: Value
) -> tuple[Value, Value]:
    """Both operands in the same order of elements and shape of stream."""
    if left.position.shape != right.position.shape:
        raise UnsupportedError(
            "its operands have different shapes", node=node.source, remedy="make them equal"
        )
    same = np.array_equal(left.position, right.position)
    if left.name is None and right.name is None and same:
        return left, right
    sizes = [state.integers(node, value)[1].size for value in (left, right)]
    if not same or sizes[0] != sizes[1]:
        left = order.settled(state, node, left)
        _, tensor = state.integers(node, left)
        right = order.arranged(state, node, right, left.position, tensor.shape)
    shapes = [state.integers(node, value)[1].shape for value in (left, right)]
    shape_of_both = min(shapes, key=lambda shape: shape[2])
    return (
        state.reshaped(node, left, shape_of_both),
        state.reshaped(node, right, shape_of_both),
    )


def _combined(left: Value, right: Value, combination: fn.Combination) -> Value:
    """The sum or product of two functions of the same tensor: a function of it."""
    a, b = fn.as_affine(left.chain), fn.as_affine(right.chain)
    if a is not None and b is not None and combination is fn.Combination.SUM:
        count = max(len(values) for values in (a.scale, a.offset, b.scale, b.offset))
        both = range(count)
        scale = tuple(fn.pick(a.scale, c) + fn.pick(b.scale, c) for c in both)
        offset = tuple(fn.pick(a.offset, c) + fn.pick(b.offset, c) for c in both)
        return replace(left, chain=(fn.affine(scale, offset),))
    return replace(left, chain=(fn.CombineStep(combination, left.chain, right.chain),))
