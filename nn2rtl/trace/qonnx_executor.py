"""qonnx's executor as a reference, for files with QONNX's operators."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

IR_VERSION = 10
"""Of the one-node models that qonnx makes: onnxruntime does not know onnx's newest one."""


def executed(path: Path, names: set[str], x: npt.NDArray[Any]) -> dict[str, list[Any]]:
    """Tensors of a file by qonnx's executor.

    Parameters
    ----------
    names : set of str
        Tensors that are wanted.
    x : float array [samples, ...]
        Inputs, of the file's shape without its batch.

    Returns
    -------
    dict of str to list of array
        For each tensor its value, with the batch, for every sample.

    Raises
    ------
    ImportError
        If qonnx is not installed.
    Exception
        Whatever qonnx has against the file.
    """
    wrapper: Any = import_module("qonnx.core.modelwrapper")
    executor: Any = import_module("qonnx.core.onnx_exec")
    shapes: Any = import_module("qonnx.transformation.infer_shapes")
    with _older_ir(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = wrapper.ModelWrapper(str(path)).transform(shapes.InferShapes())
        given = {tensor.name for tensor in model.graph.initializer}
        entry = next(value.name for value in model.graph.input if value.name not in given)
        rows: dict[str, list[Any]] = {name: [] for name in names}
        for sample in x:
            context = executor.execute_onnx(
                model, {entry: sample[None].astype(np.float32)}, return_full_exec_context=True
            )
            for name in names:
                if context.get(name) is not None:
                    rows[name].append(np.asarray(context[name]))
    return rows


def version() -> str:
    """What to call it."""
    return f"qonnx {metadata.version('qonnx')}"


@contextlib.contextmanager
def _older_ir() -> Iterator[None]:
    onnx: Any = import_module("onnx")
    newest = onnx.IR_VERSION
    onnx.IR_VERSION = IR_VERSION
    try:
        yield
    finally:
        onnx.IR_VERSION = newest
