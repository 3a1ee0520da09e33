"""From the nodes of a file to the model graph."""

from __future__ import annotations

import importlib

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend.affine_quantization import MAX_BITS
from nn2rtl.frontend.context import MAX_TENSOR, NodeContext
from nn2rtl.frontend.order import needed_nodes
from nn2rtl.frontend.refusals import refusal
from nn2rtl.frontend.registry import Registration, find
from nn2rtl.frontend.source import SourceInput, SourceModel, SourceNode
from nn2rtl.frontend.values import Constant, Tensor, Value
from nn2rtl.ir.graph import Graph, Node
from nn2rtl.ir.model import Affine, Input, ModelGraph, ModelOp, Quantize
from nn2rtl.ir.types import RealType, exact_array

_OPERATOR_MODULES = (
    "channels_last",
    "constant_nodes",
    "elementwise",
    "functions",
    "gathers",
    "integer_operators",
    "layout",
    "linear",
    "multi_threshold",
    "pooling",
    "qdq",
    "qlinear",
    "qonnx",
    "quantized_pooling",
    "reductions",
    "requant_shift",
    "resize",
    "tail",
    "trunc",
)


def register_operators() -> None:
    """Import the modules that register handlers; a new dialect adds its name above."""
    for name in _OPERATOR_MODULES:
        importlib.import_module(f"nn2rtl.frontend.{name}")


def import_model(model: SourceModel) -> ModelGraph:
    """The model graph of a file.

    Raises
    ------
    ModelError
        If the file is not a valid network.
    UnsupportedError
        If it uses something that is not supported.
    """
    register_operators()
    nodes = needed_nodes(model)
    if len(model.outputs) != 1:
        raise UnsupportedError(
            f"the network has {len(model.outputs)} outputs: {_listed(model.outputs)}",
            remedy="export it with one output",
        )
    graph: ModelGraph = Graph(model.name)
    values: dict[str, Value | None] = {}
    entry = _used_input(model, nodes)
    given = _start(entry, graph)
    values[entry.name] = given
    # All at first: an unknown operator says more of a network than what leads to it.
    registrations = [_registration(node) for node in nodes]
    for node, registration in zip(nodes, registrations):
        _import_node(node, registration, model, graph, values)
    result = values.get(model.outputs[0])
    if isinstance(result, Tensor) and result.name == given.name:
        raise ModelError(f"output {model.outputs[0]!r} is the input itself: nothing to compute")
    if result is None and model.outputs[0] in values:
        raise UnsupportedError(
            f"output {model.outputs[0]!r} is an output of its operator that is not supported",
            node=next(node.label for node in nodes if model.outputs[0] in node.outputs),
            remedy="docs/operators.md lists the supported outputs",
        )
    if not isinstance(result, Tensor):
        raise ModelError(
            f"output {model.outputs[0]!r} is not computed from the network's input",
            remedy="check which tensor is the output",
        )
    graph.outputs = [result.name]
    graph.output_names = [model.outputs[0]]
    dropped = _drop_unread(graph, result.name)
    _name_tensors(graph, values, dropped)
    return graph


def _name_tensors(
    graph: ModelGraph, values: dict[str, Value | None], dropped: dict[str, Node[ModelOp]]
) -> None:
    """Note what the file calls the nodes' tensors, and the integers of quantized tensors."""
    names = {name: value.name for name, value in values.items() if isinstance(value, Tensor)}
    graph.tensors = {name: node for name, node in names.items() if node in graph.nodes}
    known = set(graph.tensors.values())
    for name, node in names.items():
        if node in dropped and isinstance(dropped[node].op, Affine):
            (source,) = dropped[node].inputs
            if source in graph.nodes and source not in known:
                graph.tensors[name] = source
                graph.functions[name] = dropped[node].op


def _used_input(model: SourceModel, nodes: list[SourceNode]) -> SourceInput:
    read = {name for node in nodes for name in node.inputs} | set(model.outputs)
    used = [value for value in model.inputs if value.name in read]
    if len(used) > 1:
        raise UnsupportedError(
            f"the network has {len(used)} inputs: {_listed(value.name for value in used)}",
            remedy="export it with one input",
        )
    if not used:
        raise ModelError("the output does not depend on any input of the network")
    return used[0]


def _listed(names: object) -> str:
    items = [str(name) for name in names]  # type: ignore[attr-defined]
    return ", ".join(items[:4]) + (", ..." if len(items) > 4 else "")


def _start(entry: SourceInput, graph: ModelGraph) -> Tensor:
    """The network's input; one of narrow integers is quantized as it comes."""
    kind = RealType(_sample_shape(entry))
    name = graph.append(entry.name, Input(), (), kind)
    span = entry.integers
    if span is not None and span.width <= MAX_BITS:
        op = Quantize(exact_array(1), exact_array(0), span.low, span.high)
        name = graph.append(entry.name, op, (name,), kind, entry.name)
    return Tensor(name, kind.shape)


def _drop_unread(graph: ModelGraph, output: str) -> dict[str, Node[ModelOp]]:
    """Drop, and return, the nodes that the output does not depend on, other than the input."""
    needed, pending = {next(iter(graph.nodes))}, [output]
    while pending:
        name = pending.pop()
        if name not in needed:
            needed.add(name)
            pending += graph[name].inputs
    dropped = {name: node for name, node in graph.nodes.items() if name not in needed}
    graph.nodes = {name: node for name, node in graph.nodes.items() if name in needed}
    graph.types = {name: kind for name, kind in graph.types.items() if name in needed}
    return dropped


def _sample_shape(entry: SourceInput) -> tuple[int, ...]:
    remedy = "export with a fixed input shape and a batch size of one"
    if not entry.numeric:
        raise UnsupportedError(
            f"the input is not a tensor of numbers (its element type is {entry.element})",
            node=entry.name,
            remedy="use a float or integer input",
        )
    if not entry.shape:
        raise UnsupportedError(
            "the input has no shape with a batch dimension", node=entry.name, remedy=remedy
        )
    batch, *sample = entry.shape
    if batch not in (None, 1):
        raise UnsupportedError(f"batch size {batch}", node=entry.name, remedy=remedy)
    fixed = tuple(size for size in sample if size is not None)
    if len(fixed) != len(sample):
        shown = ["?" if size is None else size for size in entry.shape]
        raise UnsupportedError(
            f"dynamic dimensions in the input's shape {shown}", node=entry.name, remedy=remedy
        )
    if RealType(fixed).size > MAX_TENSOR or len(fixed) > 8:
        raise UnsupportedError(f"the input's shape {fixed[:8]} is too large", node=entry.name)
    return fixed


def _registration(node: SourceNode) -> Registration:
    found = find(node.op, node.domain)
    if found is None:
        raise refusal(node)
    return found


def _import_node(
    node: SourceNode,
    registration: Registration,
    model: SourceModel,
    graph: ModelGraph,
    values: dict[str, Value | None],
) -> None:
    inputs = tuple(_operand(name, node, model, values) for name in node.inputs)
    for operand in inputs:
        if isinstance(operand, Tensor) and operand.tail and not registration.behind_tail:
            _refuse_behind_tail(node, operand.tail)
        if isinstance(operand, Tensor) and operand.rows and not registration.on_rows:
            raise UnsupportedError(
                f"{node.op} of a tensor {list(operand.shape)}, which has no batch dimension",
                node=node.label,
                remedy="keep the batch dimension first, with size 1 or -1",
            )
    results = registration.handler(NodeContext(node, inputs, graph, model.opset))
    results = results if isinstance(results, tuple) else (results,)
    for index, name in enumerate(node.outputs):
        if name:
            values[name] = results[index] if index < len(results) else None


def _operand(
    name: str, node: SourceNode, model: SourceModel, values: dict[str, Value | None]
) -> Value | None:
    if not name:
        return None
    if name not in values:
        initializer = model.initializers[name]
        values[name] = Constant(initializer.load(), initializer.integers)
    value = values[name]
    if value is None:
        raise UnsupportedError(
            f"it reads tensor {name!r}, an output of another operator that is not supported",
            node=node.label,
            remedy="docs/operators.md lists the supported outputs",
        )
    return value


def _refuse_behind_tail(node: SourceNode, tail: str) -> None:
    if tail == "Softmax" and node.op in ("ArgMax", "TopK"):
        raise UnsupportedError(
            f"{node.op} behind Softmax is not supported",
            node=node.label,
            remedy="drop the softmax: it does not change which element is the largest",
        )
    raise UnsupportedError(
        f"{node.op} behind {tail} is not supported",
        node=node.label,
        remedy=f"end the network with {tail}, or compute the rest on the host",
    )
