"""Safe reading of a TensorFlow Lite file (a flatbuffer) into plain data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2rtl.errors import ModelError, Nn2RtlError, UnsupportedError
from nn2rtl.frontend.tflite_data import OperatorData, Option, TensorData, TfliteModel

_MAX_TENSORS = 20_000
_MAX_OPERATORS = 10_000
_MAX_RANK = 8
_MAX_LIST = 1 << 16  # entries of a quantization or of an operator's inputs
_MAX_NAMES = 1 << 24  # bytes of all names
_DAMAGED = "check that it is a TensorFlow Lite file and complete; export or download it again"

_ACTIVATION = "FusedActivationFunction"
_WINDOW = ("Padding", "StrideW", "StrideH", _ACTIVATION)
_OPTIONS: dict[str, tuple[str, tuple[str, ...]]] = {
    "ADD": ("AddOptions", (_ACTIVATION,)),
    "AVERAGE_POOL_2D": ("Pool2DOptions", (*_WINDOW, "FilterWidth", "FilterHeight")),
    "CONCATENATION": ("ConcatenationOptions", ("Axis", _ACTIVATION)),
    "CONV_2D": ("Conv2DOptions", (*_WINDOW, "DilationWFactor", "DilationHFactor")),
    "DEPTH_TO_SPACE": ("DepthToSpaceOptions", ("BlockSize",)),
    "DEPTHWISE_CONV_2D": (
        "DepthwiseConv2DOptions",
        (*_WINDOW, "DepthMultiplier", "DilationWFactor", "DilationHFactor"),
    ),
    "FULLY_CONNECTED": (
        "FullyConnectedOptions",
        (_ACTIVATION, "WeightsFormat", "KeepNumDims"),
    ),
    "GATHER": ("GatherOptions", ("Axis", "BatchDims")),
    "GELU": ("GeluOptions", ("Approximate",)),
    "LEAKY_RELU": ("LeakyReluOptions", ("Alpha",)),
    "MAX_POOL_2D": ("Pool2DOptions", (*_WINDOW, "FilterWidth", "FilterHeight")),
    "MEAN": ("ReducerOptions", ("KeepDims",)),
    "MIRROR_PAD": ("MirrorPadOptions", ("Mode",)),
    "MUL": ("MulOptions", (_ACTIVATION,)),
    "PACK": ("PackOptions", ("Axis", "ValuesCount")),
    "REDUCE_MAX": ("ReducerOptions", ("KeepDims",)),
    "RESHAPE": ("ReshapeOptions", ("NewShapeAsNumpy",)),
    "RESIZE_NEAREST_NEIGHBOR": (
        "ResizeNearestNeighborOptions",
        ("AlignCorners", "HalfPixelCenters"),
    ),
    "SOFTMAX": ("SoftmaxOptions", ("Beta",)),
    "SPACE_TO_DEPTH": ("SpaceToDepthOptions", ("BlockSize",)),
    "SPLIT": ("SplitOptions", ("NumSplits",)),
    "SPLIT_V": ("SplitVOptions", ("NumSplits",)),
    "SQUEEZE": ("SqueezeOptions", ("SqueezeDimsAsNumpy",)),
    "STRIDED_SLICE": (
        "StridedSliceOptions",
        ("BeginMask", "EndMask", "EllipsisMask", "NewAxisMask", "ShrinkAxisMask"),
    ),
    "SUB": ("SubOptions", (_ACTIVATION,)),
    "TRANSPOSE_CONV": ("TransposeConvOptions", _WINDOW),
    "UNPACK": ("UnpackOptions", ("Axis", "Num")),
}
"""Table of an operator's options, and the fields that are read."""


def read_tflite(data: bytes, path: Path) -> TfliteModel:
    """The content of a TensorFlow Lite file.

    Parameters
    ----------
    data : bytes
        The file.
    path : Path
        Where it came from.

    Raises
    ------
    ModelError
        If it is not a readable file.
    UnsupportedError
        If it is larger than what is read, or the reader of the format is not installed.
    """
    try:
        import tflite
    except ImportError:
        raise UnsupportedError(
            "reading TensorFlow Lite files needs the package 'tflite'",
            node=str(path),
            remedy="pip install tflite",
        ) from None
    # A flatbuffer is read in place: any offset of a damaged file may point anywhere, and shows
    # as whatever exception the decoding there raises.
    try:
        return _Reader(tflite, data, path).model()
    except Nn2RtlError:
        raise
    except Exception as error:
        raise ModelError(
            f"not a readable TensorFlow Lite file ({type(error).__name__}: {error})",
            node=str(path),
            remedy=_DAMAGED,
        ) from None


class _Reader:
    """Reads one file; all sizes are checked before anything is made of them."""

    def __init__(self, schema: Any, data: bytes, path: Path) -> None:
        self.schema = schema
        self.path = path
        self.name_bytes = 0
        self.file = schema.Model.GetRootAsModel(data, 0)

    def model(self) -> TfliteModel:
        file = self.file
        if file.Version() != 3:
            raise self._error(f"version {file.Version()} of the format", UnsupportedError)
        if file.SubgraphsLength() < 1:
            raise self._error("the file has no network")
        graph = file.Subgraphs(0)
        self._limit(graph.TensorsLength(), _MAX_TENSORS, "tensors")
        self._limit(graph.OperatorsLength(), _MAX_OPERATORS, "operators")
        self._limit(file.OperatorCodesLength(), _MAX_OPERATORS, "operator codes")
        codes = [self._code(file.OperatorCodes(i)) for i in range(file.OperatorCodesLength())]
        tensors = tuple(self._tensor(graph.Tensors(i)) for i in range(graph.TensorsLength()))
        operators = tuple(
            self._operator(graph.Operators(i), i, codes, tensors)
            for i in range(graph.OperatorsLength())
        )
        inputs, outputs = (
            self._indices(vector, len(tensors))
            for vector in (graph.InputsAsNumpy(), graph.OutputsAsNumpy())
        )
        if not outputs or -1 in (*inputs, *outputs):
            raise self._error("the network has no output, or an undefined one")
        return TfliteModel(self.path.stem, tensors, operators, inputs, outputs)

    # Parts of the file

    def _code(self, code: Any) -> str:
        # Codes above 127 do not fit the field of old files.
        number = max(code.DeprecatedBuiltinCode(), code.BuiltinCode())
        name = _names(self.schema, "BuiltinOperator").get(number, f"number {number}")
        return f"CUSTOM {self._text(code.CustomCode())}" if name == "CUSTOM" else name

    def _tensor(self, tensor: Any) -> TensorData:
        shape = tuple(self._list(tensor.ShapeAsNumpy, tensor.ShapeLength(), _MAX_RANK))
        kind = _names(self.schema, "TensorType").get(tensor.Type(), f"number {tensor.Type()}")
        scales: npt.NDArray[np.float64] = np.empty(0)
        zero_points: npt.NDArray[np.int64] = np.empty(0, dtype=np.int64)
        axis = 0
        quantization = tensor.Quantization()
        if quantization is not None:
            lengths = quantization.ScaleLength(), quantization.ZeroPointLength()
            scales = np.array(self._list(quantization.ScaleAsNumpy, lengths[0]), dtype=np.float64)
            zero_points = np.array(
                self._list(quantization.ZeroPointAsNumpy, lengths[1]), dtype=np.int64
            )
            axis = quantization.QuantizedDimension()
        special = "sparse" if tensor.Sparsity() is not None else ""
        special = "variable" if tensor.IsVariable() else special
        name = self._text(tensor.Name())
        return TensorData(
            name, shape, kind, scales, zero_points, axis, self._data(tensor.Buffer()), special
        )

    def _data(self, index: int) -> npt.NDArray[np.uint8] | None:
        if index >= self.file.BuffersLength():
            raise self._error(f"there is no buffer {index}")
        buffer = self.file.Buffers(index)
        if buffer.Offset() > 1:
            raise self._error("tensors outside of the flatbuffer", UnsupportedError)
        return buffer.DataAsNumpy() if buffer.DataLength() else None

    def _operator(
        self, operator: Any, index: int, codes: Sequence[str], tensors: Sequence[TensorData]
    ) -> OperatorData:
        op = codes[operator.OpcodeIndex()]
        inputs = self._indices(operator.InputsAsNumpy(), len(tensors))
        outputs = self._indices(operator.OutputsAsNumpy(), len(tensors))
        if not outputs or -1 in outputs:
            raise self._error(f"operator {index} ({op}) has no output")
        # Fused operators join the names of their parts.
        label = tensors[outputs[0]].name.split(";")[0] or f"{op.lower()}_{index}"
        options: dict[str, Option] = {}
        if op in _OPTIONS:
            options = self._options(operator, *_OPTIONS[op], label)
        return OperatorData(op, label, inputs, outputs, options)

    def _options(
        self, operator: Any, table: str, fields: tuple[str, ...], label: str
    ) -> dict[str, Option]:
        union = operator.BuiltinOptions()
        if union is None and table == "ReshapeOptions":
            return {}  # the shape is an operand, too
        kind = getattr(self.schema.BuiltinOptions, table)
        if union is None or operator.BuiltinOptionsType() != kind:
            raise self._error(f"operator {label!r} has no {table}")
        options = getattr(self.schema, table)()
        options.Init(union.Bytes, union.Pos)
        result: dict[str, Option] = {}
        for field in fields:
            if field.endswith("AsNumpy"):
                name = field.removesuffix("AsNumpy")
                length = getattr(options, name + "Length")()
                result[name] = tuple(self._list(getattr(options, field), length, _MAX_RANK))
            else:
                result[field] = getattr(options, field)()
        return result

    # Values

    def _list(self, vector: Callable[[], Any], length: int, most: int = _MAX_LIST) -> list[Any]:
        self._limit(length, most, "entries in a list")
        return list(vector().tolist()) if length else []

    def _indices(self, vector: Any, tensors: int) -> tuple[int, ...]:
        if isinstance(vector, int):  # an absent vector is 0
            return ()
        self._limit(len(vector), _MAX_LIST, "operands")
        result = tuple(int(index) for index in vector)
        for index in result:
            if not -1 <= index < tensors:
                raise self._error(f"there is no tensor {index}")
        return result

    def _text(self, value: bytes | None) -> str:
        value = value or b""
        self.name_bytes += len(value)
        self._limit(self.name_bytes, _MAX_NAMES, "bytes of names")
        return value.decode("utf-8", "replace")

    def _limit(self, given: int, most: int, what: str) -> None:
        if given > most:
            raise self._error(f"{given} {what}, more than {most}", UnsupportedError)

    def _error(self, reason: str, kind: type[ModelError] = ModelError) -> ModelError:
        return kind(reason, node=str(self.path), remedy=_DAMAGED if kind is ModelError else None)


@cache
def _names(schema: Any, enumeration: str) -> dict[int, str]:
    members = vars(getattr(schema, enumeration))
    return {number: name for name, number in members.items() if isinstance(number, int)}
