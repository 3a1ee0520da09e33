"""Operators whose meaning is a standard operator between dequantizers and a quantizer."""

from __future__ import annotations

from collections.abc import Mapping

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.registry import find
from nn2rtl.frontend.source import AttributeValue, SourceNode
from nn2rtl.frontend.values import Tensor, Value


def as_standard(
    context: NodeContext,
    op: str,
    operands: tuple[Value | None, ...],
    attributes: Mapping[str, AttributeValue] | None = None,
    opset: int | None = None,
) -> Value:
    """The first result of a standard operator on given operands.

    Parameters
    ----------
    context : NodeContext
        Of the node that it stands for; messages name that node.
    attributes : mapping, optional
        Of the standard operator; by default those of the node.
    opset : int, optional
        Version of the standard operators, if it is not the model's.
    """
    registration = find(op, "")
    if registration is None:
        raise context.unsupported(f"the standard operator {op} is not supported")
    names = tuple(getattr(operand, "name", "constant") for operand in operands)
    given = context.node.attributes if attributes is None else attributes
    node = SourceNode(op, "", context.node.name, names, context.node.outputs, dict(given))
    result = registration.handler(
        NodeContext(node, operands, context.graph, opset or context.opset)
    )
    value = result[0] if isinstance(result, tuple) else result
    if value is None:
        raise context.unsupported(f"the first result of {op} is not supported")
    return value


def channels_first(context: NodeContext, x: Value) -> Value:
    """A channels-last activation with its channels moved to the front."""
    rank = len(x.batched) if isinstance(x, Tensor) else len(x.shape)
    return as_standard(context, "Transpose", (x,), {"perm": (0, rank - 1, *range(1, rank - 1))})


def channels_last(context: NodeContext, x: Value) -> Value:
    """A channels-first activation with its channels moved to the end."""
    rank = len(x.batched) if isinstance(x, Tensor) else len(x.shape)
    return as_standard(context, "Transpose", (x,), {"perm": (0, *range(2, rank), 1)})
