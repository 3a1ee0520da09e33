"""A TensorFlow Lite file as plain data."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import ModelError, UnsupportedError

Array: TypeAlias = npt.NDArray[Any]
Option: TypeAlias = int | float | bool | tuple[int, ...]

_DTYPES: dict[str, str] = {
    "FLOAT32": "<f4",
    "FLOAT16": "<f2",
    "FLOAT64": "<f8",
    "INT8": "i1",
    "UINT8": "u1",
    "BOOL": "?",
    "INT16": "<i2",
    "UINT16": "<u2",
    "INT32": "<i4",
    "UINT32": "<u4",
    "INT64": "<i8",
}


@dataclass(frozen=True, eq=False)
class TensorData:
    """A tensor of the file.

    Parameters
    ----------
    name : str
        As in the file; not always unique.
    shape : tuple of int
        With the batch dimension.
    type : str
        Name of the element type.
    scales, zero_points : arrays of float64 and int64
        Of its quantization; one entry, or one for each index along `axis`; empty without.
    axis : int
        Axis of the scales.
    data : uint8 array or None
        Content of a constant.
    special : str
        Why it cannot be read ('' if it can): sparse, variable.
    """

    name: str
    shape: tuple[int, ...]
    type: str
    scales: npt.NDArray[np.float64]
    zero_points: npt.NDArray[np.int64]
    axis: int
    data: npt.NDArray[np.uint8] | None
    special: str = ""

    @property
    def size(self) -> int:
        return prod(self.shape)

    def array(self) -> Array:
        """The constant's values (int8 where the file packs two int4 values in a byte).

        Raises
        ------
        ModelError
            If the data do not fit the shape.
        UnsupportedError
            If the element type has no numbers.
        """
        if self.data is None:
            raise ModelError("it is not a constant", node=self.name)
        if any(size < 1 for size in self.shape):
            raise ModelError(f"a constant of shape {list(self.shape)}", node=self.name)
        if self.type == "INT4":
            return self._nibbles(self.data)
        if self.type not in _DTYPES:
            raise UnsupportedError(f"a constant of type {self.type}", node=self.name)
        dtype = np.dtype(_DTYPES[self.type])
        if len(self.data) != self.size * dtype.itemsize:
            raise ModelError(
                f"the tensor has {len(self.data)} bytes of data for shape {list(self.shape)}",
                node=self.name,
                remedy="the file is damaged: export or download it again",
            )
        return np.frombuffer(self.data.tobytes(), dtype).reshape(self.shape)

    def _nibbles(self, data: npt.NDArray[np.uint8]) -> Array:
        if len(data) != (self.size + 1) // 2:
            raise ModelError(f"{len(data)} bytes of int4 data for {self.size}", node=self.name)
        pairs = np.stack([data & 15, data >> 4], axis=1).ravel()[: self.size]
        return ((pairs.astype(np.int8) ^ 8) - 8).astype(np.int8).reshape(self.shape)


@dataclass(frozen=True)
class OperatorData:
    """An operator of the file.

    Parameters
    ----------
    op : str
        Name in the schema, such as CONV_2D.
    label : str
        What to call it: the name of the tensor that it yields.
    inputs, outputs : tuple of int
        Indices of tensors, -1 for an omitted one.
    options : dict
        Of the operators that are supported.
    """

    op: str
    label: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: dict[str, Option]


@dataclass(frozen=True)
class TfliteModel:
    """The main subgraph of a file.

    Parameters
    ----------
    inputs, outputs : tuple of int
        Indices of tensors.
    """

    name: str
    tensors: tuple[TensorData, ...]
    operators: tuple[OperatorData, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
