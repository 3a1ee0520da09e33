"""Executors that a network is compared with, a file of arrays, and float64."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import InputError
from nn2rtl.ir.model import Affine, ModelGraph
from nn2rtl.trace import executor, qonnx_executor

Array = npt.NDArray[Any]
Floats = npt.NDArray[np.float64]

FLOAT32 = 2.0**-24
FLOAT64 = 2.0**-53


@dataclass(frozen=True, eq=False)
class Run:
    """What a reference computed.

    Parameters
    ----------
    name : str
        Of the reference.
    tensors : dict
        By node of the model graph: values [samples, ...], of the node's shape.
    unit : float
        Relative error of one of its roundings; 0 if it computes integers exactly.
    note : str
        What the user should know of it.
    rounds_twice : bool
        Whether it has TensorFlow Lite's requantization, which rounds twice in some releases, in
        some kernels, and once in others.
    """

    name: str
    tensors: dict[str, Floats]
    unit: float
    note: str = ""
    rounds_twice: bool = False


def executed(path: Path, net: ModelGraph, x: Floats) -> Run:
    """The model's tensors by the executor of its file format, or else in float64.

    Parameters
    ----------
    x : float64 array [samples, ...]
        Values of the model graph's input.
    """
    with path.open("rb") as file:
        is_tflite = file.read(8)[4:] == b"TFL3"
    executors = {"LiteRT": _litert} if is_tflite else {"onnxruntime": _onnxruntime, "qonnx": _qonnx}
    problem = ""
    for tool, run in executors.items():
        try:
            return run(path, net, x)
        except ImportError:
            problem = problem or f"{tool} is not installed"
        except Exception as error:  # whatever an executor has against the file
            text = str(error).strip().splitlines() or [type(error).__name__]
            problem = f"{tool} cannot run the model ({text[0].split(' : ')[-1][:100]})"
    return Run("float64", dict(executor.run(net, x)), FLOAT64, f"{problem}: compared with float64")


def _onnxruntime(path: Path, net: ModelGraph, x: Floats) -> Run:
    from nn2rtl.frontend.onnx_exposed import with_outputs

    onnxruntime: Any = import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        with_outputs(path, net.tensors), options, providers=["CPUExecutionProvider"]
    )
    entry = next(i for i in session.get_inputs() if i.name in net.tensors)
    kinds = {"tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.half}
    kind = kinds.get(entry.type) or np.dtype(entry.type.removeprefix("tensor(").removesuffix(")"))
    names = [output.name for output in session.get_outputs()]
    rows: dict[str, list[Array]] = {name: [] for name in names}
    for sample in x.astype(kind):
        for name, value in zip(names, session.run(names, {entry.name: sample[None]})):
            rows[name].append(np.asarray(value))
    version = f"onnxruntime {onnxruntime.__version__}"
    return Run(version, _by_node(net, rows, len(x)), FLOAT32)


def _qonnx(path: Path, net: ModelGraph, x: Floats) -> Run:
    rows = qonnx_executor.executed(path, set(net.tensors), x)
    return Run(qonnx_executor.version(), _by_node(net, rows, len(x)), FLOAT32)


def _litert(path: Path, net: ModelGraph, x: Floats) -> Run:
    litert: Any = import_module("ai_edge_litert.interpreter")
    with _silent():
        machine = litert.Interpreter(
            model_path=str(path),
            experimental_op_resolver_type=litert.OpResolverType.BUILTIN_REF,
            experimental_preserve_all_tensors=True,
        )
        machine.allocate_tensors()
    (entry,) = (i for i in machine.get_input_details() if i["name"] in net.tensors)
    wanted = {
        detail["name"]: detail["index"]
        for detail in machine.get_tensor_details()
        if detail["name"] in net.tensors
    }
    end = machine.get_output_details()[0]
    rows: dict[str, list[Array]] = {name: [] for name in wanted}
    outputs: list[Array] = []
    # An integer input is the graph's real input, quantized.
    entered = next(v for name, v in executor.run(net, x) if name == net.tensors[entry["name"]])
    if np.issubdtype(entry["dtype"], np.integer):
        entered = np.rint(entered)  # float64 may be a bit off
    for sample in entered.astype(entry["dtype"]):
        machine.set_tensor(entry["index"], sample.reshape(entry["shape"]))
        machine.invoke()
        for name, index in wanted.items():
            with contextlib.suppress(ValueError):  # a tensor that no operator wrote
                rows[name].append(np.array(machine.get_tensor(index)))
        outputs.append(np.array(machine.get_tensor(end["index"])))
    tensors = _by_node(net, rows, len(x))
    scale, zero = end["quantization"]  # of integers; a scale of 0 where they are real
    real = (np.stack(outputs).astype(np.float64) - zero) * (scale or 1.0)
    tensors[net.outputs[0]] = real.reshape(len(x), *net.types[net.outputs[0]].shape)
    version = metadata.version("ai-edge-litert")
    return Run(f"LiteRT {version}, reference kernels", tensors, 0.0, rounds_twice=True)


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Without what native code prints to standard error."""
    saved = os.dup(2)
    try:
        with open(os.devnull, "w") as sink:
            os.dup2(sink.fileno(), 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)


def _by_node(
    net: ModelGraph, rows: Mapping[str, list[Array]], samples: int
) -> dict[str, Floats]:
    result: dict[str, Floats] = {}
    for name, values in rows.items():
        node = net.tensors.get(name)
        if node is None or len(values) != samples:
            continue
        if values[0].dtype.kind in "fiub" and values[0].size == net.types[node].size:
            stacked = np.stack(values).astype(np.float64)
            result[node] = _of_node(net, name, stacked.reshape(samples, *net.types[node].shape))
    return result


def _of_node(net: ModelGraph, name: str, values: Floats) -> Floats:
    """The node's tensor, given one of the file that may be a function of it."""
    function = net.functions.get(name)
    if not isinstance(function, Affine):
        return values
    return np.asarray((values - executor.floats(function.offset)) / executor.floats(function.scale))


def given(path: Path, arrays: Mapping[str, Array], net: ModelGraph, samples: int) -> Run:
    """The tensors of a file of arrays.

    Parameters
    ----------
    path : Path
        Of the file, for messages.
    arrays : mapping
        By name of a tensor or node of the model, or ``output``. If none of the names is known,
        they are matched in order with the model's tensors of the same sizes; a single one is the
        output.
    samples : int
        How many are compared; each array has at least as many, with or without a batch axis.

    Raises
    ------
    InputError
        If a name is unknown, or an array has another shape than the tensor.
    """
    known = {**{name: name for name in net.nodes}, **net.tensors, "output": net.outputs[0]}
    note = ""
    if len(arrays) == 1:
        places = {name: known.get(name, net.outputs[0]) for name in arrays}
    elif arrays and not any(name in known for name in arrays):
        places = _in_order(path, arrays, net)
        note = f"names of {path.name} are not the model's: matched by order and size"
    else:
        places = {}
        for name in arrays:
            if name not in known:
                near = get_close_matches(name, known, 3, 0.4) or list(known)[:3]
                raise InputError(
                    f"array {name!r} is named like no tensor of the model",
                    node=str(path),
                    remedy=f"names that are: {', '.join(near)}",
                )
            places[name] = known[name]
    tensors: dict[str, Floats] = {}
    integral = True
    for name, node in places.items():
        array, shape = arrays[name], net.types[node].shape
        if array.dtype.kind not in "fiub":
            raise InputError(f"array {name!r} is of type {array.dtype}", node=str(path))
        size = net.types[node].size
        batched = array.ndim > 0 and array.size == len(array) * size
        if not (batched and len(array) >= samples) and not (array.size == size and samples == 1):
            raise InputError(
                f"array {name!r} has shape {list(array.shape)}",
                node=str(path),
                remedy=f"{samples} samples of shape {list(shape)} are compared; --samples N takes "
                "fewer",
            )
        values = array.reshape(-1, *shape)[:samples].astype(np.float64)
        tensors[node] = _of_node(net, name, values)
        # Integers between operators of ONNX are rounded products of float32 numbers.
        integral &= array.dtype.kind in "iub" and name not in net.functions
    return Run(path.name, tensors, 0.0 if integral else FLOAT32, note)


def _in_order(path: Path, arrays: Mapping[str, Array], net: ModelGraph) -> dict[str, str]:
    """The first tensor of the file, behind the one before, that has an array's size."""
    places: dict[str, str] = {}
    candidates = iter(
        [node for node in dict.fromkeys(net.tensors.values()) if net[node].inputs]
    )
    for name, array in arrays.items():
        sizes = {array.size, array[0].size if array.ndim else 1}
        node = next((node for node in candidates if net.types[node].size in sizes), None)
        if node is None:
            near = get_close_matches(name, net.tensors, 3, 0.0)
            raise InputError(
                f"array {name!r} is named like no tensor of the model",
                node=str(path),
                remedy=f"names that are: {', '.join(near)}",
            )
        places[name] = node
    return places
