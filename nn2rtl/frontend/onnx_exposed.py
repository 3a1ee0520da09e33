"""An ONNX file whose tensors are all outputs, for an executor that traces it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import onnx


def with_outputs(path: Path, names: Iterable[str]) -> bytes:
    """The file's model with more of its tensors as outputs.

    Parameters
    ----------
    path : Path
        A file that could be imported.
    names : iterable of str
        Tensors; those that no node yields, or that are outputs already, are left out.
    """
    model = onnx.load(path)
    known = {output.name for output in model.graph.output}
    computed = {name for node in model.graph.node for name in node.output}
    for name in names:
        if name in computed and name not in known:
            model.graph.output.append(onnx.ValueInfoProto(name=name))
    return bytes(model.SerializeToString())
