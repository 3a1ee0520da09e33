"""What a network yields at its end: probabilities, logits, or the index of the largest."""

from __future__ import annotations

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import model
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.types import RealType
from nn2rtl.passes.lowering import ModelNode

_SOFTMAX = (model.Softmax, model.FixedPointSoftmax)
_BEHIND = (model.Quantize, model.Affine, model.Round)
_ORDER = (model.Reshape, model.Transpose)


def with_softmax(graph: model.ModelGraph, choice: str) -> model.ModelGraph:
    """The network with another end in place of its softmax.

    Parameters
    ----------
    graph : ModelGraph
        As the file means it.
    choice : str
        ``keep``: as it is. ``logits``: the softmax's operand; what quantizes or scales the result
        of the softmax is dropped, too. ``argmax``: the index of the operand's largest element (the
        first of equals). A network without softmax has its logits at its end already.

    Returns
    -------
    ModelGraph
        A new graph, or the same if there is nothing to do.

    Raises
    ------
    UnsupportedError
        If there is a softmax elsewhere, or more than one vector to find the largest element of.
    """
    if choice == "keep" or isinstance(graph[graph.outputs[0]].op, model.ArgMax):
        return graph
    path = _tail(graph)
    softmax = path[0] if path and isinstance(path[0].op, _SOFTMAX) else None
    if softmax is None:
        other = next((node for node in graph if isinstance(node.op, _SOFTMAX)), None)
        if other is not None:
            raise UnsupportedError(
                f"the softmax is not at the network's end, so that --softmax {choice} cannot "
                "drop it",
                node=other.source,
                remedy="leave --softmax out",
            )
        if choice == "logits":
            return graph
    if softmax is not None:
        kept, layout = softmax.inputs[0], [n for n in path if isinstance(n.op, _ORDER)]
    else:
        kept, layout = graph.outputs[0], []
    result = _up_to(graph, kept)
    if choice == "argmax":
        kept = _index_of_largest(result, kept, softmax)
    else:
        for node in layout:
            kept = result.append(node.name, node.op, (kept,), graph.types[node.name], node.source)
    result.outputs = [kept]
    return result


def _tail(graph: model.ModelGraph) -> list[ModelNode]:
    """The nodes from a softmax to the output, if one is there; else some that end the network."""
    node = graph[graph.outputs[0]]
    path = [node]
    while isinstance(node.op, _BEHIND + _ORDER):
        node = graph[node.inputs[0]]
        path.insert(0, node)
    return path


def _up_to(graph: model.ModelGraph, name: str) -> model.ModelGraph:
    """What a tensor is computed of; the input stays."""
    needed = {name}
    for node in reversed(list(graph)):
        if node.name in needed:
            needed |= set(node.inputs)
    result: model.ModelGraph = Graph(graph.name, output_names=graph.output_names)
    for node in graph:
        if node.name in needed or isinstance(node.op, model.Input):
            result.nodes[node.name] = node
            result.types[node.name] = graph.types[node.name]
    return result


def _index_of_largest(graph: model.ModelGraph, name: str, softmax: ModelNode | None) -> str:
    source = graph[name].source if softmax is None else softmax.source
    shape = graph.types[name].shape
    if softmax is not None and isinstance(softmax.op, model.Softmax):
        axis = softmax.op.axis
    elif softmax is not None:
        axis = len(shape) - 1
    else:
        axis = max(range(len(shape)), key=lambda a: shape[a], default=0)
    if not shape or shape[axis] != graph.types[name].size:
        raise UnsupportedError(
            f"argmax over several positions: the network ends with {graph.types[name]} elements",
            node=source,
            remedy="use --softmax logits, and find the largest on the host",
        )
    result = RealType(shape[:axis] + shape[axis + 1 :])
    op = model.ArgMax(axis, keep=False)
    return graph.append(f"{name}_argmax", op, (name,), result, source)
