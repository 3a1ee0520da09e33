"""From a TensorFlow Lite file to the model graph."""

from __future__ import annotations

import importlib
from fractions import Fraction
from pathlib import Path

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend.context import MAX_TENSOR
from nn2rtl.frontend.registry import OperatorInfo
from nn2rtl.frontend.tflite_context import HANDLERS, OperatorContext
from nn2rtl.frontend.tflite_data import OperatorData, TensorData, TfliteModel
from nn2rtl.frontend.tflite_dilation import with_dilations
from nn2rtl.frontend.tflite_file import read_tflite
from nn2rtl.frontend.tflite_values import (
    RANGES,
    REQUANTIZE,
    Activation,
    Constant,
    Value,
    meaning,
    quantization_of,
    sample,
)
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.model import Affine, Input, ModelGraph, Quantize, Rounding
from nn2rtl.ir.types import RealType, exact_array

_OPERATOR_MODULES = (
    "activations",
    "elementwise",
    "gathers",
    "layout",
    "linear",
    "pooling",
    "tail",
)
_DAMAGED = "the file is damaged: export or download it again"
_BATCH = "convert with a fixed input shape and a batch size of one"

_RECURRENT = ("LSTM", "RNN", "SVDF")
_PHASES = ("SPACE_TO_BATCH_ND", "BATCH_TO_SPACE_ND")
_SHAPE_ARITHMETIC = ("REDUCE_PROD", "FILL", "RANGE", "BROADCAST_ARGS")
_CONTROL_FLOW = ("IF", "WHILE", "CALL", "CALL_ONCE", "STABLEHLO_WHILE")


def load_tflite(data: bytes, path: Path) -> ModelGraph:
    """The model graph of a TensorFlow Lite file.

    Parameters
    ----------
    data : bytes
        The file.
    path : Path
        Where it came from.

    Returns
    -------
    ModelGraph
        The input has the integers of the file's input tensor as its values (real numbers where
        the file's input is a float tensor), the output has real numbers.

    Raises
    ------
    ModelError
        If the file is not a valid quantized network.
    UnsupportedError
        If it uses something that is not supported.
    """
    _register()
    return _Importer(with_dilations(read_tflite(data, path))).graph


def tflite_operator_table() -> list[OperatorInfo]:
    """TensorFlow Lite's operators that can be imported, with what of them is supported."""
    _register()
    supported = {name: HANDLERS[name].supported for name in HANDLERS}
    supported |= dict.fromkeys(_PHASES, "around a convolution, as its dilation")
    return [OperatorInfo(name, ("tflite",), supported[name]) for name in sorted(supported)]


def _register() -> None:
    for name in _OPERATOR_MODULES:
        importlib.import_module(f"nn2rtl.frontend.tflite_{name}")


class _Importer:
    """Imports the operators that the output needs, in the order of the file."""

    def __init__(self, model: TfliteModel) -> None:
        self.model = model
        self.graph: ModelGraph = Graph(model.name)
        self.values: dict[int, Value] = {}
        if len(model.outputs) != 1:
            raise UnsupportedError(
                f"the network has {len(model.outputs)} outputs", remedy="export it with one output"
            )
        needed = self._needed(model.outputs[0])
        self._enter(needed)
        for operator in needed:
            self._import(operator)
        self._finish(model.outputs[0])

    def _needed(self, output: int) -> list[OperatorData]:
        """Operators that the output depends on; each stands behind those that it reads."""
        wanted = {output}
        found: list[OperatorData] = []
        for operator in reversed(self.model.operators):
            if not wanted.isdisjoint(operator.outputs):
                found.append(operator)
                wanted.update(index for index in operator.inputs if index >= 0)
        return found[::-1]

    def _enter(self, needed: list[OperatorData]) -> None:
        read = {index for operator in needed for index in operator.inputs}
        used = [index for index in dict.fromkeys(self.model.inputs) if index in read]
        if len(used) != 1:
            names = ", ".join(self.model.tensors[index].name for index in used[:4])
            raise UnsupportedError(
                f"the output depends on {len(used)} inputs{': ' * bool(names)}{names}",
                remedy="export the network with one input",
            )
        data = self.model.tensors[used[0]]
        name = data.name or "input"
        if data.data is not None or any(used[0] in operator.outputs for operator in needed):
            raise ModelError("the input is not free", node=name, remedy=_DAMAGED)
        if data.type not in (*RANGES, "FLOAT32"):
            raise UnsupportedError(f"an input of type {data.type}", node=name, remedy=REQUANTIZE)
        shape = sample(data.shape)
        if not data.shape or any(size < 1 for size in data.shape):
            raise UnsupportedError(
                f"an input of shape {list(data.shape)}", node=name, remedy=_BATCH
            )
        if len(data.shape) > 1 and data.shape[0] != 1:
            raise UnsupportedError(f"batch size {data.shape[0]}", node=name, remedy=_BATCH)
        if RealType(shape).size > MAX_TENSOR:
            raise UnsupportedError(f"the input's shape {list(shape)} is too large", node=name)
        node = self.graph.append(name, Input(), (), RealType(shape))
        if data.type == "FLOAT32":
            self.values[used[0]] = Activation(node, data.shape, None)
            return
        given = quantization_of(data)
        # Real inputs are quantized as the QUANTIZE operator does; integers are taken as they are.
        scale, zero_point = Fraction(given.scale), given.zero_point
        op = Quantize(
            exact_array(scale), exact_array(zero_point), given.low, given.high,
            Rounding.HALF_AWAY, zero_after=True,
        )  # fmt: skip
        kind = RealType(shape)
        node = self.graph.append(f"{name}.quantized", op, (node,), kind, name)
        code = Affine(exact_array(1 / scale), exact_array(zero_point))
        node = self.graph.append(f"{name}.integers", code, (node,), kind, name)
        self.values[used[0]] = Activation(node, data.shape, given)

    def _import(self, operator: OperatorData) -> None:
        registration = HANDLERS.get(operator.op)
        if registration is None:
            raise _refusal(operator)
        inputs = tuple(
            None if index < 0 else self._operand(index, operator) for index in operator.inputs
        )
        for value in inputs:
            if isinstance(value, Activation) and value.tail and not registration.behind_tail:
                raise UnsupportedError(
                    f"{operator.op} behind {value.tail} is not supported",
                    node=operator.label,
                    remedy=f"end the network with {value.tail}, or compute the rest on the host",
                )
        results = tuple(self.model.tensors[index] for index in operator.outputs)
        context = OperatorContext(operator, inputs, results, self.graph)
        values = registration.handler(context)
        values = values if isinstance(values, tuple) else (values,)
        if len(values) != len(results):
            raise context.invalid(f"{len(results)} results, where it has {len(values)}", _DAMAGED)
        for index, value in zip(operator.outputs, values):
            if index in self.values or self.model.tensors[index].data is not None:
                raise context.invalid("a tensor is produced twice", _DAMAGED)
            self.values[index] = value

    def _operand(self, index: int, operator: OperatorData) -> Value:
        if index not in self.values:
            data = self.model.tensors[index]
            if data.data is None:
                raise ModelError(
                    f"tensor {data.name!r} is read before it is produced",
                    node=operator.label,
                    remedy=_DAMAGED,
                )
            self.values[index] = self._constant(data, operator)
        return self.values[index]

    def _constant(self, data: TensorData, operator: OperatorData) -> Constant:
        if data.special:
            raise UnsupportedError(
                f"{data.special} tensor {data.name!r}", node=operator.label, remedy=REQUANTIZE
            )
        return Constant(data.array(), data)

    def _finish(self, output: int) -> None:
        value = self.values.get(output)
        data = self.model.tensors[output]
        if not isinstance(value, Activation):
            raise ModelError("the output is not computed from the network's input", node=data.name)
        node = value.node
        given = value.quantization
        if given is not None:
            scale, offset = (exact_array(number) for number in meaning(given))
            kind = self.graph.types[node]
            name = data.name.split(";")[0]
            if not value.coded:
                code = Quantize(exact_array(1), exact_array(0), given.low, given.high)
                node = self.graph.append(f"{name}.quantized", code, (node,), kind, name)
            node = self.graph.append(f"{name}.meaning", Affine(scale, offset), (node,), kind, name)
        self.graph.outputs = [node]
        self.graph.output_names = [data.name or "output"]
        self.graph.tensors = {
            self.model.tensors[index].name: value.node
            for index, value in self.values.items()
            if isinstance(value, Activation) and (value.quantization or not value.tail)
        }


def _refusal(operator: OperatorData) -> UnsupportedError:
    """Why an operator without handler cannot be imported."""
    op = operator.op
    remedy = "docs/operators.md lists the supported operators"
    if any(part in op for part in _RECURRENT):
        reason, remedy = f"recurrent operator {op} is not supported", "use a feed-forward network"
    elif op in _CONTROL_FLOW:
        reason = f"control flow ({op}) is not supported"
        remedy = "export with fixed shapes, so that no control flow is left"
    elif op in _PHASES:
        reason = f"{op} other than around a convolution of stride 1"
        remedy = "give the convolution its dilation, and convert again"
    elif op in _SHAPE_ARITHMETIC:
        reason = f"operator {op} is not supported: it computes a shape that is not fixed"
        remedy = "convert with a batch size of one: keras.Input(shape, batch_size=1)"
    elif op.startswith("CUSTOM "):
        reason = f"custom operator {op.removeprefix('CUSTOM ')!r} is not supported"
    else:
        reason = f"operator {op} is not supported"
    return UnsupportedError(reason, node=operator.label, remedy=remedy)
