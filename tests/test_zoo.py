"""Networks as users bring them, in every ONNX dialect: import, emulation, and hardware."""

import numpy as np
import pytest
from model_executor import run_graph
from quantized_models import Builder, agreement

import nn2rtl
from nn2rtl.build import check_simulation
from nn2rtl.design import Emulator, integer_graph
from nn2rtl.simulation import Stalls

QONNX, MICROSOFT = "qonnx.custom_op.general", "com.microsoft"
SAME = {"pads": [1] * 4}


class Zoo(Builder):
    """Layers as the exporters of the dialects spell them."""

    def scalar(self, value):
        return self.constant(value, "INT64")

    def conv(self, x, outputs, inputs, kernel=3, **attributes):
        """QDQ, per channel."""
        weight = self.weight((outputs, inputs, kernel, kernel), axis=0, scale=0.004)
        bias = self.constant(self.rng.normal(size=outputs))
        return self.node("Conv", x, weight, bias, **attributes)

    def quant(self, x, bits, scale, signed=1, narrow=0):
        operands = [self.constant(scale), self.constant(0.0), self.constant(float(bits))]
        return self.node(
            "Quant", x, *operands, domain=QONNX, signed=signed, narrow=narrow, rounding_mode="ROUND"
        )

    def quantized_conv(self, x, outputs, inputs, kernel=3, op="Conv", bits=4, **attributes):
        """QONNX, weights of four bits, per channel."""
        axes = [0, 1] if op == "Conv" else [1, 0]
        weight = self.rng.normal(size=(outputs, inputs, kernel, kernel)) / 3
        scale = 2.0 ** -self.rng.integers(3, 5, (outputs, 1, 1, 1))
        weight, scale = (values.transpose(*axes, 2, 3) for values in (weight, scale))
        weight = self.quant(self.constant(weight), bits, scale, narrow=1)
        return self.node(op, x, weight, **attributes)

    def thresholds(self, x, channels, levels, scale, **attributes):
        rows = np.sort(np.rint(self.rng.normal(size=(channels, levels)) * scale), axis=1)
        return self.node("MultiThreshold", x, self.constant(rows), domain=QONNX, **attributes)


def shuffle():
    """Channels split by torch's arithmetic on shapes, joined, and shuffled."""
    b = Zoo([4, 6, 6], opset=13)
    x = b.qdq(b.node("Relu", b.conv(b.qdq("x", 0.05, -3), 6, 4, **SAME)), 0.02, -128)
    channels = b.node("Gather", b.node("Shape", x), b.scalar([1]))
    half = b.node("Div", b.node("Add", channels, b.scalar([1])), b.scalar([2]))
    left = b.node("Slice", x, b.scalar([0]), half, b.scalar([1]))
    right = b.node("Slice", x, half, b.node("Mul", half, b.scalar([2])), b.scalar([1]))
    right = b.qdq(b.conv(right, 3, 1, group=3, **SAME), 0.03, 5)
    right = b.qdq(b.node("Relu", b.conv(right, 3, 3, 1)), 0.02, -128)
    y = b.qdq(b.node("Concat", left, right, axis=1), 0.02, -128)
    y = b.node("Transpose", b.node("Reshape", y, b.scalar([-1, 2, 3, 6, 6])), perm=[0, 2, 1, 3, 4])
    y = b.node("Reshape", y, b.scalar([-1, 6, 6, 6]))
    y = b.qdq(b.conv(y, 4, 6, strides=[2, 2]), 0.04, 3)
    return b, b.qdq(b.node("ReduceMean", y, axes=[2, 3]), 0.03)


def mixer():
    """Dense layers over positions and over channels, as onnxruntime's optimizer writes them."""
    b = Zoo([3, 4, 4], opset=20)
    x = b.qdq(b.conv(b.qdq("x", 0.05), 6, 3, 2, strides=[2, 2]), 0.04, 7)
    x = b.node("Transpose", b.node("Reshape", x, b.scalar([-1, 6, 4])), perm=[0, 2, 1])
    t = b.node("Transpose", x, perm=[0, 2, 1])
    for inputs, outputs in ((4, 5), (5, 4)):
        rows = b.node("Reshape", t, b.scalar([-1, inputs]))
        weight = b.weight((inputs, outputs), axis=1, scale=0.006)
        y = b.qdq(b.node("Gemm", rows, weight, b.constant(b.rng.normal(size=outputs))), 0.05, -4)
        t = b.node("Reshape", y, b.scalar([-1, 6, outputs]))
        if outputs == 5:
            t = b.qdq(b.node("Gelu", t), 0.03, -100)
    x = b.qdq(b.node("Add", x, b.node("Transpose", t, perm=[0, 2, 1])), 0.07, 2)
    return b, b.node("MatMul", b.qdq(b.node("ReduceMean", x, b.scalar([1]), keepdims=0), 0.05),
                     b.weight((6, 3), scale=0.01))  # fmt: skip


def inception():
    """Four branches, one of them the mean of the pixels that there are; squeeze and excite."""
    b = Zoo([3, 6, 6], opset=14)
    x = b.qdq("x", 0.05, 4)
    pool = b.node("AveragePool", x, kernel_shape=[3, 3], count_include_pad=0, **SAME)
    branches = [
        b.qdq(b.conv(x, 2, 3, 1), 0.03, 6),
        b.qdq(b.conv(b.qdq(b.node("Relu", b.conv(x, 3, 3, 1)), 0.02, -128), 2, 3, **SAME), 0.03, 1),
        b.qdq(b.conv(b.qdq(pool, 0.04), 2, 3, 1), 0.02, 0),
        b.qdq(b.node("MaxPool", x, kernel_shape=[3, 3], **SAME), 0.05, 4),
    ]
    y = b.qdq(b.node("HardSwish", b.qdq(b.node("Concat", *branches, axis=1), 0.05, 3)), 0.04, -100)
    gate = b.qdq(b.node("GlobalAveragePool", y), 0.02, -60)
    gate = b.qdq(b.node("Relu", b.conv(gate, 4, 9, 1)), 0.02, -128)
    gate = b.qdq(b.node("Sigmoid", b.qdq(b.conv(gate, 9, 4, 1), 0.03)), 1 / 256, -128)
    return b, b.qdq(b.node("Mul", y, gate), 0.03, -90)


def microsoft(kind="UINT8"):
    """Nothing but operators on bytes, from the input to the output."""
    b = Zoo([3, 6, 6], kind=kind, opset=17)

    def given(scale, zero):
        return b.parameters(scale, zero, kind)

    def conv(x, before, after, outputs, inputs, kernel, **attributes):
        weight = b.integers((outputs, inputs, kernel, kernel))
        scale = b.constant(0.004 * b.rng.uniform(0.5, 1.5, outputs))
        zeros, bias = b.constant([0] * outputs, "INT8"), b.integers([outputs], "INT32")
        return b.node("QLinearConv", x, *before, weight, scale, zeros, *after, bias, **attributes)

    def apply(op, *operands, **attributes):
        return b.node(op, *operands, domain=MICROSOFT, **attributes)

    p0, p1, p2, p3, p4 = (given(0.02, 120), given(0.03, 3), given(0.03, 90), given(0.04, 66),
                          given(1 / 256, 0))  # fmt: skip
    a = conv("x", p0, p1, 4, 3, 3, **SAME)
    c = apply("QLinearLeakyRelu", conv(a, p1, p2, 4, 1, 3, group=4, **SAME), *p2, *p3, alpha=0.1)
    d = apply("QLinearAdd", a, *p1, c, *p3, *p3)
    g = apply("QLinearGlobalAveragePool", d, *p3, *p3, channels_last=0)
    g = apply("QLinearSigmoid", conv(g, p3, p2, 4, 4, 1), *p2, *p4)
    e = apply("QLinearMul", d, *p3, g, *p4, *p2)
    window = {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 1]}
    f = apply("QLinearAveragePool", e, *p2, *p2, count_include_pad=0, **window)
    k = apply("QLinearConcat", *p3, f, *p2, b.node("MaxPool", e, **window), *p2, axis=1)
    k = b.node("Flatten", apply("QLinearGlobalAveragePool", k, *p3, *p1, channels_last=0))
    weight = (b.integers((5, 8)), *b.parameters(0.006, 0, "INT8"), b.integers([5], "INT32"))
    return b, apply("QGemm", k, *p1, *weight, *given(0.05, 128), transB=1)


def integers():
    """Integer operators and arithmetic; integers divide towards zero."""
    b = Zoo([2, 6, 6], kind="UINT8", opset=21)
    zero = b.constant(128, "UINT8")
    y = b.node("ConvInteger", "x", b.integers((4, 2, 3, 3)), zero, **SAME)
    y = b.node("Add", y, b.constant(b.rng.integers(-99, 99, (1, 4, 1, 1)), "INT32"))
    y = b.node("Mul", y, b.constant(b.rng.integers(1, 9, (1, 4, 1, 1)), "INT32"))
    y = b.node("Div", y, b.constant(9000, "INT32"))
    y = b.node("Clip", y, b.constant(-8, "INT32"), b.constant(7, "INT32"))
    y = b.node("Flatten", b.node("Cast", y, to=3))
    return b, b.node("MatMulInteger", y, b.integers((144, 3)))


def inverted_residual():
    """Depthwise and pointwise layers of four bits, batch norm, ReLU6, and a sum of equal scales."""
    b = Zoo([3, 6, 6])

    def norm(x, channels):
        values = b.rng.uniform(0.4, 1.4, (4, channels)) * [[1], [0.3], [0.3], [1]]
        return b.node("BatchNormalization", x, *(b.constant(row) for row in values))

    def relu6(x):
        return b.quant(b.node("Clip", x, b.constant(0.0), b.constant(6.0)), 4, 0.25, signed=0)

    def block(x, inputs, outputs, stride):
        wide = 2 * inputs
        y = relu6(norm(b.quantized_conv(x, wide, inputs, 1), wide))
        y = b.quantized_conv(y, wide, 1, group=wide, strides=[stride] * 2, **SAME)
        return norm(b.quantized_conv(relu6(norm(y, wide)), outputs, wide, 1), outputs)

    x = b.quant(norm(b.quantized_conv(b.quant("x", 8, 1 / 64), 4, 3, **SAME), 4), 5, 0.25)
    x = b.node("Add", x, b.quant(block(x, 4, 4, 1), 5, 0.25))
    x = b.node("GlobalAveragePool", b.quant(block(x, 4, 6, 2), 5, 0.25))
    weight = b.quant(b.constant(b.rng.normal(size=(6, 4))), 4, 0.125)
    return b, b.node("MatMul", b.node("Flatten", x), weight)


def u_net():
    """Down, up by a transposed convolution and by nearest neighbours; a mask of eight bits."""
    b = Zoo([1, 8, 8])
    first = b.quantized_conv(b.quant("x", 6, 1 / 8), 3, 1, **SAME)
    first = b.quant(b.node("Relu", first), 4, 0.25, 0)
    h = b.node("MaxPool", first, kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    h = b.quant(b.node("Relu", b.quantized_conv(h, 4, 3, **SAME)), 4, 0.25, 0)
    up = b.quantized_conv(h, 3, 4, 2, "ConvTranspose", strides=[2, 2])
    near = b.node("Resize", h, "", b.constant([1.0, 1.0, 2.0, 2.0]), mode="nearest",
                  nearest_mode="floor", coordinate_transformation_mode="asymmetric")  # fmt: skip
    joined = b.node("Concat", b.quant(up, 4, 0.25), near, first, axis=1)
    return b, b.quant(b.node("Sigmoid", b.quantized_conv(joined, 1, 10, **SAME)), 8, 1 / 256, 0)


def super_resolution():
    b = Zoo([1, 6, 6])
    x = b.quant(b.node("Relu", b.quantized_conv(b.quant("x", 8, 1 / 32), 6, 1, 5, pads=[2] * 4)),
                4, 0.25, 0)  # fmt: skip
    x = b.quantized_conv(x, 4, 6, **SAME)
    return b, b.quant(b.node("DepthToSpace", x, blocksize=2, mode="CRD"), 8, 1 / 8)


def streamlined():
    """FINN's form: thresholds and convolutions on channels-last tensors, and the best class."""
    b = Zoo([6, 6, 3], opset=11)
    last = {"data_layout": "NHWC", "out_dtype": "UINT2"}

    def conv(x, outputs, inputs):
        weight = b.constant(b.rng.integers(-3, 4, (outputs, 3, 3, inputs)))
        return b.node("Conv", x, weight, domain="qonnx.custom_op.channels_last",
                      kernel_shape=[3, 3], **SAME)  # fmt: skip

    x = b.thresholds("x", 1, 15, 2, out_bias=-8.0, data_layout="NHWC", out_dtype="INT4")
    x = b.thresholds(conv(x, 5, 3), 5, 3, 40, **last)
    x = b.node("Add", b.thresholds(conv(x, 5, 5), 5, 7, 12, **last), x)
    x = b.node("MaxPool", x, domain="qonnx.custom_op.channels_last", kernel_shape=[2, 2],
               strides=[2, 2])  # fmt: skip
    x = b.node("MatMul", b.node("Flatten", x), b.constant(b.rng.integers(-1, 2, (45, 24))))
    x = b.thresholds(x, 24, 1, 20, out_scale=2.0, out_bias=-1.0, out_dtype="BIPOLAR")
    x = b.node("MatMul", x, b.constant(b.rng.integers(0, 2, (24, 6)) * 2 - 1))
    x = b.node("Add", b.node("Mul", x, b.constant(0.0625)), b.constant(b.rng.normal(size=6) / 64))
    return b, b.node("TopK", x, b.scalar([1]), outputs=2) + "_1"


def shifted(spelled):
    """Integer arithmetic on float tensors: RequantShift, or the same in standard operators."""
    b = Zoo([3, 6, 6])

    def requantize(x, channels, signed, div, most):
        mul = b.constant(b.rng.integers(1, most, (channels, 1, 1)))
        add = b.constant(b.rng.integers(-500, 500, (channels, 1, 1)))
        if not spelled:
            return b.node("RequantShift", x, mul, add, div=div, signed=signed, n_levels_out=256.0)
        x = b.node("Add", b.node("Add", b.node("Mul", x, mul), add), b.constant(div / 2))
        x = b.node("Floor", b.node("Div", x, b.constant(div)))
        low = -128.0 if signed else 0.0
        return b.node("Clip", x, b.constant(low), b.constant(low + 255))

    def conv(x, outputs, inputs, **attributes):
        weight = b.constant(b.rng.integers(-8, 8, (outputs, inputs, 3, 3)))
        return b.node("Conv", x, weight, **SAME, **attributes)

    x = b.node("Round", b.node("Mul", "x", b.constant(32.0)))
    x = b.node("Clip", x, b.constant(-128.0), b.constant(127.0))
    x = requantize(conv(x, 4, 3), 4, 0, 512.0, 20)
    y = requantize(conv(x, 4, 1, group=4), 4, 1, 256.0, 20)
    x = requantize(b.node("Add", b.node("Mul", x, b.constant(3.0)), y), 4, 0, 4.0, 2)
    x = b.node("Floor", b.node("AveragePool", x, kernel_shape=[2, 2], strides=[2, 2]))
    x = b.node("MatMul", b.node("Flatten", x), b.constant(b.rng.integers(-8, 8, (36, 4))))
    return b, b.node("Add", x, b.constant(b.rng.integers(-99, 99, 4)))


def spelled():
    return shifted(True)


BY_ONNXRUNTIME = (shuffle, mixer, inception, microsoft, integers)
BY_DEFINITION = (inverted_residual, u_net, super_resolution, streamlined, spelled)
IN_HARDWARE = (shuffle, integers, u_net)


def written(network, folder):
    b, output = network()
    path = folder / "model.onnx"
    path.write_bytes(b.model(output).SerializeToString())
    return b, nn2rtl.load(path)


@pytest.mark.parametrize("network", BY_ONNXRUNTIME, ids=lambda f: f.__name__)
def test_equals_onnxruntime(network, tmp_path):
    b, output = network()
    _, _, outputs = agreement(b.model(output), b.samples(24, 1.5), tmp_path)
    assert len(np.unique(outputs)) > 5


@pytest.mark.parametrize("network", BY_DEFINITION, ids=lambda f: f.__name__)
def test_equals_its_definition(network, tmp_path):
    b, net = written(network, tmp_path)
    x = b.samples(24, 1.5)
    outputs = Emulator(integer_graph(net)).emulate(x)
    np.testing.assert_allclose(outputs, run_graph(net, x), rtol=1e-12, atol=1e-12)
    assert len(np.unique(outputs)) > (1 if network is streamlined else 5)


def test_both_spellings_of_integer_arithmetic(tmp_path):
    (b, first), (_, second) = (written(lambda s=s: shifted(s), tmp_path) for s in (False, True))
    x = b.samples(24)
    results = [Emulator(integer_graph(net)).emulate(x) for net in (first, second)]
    np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("network", IN_HARDWARE, ids=lambda f: f.__name__)
def test_hardware(network, tmp_path):
    b, net = written(network, tmp_path)
    design = nn2rtl.compile(net, options={"interval_cycles": 6000})
    x = b.samples(3, 1.5)
    check_simulation(design, design.simulate(x))
    stalled = design.simulate(x, stalls=Stalls(idle=0.3, backpressure=0.4, seed=2))
    assert stalled.mismatches == 0
