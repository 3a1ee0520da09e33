"""Small TensorFlow Lite files, written with the schema's builders."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import flatbuffers
import numpy as np
import pytest
import tflite

Array = np.ndarray[Any, Any]

_DTYPES = {
    np.dtype("int8"): "INT8",
    np.dtype("uint8"): "UINT8",
    np.dtype("int32"): "INT32",
    np.dtype("float32"): "FLOAT32",
}


@dataclass
class TfliteFile:
    """A network of one subgraph; indices of tensors are handed out in order."""

    tensors: list[dict[str, Any]] = field(default_factory=list)
    operators: list[tuple[str, list[int], list[int], str, dict[str, Any]]] = field(
        default_factory=list
    )

    def tensor(
        self,
        shape: tuple[int, ...],
        scale: float | list[float] | None = None,
        zero_point: int | list[int] = 0,
        *,
        kind: str = "INT8",
        axis: int = 0,
        data: Array | None = None,
        name: str | None = None,
    ) -> int:
        """Index of a new tensor; `scale` None leaves it without quantization."""
        given: dict[str, Any] = {
            "shape": shape, "kind": kind, "axis": axis, "data": data,
            "name": f"t{len(self.tensors)}" if name is None else name,
            "scale": None if scale is None else np.atleast_1d(np.float32(scale)),
        }  # fmt: skip
        count = 0 if scale is None else len(given["scale"])
        given["zero_point"] = np.broadcast_to(np.int64(zero_point), count).copy()
        self.tensors.append(given)
        return len(self.tensors) - 1

    def constant(
        self,
        data: Array,
        scale: float | list[float] | None = None,
        zero_point: int = 0,
        **more: Any,
    ) -> int:
        """Index of a new constant."""
        kind = more.pop("kind", _DTYPES[data.dtype])
        shape = more.pop("shape", data.shape)
        return self.tensor(shape, scale, zero_point, kind=kind, data=data, **more)

    def operator(
        self, op: str, inputs: list[int], outputs: list[int], options: str = "", **fields: Any
    ) -> None:
        """Append an operator; options are named as in the schema (``Conv2DOptions``)."""
        self.operators.append((op, inputs, outputs, options, fields))

    def write(self, inputs: list[int], outputs: list[int]) -> bytes:
        """The file."""
        builder = flatbuffers.Builder(1 << 14)
        buffers = [self._buffer(builder, None)]
        tensors = []
        for tensor in self.tensors:
            if tensor["data"] is not None:
                buffers.append(self._buffer(builder, tensor["data"]))
            tensors.append(self._tensor(builder, tensor, len(buffers) - 1))
        ops = sorted({operator[0] for operator in self.operators})
        codes = [self._code(builder, op) for op in ops]
        operators = [self._operator(builder, operator, ops) for operator in self.operators]
        graph = _table(
            builder, "SubGraph",
            Tensors=_offsets(builder, tensors), Inputs=_ints(builder, inputs),
            Outputs=_ints(builder, outputs), Operators=_offsets(builder, operators),
            Name=builder.CreateString("main"),
        )  # fmt: skip
        model = _table(
            builder, "Model", Version=3, OperatorCodes=_offsets(builder, codes),
            Subgraphs=_offsets(builder, [graph]), Buffers=_offsets(builder, buffers),
        )  # fmt: skip
        builder.Finish(model, b"TFL3")
        return bytes(builder.Output())

    def _buffer(self, builder: Any, data: Array | None) -> int:
        if data is None:
            return _table(builder, "Buffer")
        content = np.frombuffer(np.ascontiguousarray(data).tobytes(), dtype=np.uint8)
        return _table(builder, "Buffer", Data=builder.CreateNumpyVector(content))

    def _tensor(self, builder: Any, tensor: dict[str, Any], buffer: int) -> int:
        fields: dict[str, Any] = {}
        if tensor["scale"] is not None:
            fields["Quantization"] = _table(
                builder, "QuantizationParameters",
                Scale=builder.CreateNumpyVector(tensor["scale"]),
                ZeroPoint=builder.CreateNumpyVector(np.array(tensor["zero_point"])),
                QuantizedDimension=tensor["axis"],
            )  # fmt: skip
        return _table(
            builder, "Tensor", Shape=_ints(builder, tensor["shape"]),
            Type=getattr(tflite.TensorType, tensor["kind"]),
            Buffer=0 if tensor["data"] is None else buffer,
            Name=builder.CreateString(tensor["name"]), **fields,
        )  # fmt: skip

    def _code(self, builder: Any, op: str) -> int:
        fields: dict[str, Any] = {"Version": 2 if op == "BROADCAST_TO" else 1}
        if op.startswith("CUSTOM "):
            fields["CustomCode"] = builder.CreateString(op.removeprefix("CUSTOM "))
            op = "CUSTOM"
        number = getattr(tflite.BuiltinOperator, op)
        return _table(
            builder, "OperatorCode",
            DeprecatedBuiltinCode=min(number, 127), BuiltinCode=number, **fields,
        )  # fmt: skip

    def _operator(self, builder: Any, operator: tuple[Any, ...], ops: list[str]) -> int:
        op, inputs, outputs, options, fields = operator
        more: dict[str, Any] = {}
        if options:
            ready = {
                name: _ints(builder, value) if isinstance(value, list | tuple) else value
                for name, value in fields.items()
            }
            more["BuiltinOptionsType"] = getattr(tflite.BuiltinOptions, options)
            more["BuiltinOptions"] = _table(builder, options, **ready)
        return _table(
            builder, "Operator", OpcodeIndex=ops.index(op), Inputs=_ints(builder, inputs),
            Outputs=_ints(builder, outputs), **more,
        )  # fmt: skip


def _table(builder: Any, table: str, **fields: Any) -> int:
    getattr(tflite, f"{table}Start")(builder)
    for name, value in fields.items():
        getattr(tflite, f"{table}Add{name}")(builder, value)
    return int(getattr(tflite, f"{table}End")(builder))


def _ints(builder: Any, values: Any) -> int:
    return int(builder.CreateNumpyVector(np.array(values, dtype=np.int32)))


def _offsets(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def run_reference(data: bytes, x: Array, kernels: str = "BUILTIN_REF") -> Array:
    """Outputs of TensorFlow Lite's (reference) kernels for inputs [samples, ...]."""
    interpreters = pytest.importorskip(
        "ai_edge_litert.interpreter", reason="ai-edge-litert is not installed"
    )
    interpreter = interpreters.Interpreter(
        model_content=data,
        experimental_op_resolver_type=interpreters.OpResolverType[kernels],
    )
    interpreter.allocate_tensors()
    entry = interpreter.get_input_details()[0]["index"]
    end = interpreter.get_output_details()[0]["index"]
    results = []
    for sample in x:
        interpreter.set_tensor(entry, sample[None])
        interpreter.invoke()
        result = interpreter.get_tensor(end)
        results.append(result[0] if len(result) == 1 else result)
    return np.array(results)
