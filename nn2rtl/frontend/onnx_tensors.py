"""Decoding of ONNX tensors: every length is checked before anything is allocated."""

from __future__ import annotations

import os
from math import prod
from pathlib import Path

import numpy as np
import onnx

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend.source import Array
from nn2rtl.ir.types import IntType

_MAX_BYTES = 1 << 28  # of one tensor
_MAX_EXTERNAL = 1 << 30  # of all external data
_BFLOAT16 = onnx.TensorProto.BFLOAT16

# Element type -> (numpy type, field that holds the values unless they are raw).
_TYPES: dict[int, tuple[str, str]] = {
    onnx.TensorProto.FLOAT: ("<f4", "float_data"),
    onnx.TensorProto.DOUBLE: ("<f8", "double_data"),
    onnx.TensorProto.FLOAT16: ("<f2", "int32_data"),
    _BFLOAT16: ("<u2", "int32_data"),
    onnx.TensorProto.INT8: ("<i1", "int32_data"),
    onnx.TensorProto.INT16: ("<i2", "int32_data"),
    onnx.TensorProto.INT32: ("<i4", "int32_data"),
    onnx.TensorProto.INT64: ("<i8", "int64_data"),
    onnx.TensorProto.UINT8: ("<u1", "int32_data"),
    onnx.TensorProto.UINT16: ("<u2", "int32_data"),
    onnx.TensorProto.UINT32: ("<u4", "uint64_data"),
    onnx.TensorProto.UINT64: ("<u8", "uint64_data"),
    onnx.TensorProto.BOOL: ("?", "int32_data"),
}

# Element types of less than a byte, several in each: (bits, signed). By number, since older
# versions of the library do not have all names.
_PACKED: dict[int, tuple[int, bool]] = {
    21: (4, False),  # UINT4
    22: (4, True),  # INT4
    25: (2, False),  # UINT2
    26: (2, True),  # INT2
}


class ExternalData:
    """Tensor data in files beside the model: inside its folder, and bounded in total.

    Parameters
    ----------
    folder : Path
        Folder of the model.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._left = _MAX_EXTERNAL

    def read(self, tensor: onnx.TensorProto, label: str, size: int) -> bytes:
        """The bytes of a tensor, `size` of them."""
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = str(entries.get("location", ""))
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", size))
        except ValueError:
            raise ModelError(
                f"tensor {label!r} has external data at a position that is not a number"
            ) from None
        if length != size or offset < 0:
            raise ModelError(
                f"tensor {label!r} needs {size} bytes of external data, not {length} from {offset}",
                remedy="the file is damaged: export it again",
            )
        self._left -= size
        if self._left < 0:
            raise UnsupportedError(f"tensor {label!r} exceeds 1 GiB of external data")
        root = self._folder.resolve()
        try:
            path = (root / location).resolve()
            if not location or not path.is_relative_to(root):
                raise ModelError(
                    f"tensor {label!r} has its data in {location!r}, outside the model's folder",
                    remedy="put the data file beside the model, or save the model as one file",
                )
            if not path.is_file():
                raise ModelError(
                    f"tensor {label!r} has its data in {location!r}, which does not exist",
                    remedy="put the data file beside the model, or save the model as one file",
                )
            with path.open("rb") as file:
                available = os.fstat(file.fileno()).st_size
                file.seek(offset)
                data: bytes = file.read(size)
        except (OSError, ValueError, RuntimeError, OverflowError) as error:
            raise ModelError(
                f"tensor {label!r} has its data in {location!r}, which cannot be read: {error}"
            ) from None
        if len(data) != size:
            raise ModelError(
                f"tensor {label!r} needs {size} bytes from {offset} of {location!r}, "
                f"which has {available}",
                remedy="copy the data file again",
            )
        return data


def numeric_type(element_type: int) -> bool:
    """Whether tensors of this ONNX element type can be read."""
    return element_type in _TYPES or element_type in _PACKED


def integer_type(element_type: int) -> IntType | None:
    """Range of the integers of this ONNX element type; None for another type."""
    if element_type in _PACKED:
        return IntType.of_width(*_PACKED[element_type])
    if element_type not in _TYPES:
        return None
    dtype = np.dtype(_TYPES[element_type][0])
    if dtype.kind not in "iu" or element_type == _BFLOAT16:
        return None
    return IntType.of_width(8 * dtype.itemsize, dtype.kind == "i")


def type_name(element_type: int) -> str:
    """Name of an ONNX element type."""
    names = {number: name for name, number in onnx.TensorProto.DataType.items()}
    return str(names.get(element_type, element_type))


def numpy_type(element_type: int) -> np.dtype[np.generic] | None:
    """The numpy type that holds elements of this ONNX type, or None."""
    if element_type == _BFLOAT16:
        return np.dtype("<f4")
    if element_type in _PACKED:
        return np.dtype("i1" if _PACKED[element_type][1] else "u1")
    return np.dtype(_TYPES[element_type][0]) if element_type in _TYPES else None


def decode_tensor(tensor: onnx.TensorProto, label: str, external: ExternalData) -> Array:
    """The values of a tensor.

    Parameters
    ----------
    tensor : TensorProto
        As in the file.
    label : str
        What messages call it.
    external : ExternalData
        Where data outside the model file comes from.

    Raises
    ------
    ModelError
        If the data does not fit the shape, or is missing.
    UnsupportedError
        If the element type is not a common number.
    """
    shape = _shape(tensor, label)
    if tensor.data_type in _PACKED:
        return _unpacked(tensor, label, external, shape)
    kind = _TYPES.get(tensor.data_type)
    if kind is None:
        raise UnsupportedError(
            f"tensor {label!r} has element type {type_name(tensor.data_type)}",
            remedy="use float, integer or bool tensors",
        )
    dtype, field = np.dtype(kind[0]), kind[1]
    count = prod(shape)
    if count * dtype.itemsize > _MAX_BYTES:
        raise UnsupportedError(f"tensor {label!r} of shape {list(shape)} is larger than 256 MiB")
    data = _bytes(tensor, label, external, count * dtype.itemsize)
    if data is not None:
        values: Array = np.frombuffer(data, dtype)
    else:
        values = _typed(tensor, field, label, count, dtype)
    if tensor.data_type == _BFLOAT16:
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.reshape(shape)


def _bytes(
    tensor: onnx.TensorProto, label: str, external: ExternalData, size: int
) -> bytes | None:
    """The data of a tensor of `size` bytes; None if it is in a field for its type."""
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        return external.read(tensor, label, size)
    if not tensor.HasField("raw_data"):
        return None
    if len(tensor.raw_data) != size:
        raise _wrong_length(label, tensor, len(tensor.raw_data), "bytes")
    return bytes(tensor.raw_data)


def _unpacked(
    tensor: onnx.TensorProto, label: str, external: ExternalData, shape: tuple[int, ...]
) -> Array:
    """Elements of less than a byte: the first in the lowest bits."""
    bits, signed = _PACKED[tensor.data_type]
    count = prod(shape)
    size = -(-count * bits // 8)
    if count > _MAX_BYTES:
        raise UnsupportedError(f"tensor {label!r} of shape {list(shape)} is larger than 256 MiB")
    data = _bytes(tensor, label, external, size)
    if data is None:
        packed = _typed(tensor, "int32_data", label, size, np.dtype("u1"))
    else:
        packed = np.frombuffer(data, np.uint8)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    values = ((packed[:, None] >> shifts) & ((1 << bits) - 1)).ravel()[:count].astype(np.int8)
    if signed:
        values = values - ((values >> (bits - 1)) << bits).astype(np.int8)
    return values.reshape(shape).astype(np.int8 if signed else np.uint8)


def _shape(tensor: onnx.TensorProto, label: str) -> tuple[int, ...]:
    shape = tuple(int(size) for size in tensor.dims)
    if len(shape) > 16 or any(size < 0 for size in shape) or prod(max(s, 1) for s in shape) >> 40:
        raise ModelError(
            f"tensor {label!r} has the impossible shape {list(shape[:16])}",
            remedy="the file is damaged: export it again",
        )
    return shape


def _typed(
    tensor: onnx.TensorProto, field: str, label: str, wanted: int, dtype: np.dtype[np.generic]
) -> Array:
    """The values in a field for the tensor's type, `wanted` of them."""
    data = getattr(tensor, field)
    if len(data) != wanted:
        raise _wrong_length(label, tensor, len(data), "values")
    values = np.array(data) if wanted else np.zeros(0, dtype)
    if tensor.data_type in (onnx.TensorProto.FLOAT16, _BFLOAT16):
        return values.astype(np.uint16).view(dtype)
    result: Array = values.astype(dtype)
    if dtype.kind in "iub" and not np.array_equal(result, values):
        raise ModelError(f"tensor {label!r} has values outside its type {dtype.name}")
    return result


def _wrong_length(label: str, tensor: onnx.TensorProto, count: int, unit: str) -> ModelError:
    return ModelError(
        f"tensor {label!r} of shape {list(tensor.dims)} comes with {count} {unit}",
        remedy="the file is damaged: export it again",
    )
