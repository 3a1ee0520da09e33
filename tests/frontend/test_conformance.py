"""The ONNX project's own node test vectors of the quantized operators."""

import importlib

import numpy as np
import onnx
import onnx.backend.test.case.node as cases
import pytest
from onnx import TensorProto, helper, numpy_helper

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.errors import UnsupportedError
from nn2rtl.frontend import load

FAMILIES = (
    "convinteger", "dequantizelinear", "dynamicquantizelinear", "matmulinteger", "qlinearconv",
    "qlinearmatmul", "quantizelinear",
)  # fmt: skip
NEWEST = 23  # opset


def vectors():
    """The cases of these operators by name; importing a module of the library makes its cases."""
    for family in FAMILIES:
        importlib.import_module(f"onnx.backend.test.case.node.{family}")
    chosen = [c for c in cases._NodeTestCases if not c.name.endswith("expanded")]
    return {c.name: c for c in chosen if c.model.graph.node[0].op_type.lower() in FAMILIES}


VECTORS = vectors()
REFUSED = ("float4", "e4m3", "e5m2", "blocked", "dynamic")


def as_tensor(value, name):
    tensor = value if isinstance(value, TensorProto) else numpy_helper.from_array(value)
    result = TensorProto()
    result.CopyFrom(tensor)
    result.name = name
    return result


def as_array(value):
    if not isinstance(value, TensorProto):
        return value
    array = numpy_helper.to_array(value)
    return array if array.dtype.kind in "fiu" else array.astype(np.int64)


def single(case):
    """Models of one activation, with all else constant: (model, input, expected result)."""
    node = case.model.graph.node[0]
    (given, expected) = case.data_sets[0]
    first, *others = [as_tensor(value, name) for value, name in zip(given, node.input)]
    x, y = as_array(given[0]), as_array(expected[0])
    if node.op_type == "QLinearMatMul" and x.ndim == 3:  # a product for each of the batch
        for index in range(len(x)):
            weight = numpy_helper.to_array(others[2])[index]
            rest = [*others[:2], as_tensor(weight, others[2].name), *others[3:]]
            yield assembled(case, node, first, rest, x[index : index + 1]), x[[index]], y[[index]]
        return
    batched = x.ndim == 4 and len(x) == 1
    if not batched:  # a vector without a batch
        x, y = x[None], y[None]
        changed = onnx.NodeProto()
        changed.CopyFrom(node)
        for attribute in changed.attribute:
            if attribute.name == "axis":
                attribute.i += 1
        node = changed
    yield assembled(case, node, first, others, x), x, y


def assembled(case, node, first, others, x):
    graph = helper.make_graph(
        [node],
        "vector",
        [helper.make_tensor_value_info(first.name, first.data_type, x.shape)],
        [helper.make_empty_tensor_value_info(node.output[0])],
        others,
    )
    version = min(case.model.opset_import[0].version, NEWEST)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", version)])


@pytest.mark.parametrize("name", [n for n in VECTORS if not any(word in n for word in REFUSED)])
def test_equal(tmp_path, name):
    for model, x, expected in single(VECTORS[name]):
        path = tmp_path / "vector.onnx"
        path.write_bytes(model.SerializeToString())
        result = Emulator(integer_graph(load(path))).emulate(x)
        assert np.array_equal(result.astype(expected.dtype), expected), (result, expected)


@pytest.mark.parametrize("name", [n for n in VECTORS if any(word in n for word in REFUSED)])
def test_refused(tmp_path, name):
    for model, _, _ in single(VECTORS[name]):
        path = tmp_path / "vector.onnx"
        path.write_bytes(model.SerializeToString())
        with pytest.raises(UnsupportedError, match=r"FLOAT\dE|blocks of 2|depend on the data"):
            load(path)


def test_all_families_have_vectors():
    operators = {case.model.graph.node[0].op_type.lower() for case in VECTORS.values()}
    assert operators == set(FAMILIES)
