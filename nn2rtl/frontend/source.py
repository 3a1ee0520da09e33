"""A model file as plain data: what the importer works on, whatever the file format was."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nn2rtl.ir.types import IntType

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class SourceTensor:
    """A constant tensor of the file, decoded only when a needed node reads it.

    Parameters
    ----------
    name : str
        Name in the file.
    load : callable
        Decodes and checks the data; raises ModelError.
    integers : IntType or None
        Range of the element type; None unless it is an integer type.
    """

    name: str
    load: Callable[[], Array]
    integers: IntType | None = None


@dataclass(frozen=True)
class OtherAttribute:
    """An attribute of a kind that no operator here takes, such as a subgraph."""

    kind: str


AttributeValue: TypeAlias = (
    int
    | float
    | str
    | tuple[int, ...]
    | tuple[float, ...]
    | tuple[str, ...]
    | SourceTensor
    | OtherAttribute
)


@dataclass(frozen=True)
class SourceInput:
    """An input of the network.

    Parameters
    ----------
    name : str
        Name of the tensor.
    shape : tuple of int or None, or None
        Sizes with the batch dimension, None where dynamic; None if the file states no shape.
    numeric : bool
        Whether it is a tensor of real numbers.
    integers : IntType or None
        Range of the element type; None unless it is an integer type.
    element : str
        The file's name of the element type, for messages.
    """

    name: str
    shape: tuple[int | None, ...] | None
    numeric: bool
    integers: IntType | None = None
    element: str = ""


@dataclass(frozen=True)
class SourceNode:
    """A node of the file.

    Parameters
    ----------
    op, domain : str
        Operator and the domain it belongs to ('' is the standard one).
    name : str
        Name of the node, often empty.
    inputs, outputs : tuple of str
        Names of tensors, '' for an omitted one.
    """

    op: str
    domain: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, AttributeValue]

    @property
    def label(self) -> str:
        """What to call the node: its name, or that of its first output."""
        return self.name or next((name for name in self.outputs if name), self.op)


@dataclass(frozen=True)
class SourceModel:
    """A whole file.

    Parameters
    ----------
    opset : int
        Version of the standard operators.
    inputs : tuple of SourceInput
        Without those that are initializers.
    outputs : tuple of str
        Names of tensors.
    """

    name: str
    opset: int
    inputs: tuple[SourceInput, ...]
    outputs: tuple[str, ...]
    nodes: tuple[SourceNode, ...]
    initializers: dict[str, SourceTensor]


def is_integral(array: Array) -> bool:
    """Whether an array has an integer (or boolean) element type."""
    return bool(np.issubdtype(array.dtype, np.integer)) or array.dtype == np.bool_
