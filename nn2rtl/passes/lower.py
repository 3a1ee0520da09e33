"""Lower the model graph to the integer graph.

Each model tensor becomes an integer tensor plus a chain of exact real functions that gives its
meaning. Linear layers absorb the scale of their operand into the chain of their result, biases,
batch normalizations and activations extend the chain, and a quantizer turns the chain into one
step function with exact integer thresholds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import gcd, lcm

import numpy as np

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.passes import layout
from nn2rtl.passes.lowering import (
    Lowering,
    ModelNode,
    Value,
    integer_weight,
    is_uniform,
    transposed,
)


def lower(graph: model.ModelGraph, input_quantizer: fn.Quantizer | None = None) -> ig.IntegerGraph:
    """Lower a model graph.

    Parameters
    ----------
    graph : ModelGraph
        What the front end read.
    input_quantizer : Quantizer, optional
        Quantizer of the input, for a model that has none of its own.

    Returns
    -------
    IntegerGraph
        Every quantizer is a `Thresholds` operation in it.

    Raises
    ------
    UnsupportedError
        If the network needs a real number where hardware has only integers, or an order of
        elements that the streams do not have.
    """
    state = _Handlers(graph)
    for node in graph:
        operands = [state.values[name] for name in node.inputs]
        for operand in operands:
            if operand.tail and not isinstance(node.op, model.Reshape | model.ArgMax):
                raise UnsupportedError(
                    f"{type(node.op).__name__} after a softmax or argmax cannot be computed",
                    node=node.source,
                    remedy="cut the model off there; softmax and argmax end a network",
                )
        if isinstance(node.op, model.Input):
            value = state.start(node, input_quantizer)
        else:
            value = state.handlers[type(node.op)](node, node.op, *operands)
        state.values[node.name] = value
    state.finish(graph.outputs[0])
    return state.result


class _Handlers(Lowering):
    """One method for each operation of the model."""

    def __init__(self, graph: model.ModelGraph) -> None:
        super().__init__(graph)
        self.handlers: dict[type, Callable[..., Value]] = {
            model.Quantize: self._quantize,
            model.BipolarQuantize: self._bipolar,
            model.Conv: self._conv,
            model.MatMul: self._matmul,
            model.Affine: self._affine,
            model.Elementwise: self._elementwise,
            model.Add: self._add,
            model.MaxPool: self._max_pool,
            model.AveragePool: self._average_pool,
            model.Reshape: self._reshape,
            model.Transpose: self._transpose,
            model.Softmax: self._softmax,
            model.ArgMax: self._argmax,
        }

    # -- sources and quantizers ------------------------------------------------------------------

    def start(self, node: ModelNode, quantizer: fn.Quantizer | None) -> Value:
        """The real input, or the integers that the user's quantizer makes of it."""
        self.input_name = node.name
        value = Value(None, layout.input_position(self.graph, node.name), ())
        self.values[node.name] = value
        return value if quantizer is None else self._quantized(node, value, quantizer)

    def _quantize(self, node: ModelNode, op: model.Quantize, value: Value) -> Value:
        scale = self.channelwise(node, value, op.scale)
        zero = self.channelwise(node, value, op.zero_point)
        quantizer = fn.Quantizer(scale, zero, op.low, op.high, op.rounding)
        return self._quantized(node, value, quantizer)

    def _bipolar(self, node: ModelNode, op: model.BipolarQuantize, value: Value) -> Value:
        scale = self.channelwise(node, value, op.scale)
        result = self._quantized(node, value, fn.SignQuantizer())
        meaning = fn.affine(tuple(2 * s for s in scale), tuple(-s for s in scale))
        return replace(result, chain=(meaning,))

    def _quantized(self, node: ModelNode, value: Value, quantizer: fn.AnyQuantizer) -> Value:
        """Append the step function of a chain and a quantizer."""
        chain: fn.Chain = ()
        if isinstance(quantizer, fn.Quantizer):
            count = max(len(quantizer.scale), len(quantizer.zero_point))
            offset = tuple(
                -fn.pick(quantizer.scale, c) * fn.pick(quantizer.zero_point, c)
                for c in range(count)
            )
            chain = (fn.affine(quantizer.scale, offset),)
        if value.name is None:
            return self._quantized_input(node, value, quantizer, chain)
        tensor = self.result.types[value.name]
        low, high = ig.ranges(self.result, value.name)
        channels = 1 if is_uniform(value.chain, quantizer) else tensor.channels
        if channels == 1:
            low, high = low.min(keepdims=True), high.max(keepdims=True)
        rows, senses = [], []
        least, greatest = quantizer.high, quantizer.low
        for channel in range(channels):
            bounds = int(low[channel]), int(high[channel])
            row, decreasing = fn.thresholds(value.chain, quantizer, channel, *bounds)
            rows.append(row)
            senses.append(decreasing)
            counts = [sum(x <= t if decreasing else x >= t for t in row) for x in bounds]
            least = min(least, quantizer.low + min(counts))
            greatest = max(greatest, quantizer.low + max(counts))
        values = np.array(rows, dtype=np.int64).reshape(channels, -1)
        # Levels that no operand reaches, or that every one does, are not built; but padding needs
        # the zero.
        if isinstance(quantizer, fn.Quantizer) and self.is_padded(node.name):
            zero = int(quantizer.zero_point[0])
            least = min(least, max(zero, quantizer.low))
            greatest = max(greatest, min(zero, quantizer.high))
        values = values[:, least - quantizer.low : greatest - quantizer.low]
        result = IntTensor(tensor.shape, IntType(least, greatest))
        definition = ig.Definition(value.chain, quantizer)
        op = ig.Thresholds(least, values, np.array(senses, dtype=np.bool_), definition)
        name = self.append(node.name, op, (value.name,), result, node.source)
        return Value(name, value.position, chain)

    def _quantized_input(
        self, node: ModelNode, value: Value, quantizer: fn.AnyQuantizer, chain: fn.Chain
    ) -> Value:
        """The input stream; the same one for each equal quantizer."""
        known = self.result.input
        if known is not None:
            if (known.chain, known.quantizer) != (value.chain, quantizer):
                raise UnsupportedError(
                    "the network's input is quantized in two ways",
                    node=node.source,
                    remedy="quantize the input once, and its copies again if need be",
                )
            source = next(n.name for n in self.result if isinstance(n.op, ig.Input))
            return Value(source, value.position, chain)
        size = value.position.size
        result = IntTensor((1, 1, size), IntType(quantizer.low, quantizer.high))
        name = self.append(self.input_name, ig.Input(), (), result, self.input_name)
        self.result.input = ig.InputSpec(
            self.input_name,
            self.graph.types[self.input_name].shape,
            layout.invert(self.values[self.input_name].position),
            value.chain,
            quantizer,
            np.arange(size, dtype=np.int64),
        )
        return Value(name, value.position, chain)

    # -- linear layers ---------------------------------------------------------------------------

    def _conv(self, node: ModelNode, op: model.Conv, value: Value) -> Value:
        if op.groups != 1:
            raise UnsupportedError(
                f"convolution with {op.groups} groups",
                node=node.source,
                remedy="only convolutions of one group are implemented",
            )
        value = self.spatial(node, value)
        name, tensor = self.integers(node, value)
        weight = integer_weight(node, op.weight)
        values = weight.values if weight.values.ndim == 4 else weight.values[:, :, None, :]
        window = ig.Window(
            (values.shape[2], values.shape[3]), _pair(op.strides), _pads(op.pads),
            _pair(op.dilations),
        )
        pad_value = self.padding(node, value, window)
        integers = np.ascontiguousarray(values.transpose(0, 2, 3, 1))
        conv = ig.Conv(integers, window, pad_value)
        size = window.output_size(*tensor.shape[:2])
        result = self._linear(node, conv, name, tensor, size, value, weight.scale)
        if op.bias is not None:
            bias = fn.affine((Fraction(1),), tuple(Fraction(b) for b in op.bias.ravel()))
            result = replace(result, chain=fn.extend(result.chain, bias))
        shape = self.graph.types[node.name].shape
        return replace(result, position=layout.channels_first_position(shape))

    def _matmul(self, node: ModelNode, op: model.MatMul, value: Value) -> Value:
        weight = integer_weight(node, op.weight, output_axis=1)
        integers = weight.values.T  # [outputs, inputs]
        shape = value.position.shape
        if len(shape) == 1:
            integers = integers[:, layout.invert(value.position)]
            rows = 1
        elif np.array_equal(value.position, layout.raster_position(shape)):
            rows = value.position.size // shape[-1]
        else:
            raise transposed(node, "keep the features of a matrix product in the last axis")
        value = self.reshaped(node, value, (1, rows, shape[-1]))
        name, tensor = self.integers(node, value)
        conv = ig.Conv(np.ascontiguousarray(integers)[:, None, None, :], ig.Window((1, 1)))
        result = self._linear(node, conv, name, tensor, (1, rows), value, weight.scale)
        position = layout.raster_position(self.graph.types[node.name].shape)
        return replace(result, position=position)

    def _linear(
        self,
        node: ModelNode,
        conv: ig.Conv,
        name: str,
        tensor: IntTensor,
        size: tuple[int, int],
        value: Value,
        weight_scale: fn.Channelwise,
    ) -> Value:
        scale, offsets = self.uniform_scale(node, value)
        low, high = conv.output_ranges(tensor.type)
        outputs = conv.weight.shape[0]
        result = IntTensor((*size, outputs), IntType(int(low.min()), int(high.max())))
        out = self.append(node.name, conv, (name,), result, node.source)
        # sum w (s q + o) = s sum w q + sum w o
        by_input = conv.weight.sum(axis=(1, 2))
        if len(offsets) == 1:
            constant = [offsets[0] * int(row.sum()) for row in by_input]
        else:
            constant = [
                sum((o * int(w) for o, w in zip(offsets, row, strict=True)), Fraction(0))
                for row in by_input
            ]
        step = fn.affine(
            tuple(scale * fn.pick(weight_scale, c) for c in range(outputs)),
            tuple(constant[c] * fn.pick(weight_scale, c) for c in range(outputs)),
        )
        return Value(out, value.position, (step,))

    # -- elementwise -----------------------------------------------------------------------------

    def _affine(self, node: ModelNode, op: model.Affine, value: Value) -> Value:
        scale, offset = (self.channelwise(node, value, v) for v in (op.scale, op.offset))
        return replace(value, chain=fn.extend(value.chain, fn.affine(scale, offset)))

    def _elementwise(self, node: ModelNode, op: model.Elementwise, value: Value) -> Value:
        return replace(value, chain=fn.extend(value.chain, fn.FunctionStep(op.function)))

    def _add(self, node: ModelNode, op: model.Add, left: Value, right: Value) -> Value:
        if not np.array_equal(left.position, right.position):
            raise UnsupportedError(
                "its operands have different shapes or element orders",
                node=node.source,
                remedy="add tensors of the same shape and axis order",
            )
        shapes = [self.integers(node, value)[1].shape for value in (left, right)]
        shape = min(shapes, key=lambda shape: shape[2])
        left, right = (self.reshaped(node, value, shape) for value in (left, right))
        (a, tensor_a), (b, tensor_b) = (self.integers(node, value) for value in (left, right))
        scale_a, offset_a = self.uniform_scale(node, left)
        scale_b, offset_b = self.uniform_scale(node, right)
        count = max(len(offset_a), len(offset_b))
        offset = tuple(fn.pick(offset_a, c) + fn.pick(offset_b, c) for c in range(count))
        if a == b:
            doubled: fn.Chain = (fn.affine((scale_a + scale_b,), offset),)
            return replace(left, chain=doubled)
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
        name = self.append(node.name, ig.WeightedSum(weights), (a, b), result, node.source)
        chain: fn.Chain = (fn.affine((Fraction(divisor, common),), offset),)
        return Value(name, left.position, chain)

    # -- pooling ---------------------------------------------------------------------------------

    def _max_pool(self, node: ModelNode, op: model.MaxPool, value: Value) -> Value:
        value = self.spatial(node, value)
        name, tensor = self.integers(node, value)
        if not fn.increases(value.chain):
            raise UnsupportedError(
                "max pooling of a tensor that is scaled by a negative number",
                node=node.source,
                remedy="put a quantizer between the scaling and the pooling",
            )
        window = ig.Window(_pair(op.kernel), _pair(op.strides), _pads(op.pads))
        size = window.output_size(*tensor.shape[:2])
        result = IntTensor((*size, tensor.channels), tensor.type)
        out = self.append(node.name, ig.MaxPool(window), (name,), result, node.source)
        position = layout.channels_first_position(self.graph.types[node.name].shape)
        return Value(out, position, value.chain)

    def _average_pool(self, node: ModelNode, op: model.AveragePool, value: Value) -> Value:
        value = self.spatial(node, value)
        name, tensor = self.integers(node, value)
        step = self.affine_step(node, value)
        window = ig.Window(_pair(op.kernel), _pair(op.strides), _pads(op.pads))
        pad_value = self.padding(node, value, window)
        size = window.output_size(*tensor.shape[:2])
        kind = IntType(tensor.type.low * window.taps, tensor.type.high * window.taps)
        result = IntTensor((*size, tensor.channels), kind)
        pool = ig.SumPool(window, pad_value)
        out = self.append(node.name, pool, (name,), result, node.source)
        mean = fn.affine(tuple(s / window.taps for s in step.scale), step.offset)
        position = layout.channels_first_position(self.graph.types[node.name].shape)
        return Value(out, position, (mean,))

    # -- order of elements -----------------------------------------------------------------------

    def _reshape(self, node: ModelNode, op: model.Reshape, value: Value) -> Value:
        if value.tail:
            return value
        shape = self.graph.types[node.name].shape
        if value.name is not None and len(shape) == 1:
            value = self.reshaped(node, value, (1, 1, shape[0]))
        return replace(value, position=value.position.reshape(shape))

    def _transpose(self, node: ModelNode, op: model.Transpose, value: Value) -> Value:
        return replace(value, position=layout.transpose(value.position, op.permutation))

    # -- tail ------------------------------------------------------------------------------------

    def _softmax(self, node: ModelNode, op: model.Softmax, value: Value) -> Value:
        self.integers(node, value)
        return replace(value, softmax_axis=op.axis)

    def _argmax(self, node: ModelNode, op: model.ArgMax, value: Value) -> Value:
        # Softmax keeps the order of its operands along its axis, so that it can be left out.
        if value.softmax_axis == op.axis:
            value = replace(value, softmax_axis=None)
        is_reshaped = self.graph.types[node.inputs[0]].shape != value.position.shape
        if value.argmax_axis is not None or value.index or (value.tail and is_reshaped):
            raise UnsupportedError(
                "argmax of an argmax, or of a reshaped softmax, cannot be computed",
                node=node.source,
                remedy="cut the model off there; softmax and argmax end a network",
            )
        name, tensor = self.integers(node, value)
        step = fn.as_affine(value.chain)
        in_hardware = (
            step is not None
            and len(step.scale) == len(step.offset) == 1
            and step.scale[0] > 0
            and not value.tail
            and value.position.shape[op.axis] == tensor.size
            and np.array_equal(value.position.ravel(), np.arange(tensor.size))
        )
        if not in_hardware:
            return replace(value, argmax_axis=op.axis)
        result = IntTensor((1, 1, 1), IntType(0, max(1, tensor.size - 1)))
        out = self.append(node.name, ig.ArgMax(), (name,), result, node.source)
        return Value(out, np.zeros(1, dtype=np.int64), (), index=True)

    def finish(self, name: str) -> None:
        """Record the output and its meaning."""
        value = self.values[name]
        out, tensor = self.integers(self.graph[name], value)
        repeats = tensor.size // tensor.channels
        self.result.outputs = [out]
        self.result.output = ig.OutputSpec(
            self.graph.output_names[0] if self.graph.output_names else name,
            self.graph.types[name].shape,
            value.position.ravel(),
            value.chain,
            np.tile(np.arange(tensor.channels, dtype=np.int64), repeats),
            value.softmax_axis,
            value.argmax_axis,
            value.position.shape,
            value.index,
        )


def _pair(values: tuple[int, ...]) -> tuple[int, int]:
    return (1, values[0]) if len(values) == 1 else (values[0], values[1])


def _pads(pads: tuple[int, ...]) -> tuple[int, int, int, int]:
    return (0, pads[0], 0, pads[1]) if len(pads) == 2 else (pads[0], pads[1], pads[2], pads[3])


