"""What a name of the model file stands for while it is imported."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from nn2rtl.frontend.source import Array
from nn2rtl.ir.types import IntType, QuantizedConstant


@dataclass(frozen=True)
class Tensor:
    """A tensor that is computed from the network's input.

    Parameters
    ----------
    name : str
        Node of the graph that yields it.
    shape : tuple of int
        Without the batch dimension.
    tail : str
        'Softmax' or 'ArgMax' if it comes from one, else ''.
    rows : bool
        Whether the file's tensor has no batch: the rows of the sample are in its place, as a
        Gemm on each row of a matrix wants it.
    """

    name: str
    shape: tuple[int, ...]
    tail: str = ""
    rows: bool = False

    @property
    def batched(self) -> tuple[int, ...]:
        """Shape as the model file has it, with a batch of one unless there are rows."""
        return self.shape if self.rows else (1, *self.shape)


@dataclass(frozen=True, eq=False)
class Constant:
    """Real numbers known at compile time.

    Parameters
    ----------
    values : array
        Floats, integers or booleans as in the file, or Fractions when computed.
    integers : IntType or None
        Range of the element type, where it has fewer bits than that of `values`.
    """

    values: Array
    integers: IntType | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)


Value: TypeAlias = Tensor | Constant | QuantizedConstant
