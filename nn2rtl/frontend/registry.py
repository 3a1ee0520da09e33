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
    """A handler with what is said of it.

    Parameters
    ----------
    behind_tail : bool
        Whether it works on softmax's and argmax's output.
    on_rows : bool
        Whether it works on tensors that have rows in the place of the batch.
    """

    info: OperatorInfo
    handler: Handler
    behind_tail: bool
    on_rows: bool


_REGISTRATIONS: dict[tuple[str, str], Registration] = {}  # by operator and domain


def handles(
    *names: str,
    supported: str,
    domains: tuple[str, ...] = STANDARD,
    behind_tail: bool = False,
    on_rows: bool = False,
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
    on_rows : bool
        Whether they work on tensors that have rows in the place of the batch.

    Raises
    ------
    ValueError
        If an operator is registered already under one of the domains.
    """

    def register(handler: Handler) -> Handler:
        for name in names:
            registration = Registration(
                OperatorInfo(name, domains, supported), handler, behind_tail, on_rows
            )
            for domain in domains:
                if (name, domain) in _REGISTRATIONS:
                    raise ValueError(f"operator {name!r} of {domain!r} has a handler already")
                _REGISTRATIONS[name, domain] = registration
        return handler

    return register


def find(op: str, domain: str) -> Registration | None:
    """The registration of an operator, if there is one under this domain."""
    return _REGISTRATIONS.get((op, domain))


def registered() -> list[OperatorInfo]:
    """All operators with a handler, by name."""
    infos = {registration.info for registration in _REGISTRATIONS.values()}
    return sorted(infos, key=lambda info: (info.name, info.domains))
