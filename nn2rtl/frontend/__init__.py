"""Reading of model files: from a file to the model graph."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend.importer import import_model, register_operators
from nn2rtl.frontend.onnx_file import read_onnx
from nn2rtl.frontend.registry import OperatorInfo, registered
from nn2rtl.frontend.tflite_import import load_tflite, tflite_operator_table
from nn2rtl.ir.model import ModelGraph

__all__ = ["OperatorInfo", "load", "operator_table", "tflite_operator_table"]

_MAX_BYTES = 512 << 20
_EXPORT = "export it as quantized ONNX or int8 TensorFlow Lite: docs/frameworks.md says how"

# Files of other kinds, by their first bytes.
_FOREIGN = (
    (b"PK\x03\x04", "a zip archive (numpy, PyTorch or Keras)"),
    (b"\x89HDF", "an HDF5 file (Keras)"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"),
)


def load(path: str | Path) -> ModelGraph:
    """Read a model file.

    Parameters
    ----------
    path : str or Path
        An ONNX file (QONNX, QDQ, QLinear, MultiThreshold or RequantShift operators) or an int8
        TensorFlow Lite file.

    Returns
    -------
    ModelGraph
        Real-valued operations with explicit quantizers. Types are `RealType` without the batch
        dimension.

    Raises
    ------
    ModelError
        If the file cannot be read or is not a valid quantized network.
    UnsupportedError
        If the network uses something that is not supported.
    """
    path = Path(path)
    data = _read(path)
    if data[4:8] == b"TFL3":
        return load_tflite(data, path)
    for magic, kind in _FOREIGN:
        if data.startswith(magic):
            raise ModelError(f"the file is {kind}", node=str(path), remedy=_EXPORT)
    return import_model(read_onnx(data, path))


def operator_table() -> list[OperatorInfo]:
    """The operators of ONNX files that can be imported, with what of them is supported."""
    register_operators()
    return registered()


def _read(path: Path) -> bytes:
    label = str(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a directory" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ModelError(f"is {kind}", node=label, remedy="give the path of a model file")
        if status.st_size > _MAX_BYTES:
            raise UnsupportedError(
                f"the file has {status.st_size >> 20} MiB, more than {_MAX_BYTES >> 20}", node=label
            )
        data = path.read_bytes()
    except FileNotFoundError:
        raise ModelError("no such file", node=label, remedy="check the path") from None
    except (OSError, ValueError) as error:
        reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else error
        raise ModelError(f"cannot be read: {reason}", node=label) from None
    if not data:
        raise ModelError("the file is empty", node=label, remedy="export or download it again")
    return data
