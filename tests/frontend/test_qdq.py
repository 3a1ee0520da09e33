"""QuantizeLinear and DequantizeLinear: against onnxruntime, and what becomes of them."""

from fractions import Fraction

import numpy as np
import pytest
from onnx import TensorProto, helper
from quantized_models import RANGES, Builder, agreement
from ties import run

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend import load
from nn2rtl.ir.model import Affine, Conv, Input, MatMul, Quantize
from nn2rtl.ir.types import IntType

KINDS = {"INT4": 0.5, "UINT4": 0.5, "INT8": 0.03, "UINT8": 0.03, "INT16": 2e-4, "UINT16": 2e-4}


def quantizers(graph):
    return [node.op for node in graph if isinstance(node.op, Quantize)]


def only(graph, kind):
    (op,) = (node.op for node in graph if isinstance(node.op, kind))
    return op


@pytest.mark.parametrize("kind", KINDS)
def test_element_types_and_zero_points(tmp_path, kind):
    b = Builder([12])
    low, high = RANGES[kind]
    zero = (low + high + 1) // 2 + (high - low) // 8
    scale = KINDS[kind]
    h = b.node("MatMul", b.qdq("x", scale, zero, kind), b.weight([12, 10], axis=1))
    h = b.node("Relu", b.node("Add", h, b.bias(10, 1e-4)))
    y = b.quantize(h, scale * 3, zero, kind)
    graph, _, result = agreement(b.model(y), b.samples(200), tmp_path)
    for op in quantizers(graph):
        assert (op.low, op.high, op.zero_point.item(), op.zero_after) == (low, high, zero, True)
    assert result.min() == zero and low < result.max() <= high


def test_pairs_with_equal_parameters_leave_only_the_quantizer(tmp_path):
    b = Builder([4])
    y = b.qdq(b.qdq("x", 0.1, 3), 0.2, -5)
    graph, _, _ = agreement(b.model(y), b.samples(50), tmp_path)
    assert [type(node.op) for node in graph] == [Input, Quantize, Quantize]


def test_ties_are_rounded_ahead_of_an_odd_zero_point(tmp_path):
    b = Builder([4])
    y = b.quantize("x", 1.0, 3)
    x = np.array([[0.5, 1.5, 2.5, -0.5]], np.float32)
    _, layers, result = agreement(b.model(y), x, tmp_path)
    assert result.tolist() == [[3, 5, 5, 3]]
    assert layers[0].different == 0


def test_without_zero_point_it_is_uint8(tmp_path):
    b = Builder([4])
    y = b.node("QuantizeLinear", "x", b.constant(0.1))
    op = quantizers(agreement(b.model(y), b.samples(9, 20), tmp_path)[0])[0]
    assert (op.low, op.high, op.zero_point.item()) == (0, 255, 0)


def test_output_dtype(tmp_path):
    b = Builder([4])
    y = b.node("QuantizeLinear", "x", b.constant(0.1), output_dtype=TensorProto.INT16)
    assert quantizers(agreement(b.model(y), b.samples(9), tmp_path)[0])[0].low == -32768


@pytest.mark.parametrize("opset", [10, 13, 19, 21, 23])
def test_opsets(tmp_path, opset):
    b = Builder([4], opset=opset)
    h = b.node("MatMul", b.qdq("x", 0.1), b.dequantize(b.integers([4, 3]), 0.5))
    agreement(b.model(b.quantize(h, 0.7)), b.samples(20), tmp_path)


@pytest.mark.parametrize("axis", [1, -3])
def test_activations_along_an_axis(tmp_path, axis):
    b = Builder([3, 4, 5], opset=13)
    y = b.qdq("x", [0.1, 0.2, 0.3], [1, -2, 3], axis=axis)
    graph, _, _ = agreement(b.model(y), b.samples(20), tmp_path)
    assert quantizers(graph)[0].scale.shape == (3, 1, 1)


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT4", "UINT4", "INT16"])
@pytest.mark.parametrize("axis", [None, 0])
def test_convolution_weights(tmp_path, kind, axis):
    b = Builder([4, 6, 6])
    low, high = RANGES[kind]
    zero = 0 if low else (high + 1) // 2
    weight = b.weight([6, 4, 3, 3], kind, axis, 0.02 if high < 999 else 1e-4, zero)
    h = b.node("Conv", b.qdq("x", 0.03, 7), weight, b.bias(6, 2e-4), pads=[1, 1, 1, 1])
    graph, _, _ = agreement(b.model(b.qdq(h, 0.15, -9)), b.samples(4), tmp_path)
    weight = only(graph, Conv).weight
    assert weight.values.shape == (6, 4, 3, 3) and weight.scale.size == (6 if axis == 0 else 1)
    assert weight.zero_point.ravel()[0] == zero


def test_depthwise_weights(tmp_path):
    b = Builder([4, 6, 6])
    h = b.node("Conv", b.qdq("x", 0.03, 7), b.weight([4, 1, 3, 3], axis=0), group=4)
    agreement(b.model(b.qdq(h, 0.15)), b.samples(4), tmp_path)


@pytest.mark.parametrize("transposed", [0, 1])
def test_gemm_weights(tmp_path, transposed):
    b = Builder([8])
    shape = [5, 8] if transposed else [8, 5]
    weight = b.weight(shape, axis=0 if transposed else 1)
    h = b.node("Gemm", b.qdq("x", 0.03), weight, b.bias(5, 1e-3), transB=transposed)
    graph, _, _ = agreement(b.model(b.qdq(h, 0.1)), b.samples(50), tmp_path)
    assert only(graph, MatMul).weight.scale.shape == (1, 5)


def test_quantized_float_weights(tmp_path):
    b = Builder([8])
    weight = b.constant(b.rng.standard_normal((8, 5)) * 3)
    weight = b.qdq(weight, b.rng.uniform(0.01, 0.05, 5), [1, -1, 0, 3, 8], axis=1)
    graph, _, _ = agreement(
        b.model(b.qdq(b.node("MatMul", b.qdq("x", 0.03), weight), 0.1)), b.samples(50), tmp_path
    )
    values = only(graph, MatMul).weight.values
    assert values.min() == -128 and values.max() == 127  # some saturate


def test_rearranged_weights(tmp_path):
    """What tf2onnx writes: a dequantized weight, transposed and reshaped."""
    b = Builder([6, 5, 5])
    weight = b.weight([3, 3, 6, 4], axis=3)
    weight = b.node("Transpose", weight, perm=[3, 2, 0, 1])
    h = b.node("Conv", b.qdq("x", 0.03), weight)
    matrix = b.node("Reshape", b.weight([4, 1, 1, 7], axis=3), b.constant([4, 7], "INT64"))
    h = b.node("GlobalAveragePool", b.qdq(h, 0.05))
    h = b.node("Reshape", b.qdq(h, 0.01), b.constant([-1, 4], "INT64"))
    h = b.node("MatMul", h, matrix)
    model = b.model(b.qdq(h, 0.02))
    graph, _, _ = agreement(model, b.samples(1), tmp_path)
    assert only(graph, Conv).weight.scale.shape == (4, 1, 1, 1)
    assert only(graph, MatMul).weight.scale.shape == (1, 7)


@pytest.mark.parametrize(("low", "high"), [(-8, 7), (-7, 7), (-2, 1), (-1, 1)])
def test_clip_between_quantizer_and_dequantizer(tmp_path, low, high):
    """Brevitas's form for fewer than 8 bits, for activations and constant weights."""
    b = Builder([10])
    bounds = b.constant(low, "INT8"), b.constant(high, "INT8")
    x = b.dequantize(b.node("Clip", b.quantize("x", 0.4), *bounds), 0.4)
    floats = b.constant(b.rng.standard_normal((10, 6)))
    weight = b.dequantize(b.node("Clip", b.quantize(floats, 0.2), *bounds), 0.2)
    h = b.node("Relu", b.node("MatMul", x, weight))
    wide = b.constant(0, "UINT8"), b.constant(15, "UINT8")
    y = b.node("Clip", b.quantize(h, 0.3, 0, "UINT8"), *wide)
    y = b.dequantize(y, 0.3, 0, "UINT8")
    graph, _, _ = agreement(b.model(y), b.samples(100), tmp_path)
    assert [(op.low, op.high) for op in quantizers(graph)] == [(low, high), (0, 15)]
    assert only(graph, MatMul).weight.type == IntType(low, high)


def test_clipped_integer_weights(tmp_path):
    b = Builder([10])
    weight = b.node("Clip", b.integers([10, 6]), b.constant(-8, "INT8"), b.constant(7, "INT8"))
    h = b.node("MatMul", b.qdq("x", 0.1), b.dequantize(weight, 0.2))
    graph, _, _ = agreement(b.model(b.qdq(h, 0.3)), b.samples(20), tmp_path)
    values = only(graph, MatMul).weight.values
    assert (values.min(), values.max()) == (-8, 7)


@pytest.mark.parametrize("kind", ["INT8", "UINT8", "INT16"])
def test_integer_inputs_and_outputs(tmp_path, kind):
    b = Builder([9], kind)
    low, high = RANGES[kind]
    scale = 8 / (high - low)
    h = b.dequantize("x", scale, low + 5, kind)
    h = b.node("MatMul", h, b.weight([9, 5], axis=1))
    model = b.model(b.quantize(h, scale * 4, low + 5, kind))
    x = b.samples(100)
    _, layers, result = agreement(model, x, tmp_path)
    y = run(model, x, [model.graph.output[0].name])[model.graph.output[0].name]
    assert layers[-1].different == np.sum(result != y) <= 3
    assert y.dtype == kind.lower()


def test_residual_sum_of_two_scales(tmp_path):
    b = Builder([4, 5, 5])
    x = b.qdq("x", 0.031, 3)
    h = b.node("Conv", x, b.weight([4, 4, 3, 3], axis=0), pads=[1, 1, 1, 1])
    h = b.qdq(b.node("Relu", h), 0.047, -128)
    y = b.qdq(b.node("Relu", b.node("Add", h, x)), 0.053, -128)
    agreement(b.model(y), b.samples(20), tmp_path)


def test_concatenation_of_two_scales(tmp_path):
    b = Builder([4, 5, 5])
    x = b.qdq("x", 0.031, 3)
    h = b.qdq(b.node("Conv", x, b.weight([3, 4, 1, 1], axis=0)), 0.047, 11)
    y = b.qdq(b.node("Concat", h, x, axis=1), 0.05, 2)
    agreement(b.model(y), b.samples(20), tmp_path)


def test_moves_and_maxima_of_integers(tmp_path):
    """Pooling, reordering, joining and rectifying between quantizer and dequantizer."""
    b = Builder([3, 6, 6])
    h = b.node("MaxPool", b.quantize("x", 0.02, 5), kernel_shape=[2, 2], strides=[2, 2])
    h = b.node("Concat", h, h, axis=1)
    h = b.node("Conv", b.dequantize(h, 0.02, 5), b.weight([4, 6, 2, 2], axis=0))
    h = b.node("Relu", b.quantize(h, 0.05, -10))
    h = b.node("Transpose", h, perm=[0, 2, 3, 1])
    h = b.node("Reshape", h, b.constant([-1, 16], "INT64"))
    h = b.node("MatMul", b.dequantize(h, 0.05, -10), b.weight([16, 5]))
    agreement(b.model(b.quantize(h, 0.1)), b.samples(20), tmp_path)


ISLANDS = {
    "sigmoid": lambda b, x: b.node("Sigmoid", x),
    "hard swish": lambda b, x: b.node("HardSwish", x),
    "silu": lambda b, x: b.node("Mul", x, b.node("Sigmoid", x)),
    "relu6": lambda b, x: b.node("Clip", x, b.constant(0.0), b.constant(6.0)),
    "affine": lambda b, x: b.node("Sub", b.node("Mul", x, b.constant(0.37)), b.constant(0.3)),
    "mean": lambda b, x: b.node("ReduceMean", x, b.constant([2, 3], "INT64"), keepdims=1),
    "pooled": lambda b, x: b.node("AveragePool", x, kernel_shape=[3, 3], pads=[1] * 4),
}


@pytest.mark.parametrize("name", ISLANDS)
def test_float_islands(tmp_path, name):
    b = Builder([3, 4, 4], opset=18)
    y = b.quantize(ISLANDS[name](b, b.qdq("x", 0.06, 3)), 0.021, -7)
    agreement(b.model(y), b.samples(50, 2), tmp_path)


def test_scales_of_half_precision_are_exact(tmp_path):
    b = Builder([4])
    scale = b.constant(0.1, "FLOAT16")
    model = b.model(b.node("QuantizeLinear", "x", scale))
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    assert quantizers(load(path))[0].scale.item() == Fraction(float(np.float16(0.1)))


def test_microsoft_domain(tmp_path):
    b = Builder([4], opset=13)
    q = b.node("QuantizeLinear", "x", *b.parameters(0.2, 1, "INT16"), domain="com.microsoft")
    y = b.node("DequantizeLinear", q, *b.parameters(0.2, 1, "INT16"), domain="com.microsoft")
    graph, _, _ = agreement(b.model(y), b.samples(20), tmp_path)
    assert [type(node.op) for node in graph] == [Input, Quantize]


def test_dequantized_sums(tmp_path):
    """A bias of integers that is added as a tensor of integers."""
    b = Builder([4], "INT8")
    h = b.dequantize("x", 0.1)
    y = b.node("Add", h, b.bias(4, 0.01))
    path = tmp_path / "model.onnx"
    path.write_bytes(b.model(b.quantize(y, 0.2)).SerializeToString())
    affine = [node.op for node in load(path) if isinstance(node.op, Affine)]
    assert affine[1].offset.shape == (4,)


def node(op, inputs="x s z", **attributes):
    return helper.make_node(op, inputs.split(), ["y"], **attributes)


def constants(**changes):
    return {"s": 0.5, "z": np.int8(0), **changes}


Q, D = "QuantizeLinear", "DequantizeLinear"
REFUSED = {
    "blocks": (node(Q, axis=1, block_size=2), constants(), "blocks of 2"),
    "several axes": (node(Q), constants(s=[[0.5, 1.0], [1.0, 1.0]]), "shape \\[2, 2\\]"),
    "float8": (node(Q, "x s", output_dtype=17), constants(), "FLOAT8E4M3FN"),
    "wide": (node(Q), constants(z=np.int32(0)), "32 bits"),
}
INVALID = {
    "float zero point": (node(Q), constants(z=0.0), "integer type"),
    "fractional zero point": (node(D), constants(z=0.5), "not an integer"),
    "two types": (node(Q, output_dtype=2), constants(), "UINT8 is not"),
    "zero scale": (node(Q), constants(s=0.0), "scale 0.0 is not positive"),
    "negative scale": (node(D), constants(s=-1.0), "-1.0 is not positive"),
    "infinite scale": (node(D), constants(s=np.float32(np.inf)), "infinity"),
    "count": (node(Q), constants(s=[1.0, 2.0]), "2 scales .* axis 1 of shape \\[1, 4\\]"),
    "axis": (node(Q, axis=2), constants(s=[1.0, 2.0]), "axis 2 of shape"),
    "zero points": (node(Q), constants(z=np.zeros(3, np.int8), s=[1.0, 2.0]), "zero point of"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(imported, name):
    given, values, message = REFUSED[name]
    with pytest.raises(UnsupportedError, match=message):
        imported([given], [1, 4], values, opset=21)


def test_dequantized_floats_are_refused(imported):
    nodes = [
        helper.make_node(D, ["w", "s"], ["d"]),
        helper.make_node("Add", ["x", "d"], ["y"]),
    ]
    with pytest.raises(UnsupportedError, match="float32"):
        imported(nodes, [1, 4], constants(w=[1.5]))


@pytest.mark.parametrize("name", INVALID)
def test_invalid(imported, name):
    given, values, message = INVALID[name]
    with pytest.raises(ModelError, match=message) as caught:
        imported([given], [1, 4], values, opset=21)
    assert not isinstance(caught.value, UnsupportedError)
