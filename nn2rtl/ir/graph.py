"""A graph of operations in static single assignment form.

Every node yields one tensor, which bears the node's name. Nodes are kept in topological order.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar


class Operation(Protocol):
    """What a node does; concrete operations are frozen dataclasses."""


OpT = TypeVar("OpT", bound=Operation)
TypeT = TypeVar("TypeT")


@dataclass(frozen=True)
class Node(Generic[OpT]):
    """One operation and where its operands come from.

    Parameters
    ----------
    name : str
        Name of the node and of the tensor that it yields; unique in its graph.
    op : operation
        What it computes.
    inputs : tuple of str
        Names of the nodes whose tensors it reads.
    source : str
        Name of the model's node that it stems from, for messages to the user.
    """

    name: str
    op: OpT
    inputs: tuple[str, ...]
    source: str


@dataclass(repr=False)
class Graph(Generic[OpT, TypeT]):
    """Nodes in topological order, with the type of each tensor.

    Parameters
    ----------
    name : str
        Name of the network.
    nodes, types : dict
        Nodes in order, and the type of each node's tensor.
    outputs : list of str
        Nodes whose tensors are the network's outputs.
    output_names : list of str
        What the model calls them.
    tensors : dict
        What the model calls tensors, and the node that yields each.
    functions : dict
        Of those that are not the node's tensor itself (but, say, the integers behind it), the
        operation that would make them of it.
    """

    name: str
    nodes: dict[str, Node[OpT]] = field(default_factory=dict)
    types: dict[str, TypeT] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    output_names: list[str] = field(default_factory=list)
    tensors: dict[str, str] = field(default_factory=dict)
    functions: dict[str, OpT] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}: {len(self.nodes)} nodes; see summary()>"

    def __iter__(self) -> Iterator[Node[OpT]]:
        return iter(self.nodes.values())

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, name: str) -> Node[OpT]:
        return self.nodes[name]

    def append(
        self, hint: str, op: OpT, inputs: tuple[str, ...], result: TypeT, source: str | None = None
    ) -> str:
        """Append a node; its name is `hint`, made unique.

        Returns
        -------
        str
            The node's name.

        Raises
        ------
        ValueError
            If an operand is not in the graph yet.
        """
        for operand in inputs:
            if operand not in self.nodes:
                raise ValueError(f"operand {operand!r} of {hint!r} is not in the graph")
        name, count = hint, 1
        while name in self.nodes:
            count += 1
            name = f"{hint}_{count}"
        self.nodes[name] = Node(name, op, inputs, source or hint)
        self.types[name] = result
        return name

    def consumers(self, name: str) -> list[Node[OpT]]:
        """The nodes that read the tensor `name`, in order."""
        return [node for node in self if name in node.inputs]

    def summary(self) -> str:
        """The graph as a table in plain text: name, operation, operands and result."""
        rows = [("node", "operation", "operands", "result")]
        for node in self:
            operation = type(node.op).__name__
            rows.append((node.name, operation, ", ".join(node.inputs), str(self.types[node.name])))
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        return "\n".join(
            "  ".join([*(cell.ljust(w) for cell, w in zip(row, widths, strict=False)), row[3]])
            for row in rows
        )
