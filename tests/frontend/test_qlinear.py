"""QLinear operators of ONNX and onnxruntime, against onnxruntime."""

import numpy as np
import pytest
from model_executor import run_graph
from onnx import helper
from quantized_models import RANGES, Builder, agreement

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend import load
from nn2rtl.ir.model import Conv, MatMul, Quantize

MS = "com.microsoft"
KINDS = ["UINT8", "INT8"]


class QLinear(Builder):
    """Integers `x` of one type, and operators on (integers, scale, zero point)."""

    def __init__(self, shape, kind="UINT8", **others):
        super().__init__(shape, kind, opset=13, **others)
        self.zero = sum(RANGES[kind]) // 2

    def parameters(self, scale, zero=None, kind=None):
        zero = self.zero + 5 if zero is None else zero
        return super().parameters(scale, zero, kind or self.kind)

    def operand(self, x, scale, zero=None):
        return (x, *self.parameters(scale, zero))

    def result(self, op, *inputs, scale=0.05, domain=MS, **attributes):
        return self.node(op, *inputs, *self.parameters(scale), domain=domain, **attributes)


def unary(op, **attributes):
    def build(b):
        return b.result(op, *b.operand("x", 0.04), **attributes)

    return build


def pair(op):
    def build(b):
        h = unary("QLinearLeakyRelu", alpha=0.3)(b)
        return b.result(op, *b.operand("x", 0.04), *b.operand(h, 0.05), scale=0.09)

    return build


def with_constant(b):
    constant = b.integers([3, 1, 1], b.kind)
    return b.result("QLinearMul", *b.operand("x", 0.04), *b.operand(constant, 0.01), scale=0.03)


def concat(b):
    h = unary("QLinearLeakyRelu", alpha=0.3)(b)
    scale = b.parameters(0.07)
    operands = (*b.operand("x", 0.04), *b.operand(h, 0.05))
    return b.node("QLinearConcat", *scale, *operands, domain=MS, axis=1)


def conv(b, domain="", scales=0.02, kind="INT8", bias=True, **attributes):
    weight = b.integers([4, 3, 3, 3], kind), *b.parameters(scales, sum(RANGES[kind]) // 2, kind)
    inputs = (*b.operand("x", 0.04), *weight, *b.parameters(1.3))
    biases = [b.integers([4], "INT32")] if bias else []
    return b.node("QLinearConv", *inputs, *biases, domain=domain, pads=[1] * 4, **attributes)


def per_channel(b):
    return conv(b, scales=[0.01, 0.02, 0.015, 0.005])


NETWORKS = {
    "conv": conv,
    "conv per channel": per_channel,
    "conv without bias": lambda b: conv(b, bias=False),
    "sigmoid": lambda b: b.result("QLinearSigmoid", *b.operand("x", 0.04), scale=1 / 256),
    "leaky relu": unary("QLinearLeakyRelu", alpha=0.2),
    "average pool": unary("QLinearAveragePool", kernel_shape=[3, 3], strides=[2, 2]),
    "padded average": unary("QLinearAveragePool", kernel_shape=[3, 3], pads=[1] * 4),
    "counted average": unary(
        "QLinearAveragePool", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1
    ),
    "global average": unary("QLinearGlobalAveragePool"),
    "mean": unary("QLinearReduceMean", axes=[2, 3], keepdims=1),
    "sum": pair("QLinearAdd"),
    "product": pair("QLinearMul"),
    "product with a constant": with_constant,
    "concat": concat,
}
UNKNOWN_TO_ORT = {"mean"}  # declared by onnxruntime, but without a kernel


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in NETWORKS if name not in UNKNOWN_TO_ORT])
def test_networks(tmp_path, name, kind):
    b = QLinear([3, 6, 6], kind)
    model = b.model(NETWORKS[name](b))
    agreement(model, b.samples(30), tmp_path)


def test_mean_is_global_average(tmp_path):
    results = []
    for name in ("mean", "global average"):
        b = QLinear([3, 6, 6])
        given = b.samples(30)
        path = tmp_path / "model.onnx"
        path.write_bytes(b.model(NETWORKS[name](b)).SerializeToString())
        results.append(run_graph(load(path), given))
    assert np.array_equal(*results)


@pytest.mark.parametrize("kind", KINDS)
def test_channels_last(tmp_path, kind):
    b = QLinear([6, 6, 3], kind)
    h = b.result(
        "QLinearAveragePool", *b.operand("x", 0.04),
        channels_last=1, kernel_shape=[2, 2], strides=[2, 2],
    )  # fmt: skip
    y = b.result("QLinearGlobalAveragePool", *b.operand(h, 0.05), channels_last=1, scale=0.03)
    graph, _, _ = agreement(b.model(y), b.samples(30), tmp_path)
    assert graph.types[graph.outputs[0]].shape == (1, 1, 3)


def test_weights_of_uint8(tmp_path):
    b = QLinear([3, 6, 6])
    graph, _, _ = agreement(b.model(conv(b, kind="UINT8")), b.samples(5), tmp_path)
    (op,) = (node.op for node in graph if isinstance(node.op, Conv))
    assert op.weight.zero_point.item() == 127


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("scales", [0.02, [0.01, 0.02, 0.03]])
def test_matmul(tmp_path, kind, scales):
    b = QLinear([8], kind)
    weight = b.integers([8, 3], "INT8"), *b.parameters(scales, 0, "INT8")
    y = b.node("QLinearMatMul", *b.operand("x", 0.04), *weight, *b.parameters(0.5))
    graph, _, _ = agreement(b.model(y), b.samples(50), tmp_path)
    (op,) = (node.op for node in graph if isinstance(node.op, MatMul))
    assert op.weight.scale.size == np.size(scales)


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("quantized", [False, True])
def test_gemm(tmp_path, transposed, quantized):
    b = QLinear([8])
    weight = b.integers([3, 8] if transposed else [8, 3], "INT8")
    given = *b.operand("x", 0.04), weight, *b.parameters([0.01, 0.02, 0.03], 0, "INT8")
    given = *given, b.integers([3], "INT32")
    if quantized:
        y = b.result("QGemm", *given, transB=transposed, alpha=0.5, scale=0.4)
    else:
        y = b.node("QGemm", *given, domain=MS, transB=transposed, alpha=0.5)
        y = b.quantize(y, 0.4, 0, "INT8")
    agreement(b.model(y), b.samples(50), tmp_path)


def test_chain_of_operators(tmp_path):
    """The form that onnxruntime's quantizer writes, from floats to floats."""
    b = QLinear([3, 6, 6])
    b.kind = "FLOAT"
    x = b.node("QuantizeLinear", "x", *Builder.parameters(b, 0.04, 5, "UINT8"))
    b.kind = "UINT8"
    weight = b.integers([3, 3, 1, 1], "INT8"), *b.parameters(0.01, 0, "INT8")
    inputs = (x, *b.parameters(0.04, 5), *weight, *b.parameters(0.06))
    h = b.node("QLinearConv", *inputs)
    h = b.result("QLinearAdd", *b.operand(h, 0.06), x, *b.parameters(0.04, 5), scale=0.1)
    h = b.node("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2])
    h = b.node("Flatten", b.result("QLinearGlobalAveragePool", *b.operand(h, 0.1)))
    y = b.node("DequantizeLinear", h, *b.parameters(0.05))
    b.kind = "FLOAT"
    agreement(b.model(y), b.samples(20), tmp_path)


def test_softmax_is_a_quantized_tail(tmp_path):
    b = QLinear([8])
    y = b.result("QLinearSoftmax", *b.operand("x", 0.04), axis=1, opset=13, scale=1 / 256)
    path = tmp_path / "model.onnx"
    path.write_bytes(b.model(y).SerializeToString())
    kinds = [type(node.op).__name__ for node in load(path)]
    assert kinds == ["Input", "Quantize", "Affine", "Softmax", "Quantize", "Affine"]


def test_result_without_zero_point_has_the_operands_type(tmp_path):
    b = QLinear([8], "INT8")
    given = *b.operand("x", 0.04), b.constant(0.05)
    y = b.node("QLinearSigmoid", *given, domain=MS)
    path = tmp_path / "model.onnx"
    path.write_bytes(b.model(y).SerializeToString())
    (op,) = [node.op for node in load(path) if isinstance(node.op, Quantize)][1:]
    assert (op.low, op.high, op.zero_point.item()) == (-128, 127, 0)


def node(op, inputs, domain=MS, **attributes):
    names = ["" if name == "-" else name for name in inputs.split()]
    return helper.make_node(op, names, ["y"], domain=domain, **attributes)


VALUES = {"s": 0.5, "z": np.uint8(3), "w": np.ones((4, 4), np.int8), "f": 1.5}
REFUSED = {
    "weight of activations": (node("QLinearMatMul", "x s z x s z s z", ""), "weight"),
    "type of the result": (node("QLinearSigmoid", "x s - s"), "state its zero point"),
    "unknown": (node("QLinearWhere", "x s z"), "QLinearWhere"),
    "bias of activations": (node("QGemm", "x s z w s z x s z"), "bias"),
}
INVALID = {
    "operands": (node("QLinearConcat", "s z x s"), "three inputs an operand"),
    "bias of floats": (node("QGemm", "x s z w s z f s z"), "float32"),
    "missing": (node("QLinearAdd", "x s z x s"), "input 6 is missing"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(imported, name):
    given, message = REFUSED[name]
    with pytest.raises(UnsupportedError, match=message):
        imported([given], [1, 4], VALUES)


@pytest.mark.parametrize("name", INVALID)
def test_invalid(imported, name):
    given, message = INVALID[name]
    with pytest.raises(ModelError, match=message) as caught:
        imported([given], [1, 4], VALUES)
    assert not isinstance(caught.value, UnsupportedError)
