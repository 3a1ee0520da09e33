"""Types of tensors: real-valued in the model graph, integers in the integer graph."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.int64]
ExactArray = npt.NDArray[np.object_]  # of Fraction


@dataclass(frozen=True)
class RealType:
    """A real-valued tensor of the model.

    Parameters
    ----------
    shape : tuple of int
        Shape without the batch dimension, in the model's own axis order.
    """

    shape: tuple[int, ...]

    @property
    def size(self) -> int:
        """Number of elements of one sample."""
        return prod(self.shape)

    def __str__(self) -> str:
        return "x".join(map(str, self.shape)) or "scalar"


@dataclass(frozen=True)
class IntType:
    """The integers from `low` to `high`, both included.

    Attributes
    ----------
    signed : bool
        Whether negative values occur.
    width : int
        Bits needed, at least 1.
    """

    low: int
    high: int

    def __post_init__(self) -> None:
        if self.low > self.high:
            raise ValueError(f"empty integer interval [{self.low}, {self.high}]")

    @property
    def signed(self) -> bool:
        return self.low < 0

    @property
    def width(self) -> int:
        if self.signed:
            return max((-self.low - 1).bit_length(), max(self.high, 0).bit_length()) + 1
        return max(1, self.high.bit_length())

    def __str__(self) -> str:
        return f"{'int' if self.signed else 'uint'}{self.width}"

    @classmethod
    def of_width(cls, width: int, signed: bool) -> IntType:
        """The full range of a two's complement or unsigned number of `width` bits."""
        if signed:
            return cls(-(1 << (width - 1)), (1 << (width - 1)) - 1)
        return cls(0, (1 << width) - 1)


@dataclass(frozen=True)
class IntTensor:
    """An integer tensor as hardware streams it.

    Parameters
    ----------
    shape : tuple of int
        (height, width, channels): the order of elements in the stream, channels last. A plain
        vector has height and width 1.
    type : IntType
        Range that contains every reachable element.
    """

    shape: tuple[int, int, int]
    type: IntType

    @property
    def size(self) -> int:
        """Number of elements of one sample."""
        return prod(self.shape)

    @property
    def channels(self) -> int:
        return self.shape[2]

    def __str__(self) -> str:
        return f"{self.shape[0]}x{self.shape[1]}x{self.shape[2]} {self.type}"


@dataclass(frozen=True, eq=False)
class QuantizedConstant:
    """A constant tensor of integers with a real meaning: ``scale * (values - zero_point)``.

    Parameters
    ----------
    values : int64 array
        The integers, in the model's own axis order.
    scale, zero_point : arrays of Fraction
        Broadcastable to `values`.
    type : IntType
        Range of the quantizer that made them.
    """

    values: IntArray
    scale: ExactArray
    zero_point: ExactArray
    type: IntType

    @property
    def shape(self) -> tuple[int, ...]:
        return tuple(self.values.shape)

    def exact(self) -> ExactArray:
        """The real values (array of Fraction)."""
        result: Any = (exact_array(self.values) - self.zero_point) * self.scale
        return np.asarray(result, dtype=object).reshape(self.values.shape)


def exact_array(values: Any) -> ExactArray:
    """Exact rational values of an array of numbers.

    Parameters
    ----------
    values : array_like
        Integers, floats or Fractions; floats must be finite.

    Returns
    -------
    array of Fraction
        Same shape.

    Raises
    ------
    ValueError
        If a float is not finite.
    """
    array = np.asarray(values)
    if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
        raise ValueError("constant is not finite")
    result = np.empty(array.shape, dtype=object)
    if array.dtype == object:
        flat = [Fraction(v) for v in array.ravel()]
    else:
        flat = [Fraction(v) for v in array.ravel().tolist()]
    result.ravel()[:] = flat
    return result
