"""Read and write the arrays of the command line."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import InputError
from nn2rtl.files import write_whole


def read_array(path: Path) -> npt.NDArray[Any]:
    """Read a .npy file, or the array `x` (or the only one) of a .npz file; no pickles.

    Raises
    ------
    InputError
        If it cannot be read or is neither.
    """
    remedy = "give a numpy .npy file, or a .npz file that holds an array x"
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            return loaded if isinstance(loaded, np.ndarray) else _member(loaded, path, remedy)
    except InputError:
        raise
    except OSError as error:
        raise InputError(
            f"inputs cannot be read: {error.strerror or error}", node=str(path), remedy=remedy
        ) from None
    except MemoryError:
        raise InputError(
            "inputs do not fit the memory", node=str(path), remedy="give fewer samples"
        ) from None
    except Exception:  # of a damaged file, numpy, zipfile and zlib raise nearly anything
        raise InputError("inputs are no numpy array", node=str(path), remedy=remedy) from None


def read_arrays(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All arrays of a .npz file, or the one of a .npy file as ``output``; no pickles.

    Raises
    ------
    InputError
        If it cannot be read or is neither.
    """
    remedy = "give a numpy .npz file"
    try:
        with path.open("rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return {"output": loaded}
            with loaded:
                return {name: np.asarray(loaded[name]) for name in loaded.files}
    except OSError as error:
        raise InputError(
            f"arrays cannot be read: {error.strerror or error}", node=str(path), remedy=remedy
        ) from None
    except MemoryError:
        raise InputError("arrays do not fit the memory", node=str(path)) from None
    except Exception:  # of a damaged file, numpy, zipfile and zlib raise nearly anything
        raise InputError("is no file of numpy arrays", node=str(path), remedy=remedy) from None


def _member(archive: Any, path: Path, remedy: str) -> npt.NDArray[Any]:
    with archive:
        names = list(archive.files)
        name = "x" if "x" in names else names[0] if len(names) == 1 else None
        if name is None:
            raise InputError(
                f"holds the arrays {', '.join(names) or '(none)'}", node=str(path), remedy=remedy
            )
        return np.asarray(archive[name])


def write_array(path: Path, array: npt.NDArray[Any]) -> Path:
    """Write a .npy file, whole or not at all."""
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return write_whole(path, buffer.getvalue())
