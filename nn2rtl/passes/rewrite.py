"""Rewriting of the model graph ahead of its lowering.

* A zero padding that only one convolution or mean reads becomes that layer's own padding.
* A quantizer of joined tensors moves to each of them: then each has a single scale.
* A transposed convolution becomes a convolution, whose channels hold the positions that one
  position of the operand gives rise to, and their rearrangement.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import model
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.types import (
    ExactArray,
    IntArray,
    IntType,
    QuantizedConstant,
    RealType,
    exact_array,
)
from nn2rtl.passes.lowering import ModelNode

_Rule = Callable[["_Rewriter", ModelNode, tuple[str, ...]], "str | None"]


def prepare(graph: model.ModelGraph) -> tuple[model.ModelGraph, dict[str, str]]:
    """The same network in operations that the lowering knows.

    Returns
    -------
    ModelGraph
        The network.
    dict
        The names in it of those nodes of `graph` whose tensors it still has.
    """
    names = {name: name for name in graph.nodes}
    for rule in (_transposed_convolution, _own_padding, _quantizer_of_joined):
        rewriter = _Rewriter(graph, rule)
        graph = rewriter.run()
        names = {
            name: rewriter.renamed[new]
            for name, new in names.items()
            if rewriter.renamed.get(new) in graph.nodes
        }
    return graph, names


class _Rewriter:
    """Copies a graph; a rule replaces a node by nodes that it appends itself."""

    def __init__(self, graph: model.ModelGraph, rule: _Rule) -> None:
        self.source = graph
        self.rule = rule
        self.result: model.ModelGraph = Graph(graph.name, output_names=graph.output_names)
        self.renamed: dict[str, str] = {}

    def run(self) -> model.ModelGraph:
        renamed = self.renamed
        for node in self.source:
            inputs = tuple(renamed[name] for name in node.inputs)
            new = self.rule(self, node, inputs)
            if new is None:
                new = self.append(node, node.op, inputs, self.source.types[node.name].shape)
            renamed[node.name] = new
        self.result.outputs = [renamed[name] for name in self.source.outputs]
        return self._pruned()

    def append(
        self, node: ModelNode, op: model.ModelOp, inputs: tuple[str, ...], shape: tuple[int, ...]
    ) -> str:
        """Append an operation in place of a node."""
        return self.result.append(node.name, op, inputs, RealType(shape), node.source)

    def only_reader(self, name: str) -> bool:
        """Whether one node reads a tensor of the source, and it is no output."""
        return len(self.source.consumers(name)) == 1 and name not in self.source.outputs

    def _pruned(self) -> model.ModelGraph:
        """Without nodes that nothing reads."""
        needed = set(self.result.outputs)
        for node in reversed(list(self.result)):
            if node.name in needed:
                needed |= set(node.inputs)
        keep = {n.name for n in self.result if n.name in needed or isinstance(n.op, model.Input)}
        self.result.nodes = {k: v for k, v in self.result.nodes.items() if k in keep}
        self.result.types = {k: v for k, v in self.result.types.items() if k in keep}
        return self.result


def _own_padding(graph: _Rewriter, node: ModelNode, inputs: tuple[str, ...]) -> str | None:
    op = node.op
    if not isinstance(op, model.Conv | model.AveragePool):
        return None
    pad = graph.source[node.inputs[0]]
    if not isinstance(pad.op, model.Pad) or pad.op.fill or not graph.only_reader(pad.name):
        return None
    rank = len(graph.source.types[pad.name].shape)
    before, after = pad.op.pads[:rank], pad.op.pads[rank:]
    if before[0] or after[0]:
        return None
    both = tuple(a + b for a, b in zip(op.pads, before[1:] + after[1:], strict=True))
    if isinstance(op, model.AveragePool):
        counted = op.pads if op.counted is None else op.counted
        counted = tuple(a + b for a, b in zip(counted, before[1:] + after[1:], strict=True))
        new: model.ModelOp = replace(op, pads=both, counted=counted)
    else:
        new = replace(op, pads=both)
    operand = graph.result[inputs[0]].inputs
    return graph.append(node, new, operand, graph.source.types[node.name].shape)


def _quantizer_of_joined(
    graph: _Rewriter, node: ModelNode, inputs: tuple[str, ...]
) -> str | None:
    op = node.op
    if not isinstance(op, model.Quantize | model.BipolarQuantize):
        return None
    joined = graph.source[node.inputs[0]]
    if not isinstance(joined.op, model.Concat) or not graph.only_reader(joined.name):
        return None
    sizes = [op.scale.size] + ([op.zero_point.size] if isinstance(op, model.Quantize) else [])
    if max(sizes) > 1:
        return None
    parts = tuple(
        graph.append(node, op, (name,), graph.result.types[name].shape)
        for name in graph.result[inputs[0]].inputs
    )
    return graph.append(node, joined.op, parts, graph.source.types[node.name].shape)


def _transposed_convolution(
    graph: _Rewriter, node: ModelNode, inputs: tuple[str, ...]
) -> str | None:
    op = node.op
    if not isinstance(op, model.ConvTranspose):
        return None
    shape, operand = graph.source.types[node.name].shape, graph.result.types[inputs[0]].shape
    rank = len(op.strides)
    if any(dilation != 1 for dilation in op.dilations) and any(s != 1 for s in op.strides):
        raise UnsupportedError(
            "transposed convolution with both a stride and a dilation",
            node=node.source,
            remedy="use one of them",
        )
    weight, taps = _subpixel_weight(op)
    channels, phases = shape[0], int(np.prod(op.strides))
    per_group = channels // op.groups
    bias = None
    if op.bias is not None:
        bias = np.repeat(op.bias.reshape(op.groups, 1, per_group), phases, axis=1).ravel()
    margin = tuple((t - 1) * d for t, d in zip(taps, op.dilations, strict=True))
    convolution = model.Conv(
        weight, bias, (1,) * rank, margin * 2, op.dilations, op.groups
    )
    positions = tuple(n + m for n, m in zip(operand[1:], margin, strict=True))
    name = graph.append(node, convolution, inputs, (channels * phases, *positions))
    if phases > 1:
        # Channels are [group, phases, output]; position p of phase r is position p * stride + r.
        apart = (op.groups, *op.strides, per_group, *positions)
        name = graph.append(node, model.Reshape(), (name,), apart)
        axes = [0, 1 + rank]
        for axis in range(rank):
            axes += [2 + rank + axis, 1 + axis]
        mixed = tuple(apart[axis] for axis in axes)
        name = graph.append(node, model.Transpose(tuple(axes)), (name,), mixed)
    full = tuple(p * s for p, s in zip(positions, op.strides, strict=True))
    name = graph.append(node, model.Reshape(), (name,), (channels, *full))
    # Output padding may reach beyond what any tap contributes to: zeros.
    extra = tuple(
        max(0, op.pads[a] + shape[1 + a] - full[a]) for a in range(rank)
    )
    if any(extra):
        raise UnsupportedError(
            "output padding beyond the reach of its kernel",
            node=node.source,
            remedy="use less output padding",
        )
    index: IntArray = np.arange(channels * int(np.prod(full)), dtype=np.int64)
    index = index.reshape(channels, *full)
    cuts = tuple(slice(op.pads[a], op.pads[a] + shape[1 + a]) for a in range(rank))
    index = index[(slice(None), *cuts)]
    if index.shape == (channels, *full):
        return name
    return graph.append(node, model.Gather(np.ascontiguousarray(index)), (name,), shape)


def _subpixel_weight(op: model.ConvTranspose) -> tuple[QuantizedConstant, tuple[int, ...]]:
    """Weights [outputs * phases, inputs / groups, ...taps] of the equal convolution.

    Output position ``q * stride + r`` sums ``x[q - t] w[r + stride t]`` over the taps t.
    """
    weight, groups = op.weight, op.groups
    zero = np.broadcast_to(weight.zero_point.astype(np.int64), weight.values.shape)
    values = weight.values - zero
    scale = np.broadcast_to(weight.scale, weight.values.shape)
    per_output = scale.reshape(scale.shape[0], scale.shape[1], -1)
    if not (per_output == per_output[:1, :, :1]).all() or (
        groups > 1 and not (per_output == per_output[:1, :1, :1]).all()
    ):
        raise UnsupportedError(
            "scale of the weights differs within an output channel of a transposed convolution",
            remedy="quantize the weights per tensor or per output channel",
        )
    kernel = values.shape[2:]
    rank = len(kernel)
    taps = tuple(-(-k // s) for k, s in zip(kernel, op.strides, strict=True))
    grown = [(0, t * s - k) for t, s, k in zip(taps, op.strides, kernel, strict=True)]
    values = np.pad(values, [(0, 0), (0, 0), *grown])
    inputs, outputs = values.shape[0] // groups, values.shape[1]
    # [groups, inputs, outputs, tap, phase, tap, phase]
    split = [n for t, s in zip(taps, op.strides, strict=True) for n in (t, s)]
    values = values.reshape(groups, inputs, outputs, *split)
    tap_axes = [3 + 2 * a for a in range(rank)]
    phase_axes = [4 + 2 * a for a in range(rank)]
    values = values.transpose(0, *phase_axes, 2, 1, *tap_axes)
    phases = int(np.prod(op.strides))
    values = values.reshape(groups * outputs * phases, inputs, *taps)
    values = np.flip(values, tuple(range(2, 2 + rank)))
    channel_scale: ExactArray = np.tile(per_output[0, :, 0], groups * phases)
    zeros = exact_array(np.zeros((1,) * (2 + rank), dtype=np.int64))
    low, high = int(min(values.min(), 0)), int(max(values.max(), 0))
    return (
        QuantizedConstant(
            np.ascontiguousarray(values),
            channel_scale.reshape(-1, *(1,) * (1 + rank)),
            zeros,
            IntType(low, high),
        ),
        taps,
    )
