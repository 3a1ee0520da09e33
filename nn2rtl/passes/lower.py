"""Lower the model graph to the integer graph.

Each model tensor becomes an integer tensor plus a chain of exact real functions that gives its
meaning. Linear layers absorb the scale of their operand into the chain of their result, biases,
batch normalizations and activations extend the chain, and a quantizer turns the chain into one
integer function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.passes import layout, linear, order, outputs, pairs, pooling, quantizers, softmax
from nn2rtl.passes.lowering import Lowering, ModelNode, Value
from nn2rtl.passes.rewrite import prepare


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
        Every quantizer is a `Thresholds` or `Lookup` operation in it.

    Raises
    ------
    UnsupportedError
        If the network needs a real number where hardware has only integers, or an order of
        elements that the streams do not have.
    """
    graph, renamed = prepare(graph)
    state = Lowering(graph)
    for node in graph:
        operands = [state.values[name] for name in node.inputs]
        for operand in operands:
            follows = isinstance(node.op, model.Reshape | model.ArgMax) or (
                isinstance(node.op, model.Quantize) and operand.softmax_axis is not None
            )
            if operand.tail and not follows:
                raise UnsupportedError(
                    f"{type(node.op).__name__} after a softmax or argmax cannot be computed",
                    node=node.source,
                    remedy="cut the model off there; softmax and argmax end a network",
                )
        if isinstance(node.op, model.Input):
            value = _start(state, node, input_quantizer)
        else:
            value = _HANDLERS[type(node.op)](state, node, node.op, *operands)
        state.values[node.name] = value
    outputs.finish(state, graph.outputs[0])
    for name, new in renamed.items():
        value = state.values[new]
        if value.name is not None and (value.index or not value.tail):
            state.result.meanings[name] = ig.Meaning(value.name, value.position, value.chain)
    return state.result


def _start(state: Lowering, node: ModelNode, quantizer: fn.Quantizer | None) -> Value:
    """The real input, or the integers that the user's quantizer makes of it."""
    state.input_name = node.name
    value = Value(None, layout.input_position(state.graph, node.name), ())
    state.values[node.name] = value
    return value if quantizer is None else quantizers.quantized(state, node, value, quantizer)


def _affine(state: Lowering, node: ModelNode, op: model.Affine, value: Value) -> Value:
    scale, offset = (state.channelwise(node, value, v) for v in (op.scale, op.offset))
    return replace(value, chain=fn.extend(value.chain, fn.affine(scale, offset)))


def _elementwise(state: Lowering, node: ModelNode, op: model.Elementwise, value: Value) -> Value:
    parameter = fn.ZERO
    if op.parameter is not None:
        parameter = state.channelwise(node, value, op.parameter)
    step = fn.FunctionStep(op.function, fn.merged(parameter))
    return replace(value, chain=fn.extend(value.chain, step))


def _round(state: Lowering, node: ModelNode, op: model.Round, value: Value) -> Value:
    return replace(value, chain=fn.extend(value.chain, fn.RoundStep(op.rounding)))


_HANDLERS: dict[type, Callable[..., Value]] = {
    model.Quantize: quantizers.quantize,
    model.BipolarQuantize: quantizers.bipolar,
    model.MultiThreshold: quantizers.multi_threshold,
    model.Affine: _affine,
    model.Elementwise: _elementwise,
    model.Round: _round,
    model.Conv: linear.conv,
    model.MatMul: linear.matmul,
    model.Add: pairs.add,
    model.Mul: pairs.mul,
    model.MaxPool: pooling.max_pool,
    model.AveragePool: pooling.average_pool,
    model.Reshape: order.reshape,
    model.Transpose: order.transpose,
    model.Gather: order.gather,
    model.Pad: order.pad,
    model.Concat: order.concat,
    model.Softmax: outputs.softmax,
    model.FixedPointSoftmax: softmax.fixed_point,
    model.ArgMax: outputs.arg_max,
}
