"""The nodes that the output needs, in topological order."""

from __future__ import annotations

import heapq
from collections.abc import Iterable

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend.source import SourceModel, SourceNode

_MAX_NODES = 10_000


def needed_nodes(model: SourceModel) -> list[SourceNode]:
    """Nodes that the outputs depend on, each after those that it reads, else as in the file.

    Raises
    ------
    ModelError
        If a tensor has two producers, or none, or depends on itself.
    UnsupportedError
        If there are more than 10,000 nodes.
    """
    producers = _producers(model)
    given = {value.name for value in model.inputs} | set(model.initializers)
    needed: set[int] = set()
    pending = list(_indices(model.outputs, producers, given, "the model's output list"))
    while pending:
        index = pending.pop()
        if index not in needed:
            needed.add(index)
            node = model.nodes[index]
            pending += _indices(node.inputs, producers, given, node.label)
    if len(needed) > _MAX_NODES:
        raise UnsupportedError(f"the model has {len(needed)} nodes, more than {_MAX_NODES}")

    sources = {
        index: set(_indices(model.nodes[index].inputs, producers, given, "")) for index in needed
    }
    readers: dict[int, list[int]] = {index: [] for index in needed}
    for index, operands in sources.items():
        for operand in operands:
            readers[operand].append(index)
    waiting = {index: len(operands) for index, operands in sources.items()}
    ready = [index for index, count in waiting.items() if count == 0]
    heapq.heapify(ready)
    result: list[SourceNode] = []
    while ready:
        index = heapq.heappop(ready)
        result.append(model.nodes[index])
        for reader in readers[index]:
            waiting[reader] -= 1
            if waiting[reader] == 0:
                heapq.heappush(ready, reader)
    if len(result) < len(needed):
        stuck = min(index for index, count in waiting.items() if count)
        raise ModelError(
            "its input depends on its own output (a cycle)",
            node=model.nodes[stuck].label,
            remedy="the file is not a valid ONNX graph: export it again",
        )
    return result


def _producers(model: SourceModel) -> dict[str, int]:
    producers: dict[str, int] = {}
    given = {value.name for value in model.inputs} | set(model.initializers)
    for index, node in enumerate(model.nodes):
        for name in filter(None, node.outputs):
            if name in producers or name in given:
                raise ModelError(
                    f"tensor {name!r} is produced twice",
                    node=node.label,
                    remedy="the file is not a valid ONNX graph: export it again",
                )
            producers[name] = index
    return producers


def _indices(
    names: Iterable[str], producers: dict[str, int], given: set[str], reader: str
) -> Iterable[int]:
    for name in filter(None, names):
        if name in producers:
            yield producers[name]
        elif name not in given:
            raise ModelError(
                f"tensor {name!r} is not produced by any node",
                node=reader,
                remedy="the file is not a valid ONNX graph: export it again",
            )
