"""Which function imports which operator. Each dialect's module registers its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from nn2rtl.frontend.context import NodeContext
from nn2rtl.frontend.values import Value

STANDARD = ("", "ai.onnx")

Handler: TypeAlias = Callable[[NodeContext], Value | tuple[Value | None, ...]]


@dataclass(frozen=True)
class OperatorInfo:
    """An operator that can be imported.

    Parameters
    ----------
    name : str
        Name of the operator.
    domains : tuple of str
        Operator domains under which it is known ('' is the standard one).
    supported : str
        What of it is supported, in a line.
    """

    name: str
    domains: tuple[str, ...]
    supported: str


@dataclass(frozen=True)
class Registration:
    """A handler with what is said of it; `behind_tail`: works on softmax's and argmax's output."""

    info: OperatorInfo
    handler: Handler
    behind_tail: bool


_REGISTRATIONS: dict[str, Registration] = {}


def handles(
    *names: str,
    supported: str,
    domains: tuple[str, ...] = STANDARD,
    behind_tail: bool = False,
) -> Callable[[Handler], Handler]:
    """Register a function as the importer of operators.

    Parameters
    ----------
    *names : str
        Operators.
    supported : str
        What of them is supported, in a line.
    domains : tuple of str
        Domains under which they are known.
    behind_tail : bool
        Whether they may follow Softmax or ArgMax.

    Raises
    ------
    ValueError
        If an operator is registered already.
    """

    def register(handler: Handler) -> Handler:
        for name in names:
            if name in _REGISTRATIONS:
                raise ValueError(f"operator {name!r} has a handler already")
            info = OperatorInfo(name, domains, supported)
            _REGISTRATIONS[name] = Registration(info, handler, behind_tail)
        return handler

    return register


def find(op: str, domain: str) -> Registration | None:
    """The registration of an operator, if there is one under this domain."""
    registration = _REGISTRATIONS.get(op)
    return registration if registration and domain in registration.info.domains else None


def registered() -> list[OperatorInfo]:
    """All operators with a handler, by name."""
    return [_REGISTRATIONS[name].info for name in sorted(_REGISTRATIONS)]
