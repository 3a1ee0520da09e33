"""Float networks that onnxruntime's own quantizer has quantized, in both of its forms."""

import numpy as np
import onnx
import pytest
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_static,
)
from quantized_models import Builder, agreement
from ties import compare, executed

from nn2rtl.frontend import load
from nn2rtl.ir.model import Conv, MatMul

QDQ, QOPERATOR = QuantFormat.QDQ, QuantFormat.QOperator


class Floats(Builder):
    """A float network."""

    def weights(self, *shape):
        fan = np.prod(shape[1:]) if len(shape) > 1 else 1
        return self.constant(self.rng.standard_normal(shape) / np.sqrt(fan))

    def conv(self, x, outputs, inputs, kernel, **attributes):
        weight, bias = self.weights(outputs, inputs, *kernel), self.weights(outputs)
        return self.node("Conv", x, weight, bias, **attributes)

    def clip(self, x, low, high):
        return self.node("Clip", x, self.constant(low), self.constant(high))


def residual():
    """Depthwise and pointwise layers, a shortcut, and a classifier."""
    b = Floats([3, 8, 8], opset=13)
    x = b.node("Relu", b.conv("x", 8, 3, (3, 3), pads=[1] * 4))
    h = b.clip(b.conv(x, 8, 1, (3, 3), pads=[1] * 4, group=8), 0.0, 6.0)
    h = b.node("Relu", b.node("Add", b.conv(h, 8, 8, (1, 1)), x))
    h = b.node("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2])
    h = b.node("Flatten", b.node("GlobalAveragePool", h))
    h = b.node("Gemm", h, b.weights(10, 8), b.weights(10), transB=1)
    return b, b.node("Add", b.node("MatMul", h, b.weights(10, 6)), b.weights(6))


def u_net():
    """Down, up by nearest neighbours, and joined with what was there before."""
    b = Floats([2, 8, 8], opset=13)
    first = b.node("Relu", b.conv("x", 4, 2, (3, 3), pads=[1] * 4))
    h = b.node("AveragePool", first, kernel_shape=[2, 2], strides=[2, 2])
    h = b.node("LeakyRelu", b.conv(h, 6, 4, (3, 3), pads=[1] * 4), alpha=0.1)
    scales = b.constant([1.0, 1.0, 2.0, 2.0])
    h = b.node(
        "Resize", h, "", scales, mode="nearest", nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )  # fmt: skip
    h = b.node("Concat", h, first, axis=1)
    return b, b.node("Sigmoid", b.conv(h, 2, 10, (1, 1)))


def wake_word():
    """Convolutions over time."""
    b = Floats([6, 20], opset=13)
    h = b.node("Relu", b.conv("x", 8, 6, (5,), strides=[2]))
    h = b.node("Relu", b.conv(h, 8, 1, (3,), group=8, pads=[2, 2], dilations=[2]))
    h = b.conv(h, 8, 8, (1,))
    h = b.node("Mul", h, b.node("Sigmoid", h))
    h = b.node("Flatten", b.node("GlobalAveragePool", h))
    return b, b.node("Gemm", h, b.weights(8, 3), b.weights(3))


def super_resolution():
    b = Floats([1, 6, 6], opset=13)
    h = b.node("Relu", b.conv("x", 6, 1, (3, 3), pads=[1] * 4))
    h = b.conv(h, 4, 6, (3, 3), pads=[1] * 4)
    return b, b.node("DepthToSpace", h, blocksize=2, mode="CRD")


NETWORKS = {f.__name__: f for f in (residual, u_net, wake_word, super_resolution)}
U8, S8, S16 = QuantType.QUInt8, QuantType.QInt8, QuantType.QInt16
FORMS = {
    "qdq": {"quant_format": QDQ, "activation_type": U8, "weight_type": S8},
    "qdq per channel": {
        "quant_format": QDQ, "activation_type": S8, "weight_type": S8, "per_channel": True,
        "reduce_range": True,
    },
    "qdq 4-bit weights": {
        "quant_format": QDQ, "activation_type": U8, "weight_type": QuantType.QInt4,
        "per_channel": True,
    },
    "operators": {"quant_format": QOPERATOR, "activation_type": U8, "weight_type": S8},
    "operators per channel": {
        "quant_format": QOPERATOR, "activation_type": S8, "weight_type": S8, "per_channel": True,
    },
}  # fmt: skip


class Calibration(CalibrationDataReader):
    def __init__(self, samples):
        self.samples = iter(samples)

    def get_next(self):
        sample = next(self.samples, None)
        return None if sample is None else {"x": sample[None]}


def quantized(build, folder, options):
    b, output = build()
    floats, result = folder / "floats.onnx", folder / "quantized.onnx"
    onnx.save(b.model(output), floats)
    quantize_static(floats, result, Calibration(b.samples(8)), **options)
    return onnx.load(result), b.samples(40)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(tmp_path, name, form):
    model, x = quantized(NETWORKS[name], tmp_path, FORMS[form])
    graph, layers, _ = agreement(model, x, tmp_path)
    assert len(layers) >= 3
    weights = [node.op.weight for node in graph if isinstance(node.op, Conv | MatMul)]
    limit = 8 if "4-bit" in form else 128
    assert all(np.abs(weight.values).max() <= limit for weight in weights)


def test_activations_of_16_bits(tmp_path):
    options = {**FORMS["qdq"], "activation_type": S16}
    model, x = quantized(super_resolution, tmp_path, options)
    graph = load(tmp_path / "quantized.onnx")
    layers = compare(graph, x, executed(graph, model, x))
    assert len(layers) >= 3 and not any(layer.unexplained for layer in layers)


def test_differences_beyond_float32_are_noticed(tmp_path):
    model, x = quantized(residual, tmp_path, FORMS["qdq"])
    graph, layers, _ = agreement(model, x, tmp_path)
    given = executed(graph, model, x)
    name = layers[2].name
    middle = given[name].copy()
    middle[:, 0] += 1
    changed = compare(graph, x, {**given, name: middle})
    before = [layer.unexplained for layer in changed[:2]]
    assert before == [0, 0] and changed[2].unexplained > 0.9 * middle[:, 0].size
    # Later layers are computed from the changed integers; the next one notices it.
    assert changed[3].unexplained > 0
    assert all(layer.unexplained == 0 for layer in changed[6:])
