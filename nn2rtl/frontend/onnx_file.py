"""Safe reading of an ONNX file into plain data."""

from __future__ import annotations

from pathlib import Path

import onnx

from nn2rtl.errors import ModelError, Nn2RtlError, UnsupportedError
from nn2rtl.frontend.onnx_tensors import (
    ExternalData,
    decode_tensor,
    integer_type,
    numeric_type,
    type_name,
)
from nn2rtl.frontend.source import (
    Array,
    AttributeValue,
    OtherAttribute,
    SourceInput,
    SourceModel,
    SourceNode,
    SourceTensor,
)

_OPSETS = range(7, 24)
_STANDARD = ("", "ai.onnx")
_DAMAGED = "check that it is an ONNX file and complete; export or download it again"


def read_onnx(data: bytes, path: Path) -> SourceModel:
    """The content of an ONNX file.

    Parameters
    ----------
    data : bytes
        The file.
    path : Path
        Where it came from; external tensor data is looked for in its folder.

    Raises
    ------
    ModelError
        If it is not an ONNX model.
    UnsupportedError
        If its opset is not one of 7 to 23.
    """
    # protobuf raises various exceptions, some of them only when a field is read (strings are
    # decoded late), so all of the conversion stands at the library's border.
    try:
        model = onnx.ModelProto()
        model.ParseFromString(data)
        return _convert(model, path)
    except Nn2RtlError:
        raise
    except Exception as error:
        raise ModelError(
            f"not a readable ONNX model ({type(error).__name__}: {error})",
            node=str(path),
            remedy=_DAMAGED,
        ) from None


def _convert(model: onnx.ModelProto, path: Path) -> SourceModel:
    graph = model.graph
    opset = next((o.version for o in model.opset_import if o.domain in _STANDARD), None)
    if not model.HasField("graph") or not graph.output or opset is None:
        raise ModelError("not an ONNX model", node=str(path), remedy=_DAMAGED)
    if opset not in _OPSETS:
        raise UnsupportedError(
            f"opset {opset} is not supported",
            node=str(path),
            remedy=f"export the model with an opset from {_OPSETS[0]} to {_OPSETS[-1]}",
        )
    external = ExternalData(path.parent)
    initializers: dict[str, SourceTensor] = {}
    for tensor in graph.initializer:
        name = _text(tensor.name)
        if name in initializers:
            raise ModelError(f"two initializers have the name {name!r}", node=str(path))
        initializers[name] = _tensor(tensor, name, external)
    return SourceModel(
        name=_text(graph.name) or path.stem,
        opset=int(opset),
        inputs=tuple(_input(i) for i in graph.input if i.name not in initializers),
        outputs=tuple(_text(output.name) for output in graph.output),
        nodes=tuple(_node(node, external) for node in graph.node),
        initializers=initializers,
    )


def _text(value: str | bytes) -> str:
    """A string field; protobuf hands out bytes where a file has invalid UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8")


def _input(value: onnx.ValueInfoProto) -> SourceInput:
    tensor = value.type.tensor_type
    shape = None
    if value.type.HasField("tensor_type") and tensor.HasField("shape"):
        shape = tuple(
            int(d.dim_value) if d.HasField("dim_value") and d.dim_value > 0 else None
            for d in tensor.shape.dim
        )
    is_number = numeric_type(tensor.elem_type) and tensor.elem_type != onnx.TensorProto.BOOL
    element = tensor.elem_type
    return SourceInput(
        _text(value.name), shape, is_number, integer_type(element), type_name(element)
    )


def _node(node: onnx.NodeProto, external: ExternalData) -> SourceNode:
    label = _text(node.name) or _text(node.op_type)
    return SourceNode(
        op=_text(node.op_type),
        domain=_text(node.domain),
        name=_text(node.name),
        inputs=tuple(map(_text, node.input)),
        outputs=tuple(map(_text, node.output)),
        attributes={_text(a.name): _attribute(a, label, external) for a in node.attribute},
    )


def _tensor(tensor: onnx.TensorProto, label: str, external: ExternalData) -> SourceTensor:
    def load() -> Array:
        try:
            return decode_tensor(tensor, label, external)
        except Nn2RtlError:
            raise
        except Exception as error:  # protobuf decodes lazily, see above
            raise ModelError(f"tensor {label!r} cannot be read: {error}", remedy=_DAMAGED) from None

    return SourceTensor(label, load, integer_type(tensor.data_type))


def _attribute(
    attribute: onnx.AttributeProto, label: str, external: ExternalData
) -> AttributeValue:
    kinds = onnx.AttributeProto
    match attribute.type:
        case kinds.INT:
            return int(attribute.i)
        case kinds.FLOAT:
            return float(attribute.f)
        case kinds.STRING:
            return attribute.s.decode("utf-8", "replace")
        case kinds.INTS:
            return tuple(int(value) for value in attribute.ints)
        case kinds.FLOATS:
            return tuple(float(value) for value in attribute.floats)
        case kinds.STRINGS:
            return tuple(value.decode("utf-8", "replace") for value in attribute.strings)
        case kinds.TENSOR:
            return _tensor(attribute.t, f"{label}.{attribute.name}", external)
        case other:
            names = {number: name for name, number in kinds.AttributeType.items()}
            return OtherAttribute(names.get(other, str(other)).lower())
