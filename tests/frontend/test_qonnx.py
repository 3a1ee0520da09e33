"""Quantizers on activations and constants."""

from fractions import Fraction

import numpy as np
import pytest
from onnx import helper

from nn2rtl.ir.model import BipolarQuantize, Conv, MatMul, Quantize, Rounding
from nn2rtl.ir.types import IntType

DOMAINS = ["", "onnx.brevitas", "finn.custom_op.general", "qonnx.custom_op.general"]
QONNX = "qonnx.custom_op.general"


def quant(inputs="x s z b", output="y", op="Quant", domain=QONNX, **attributes):
    return helper.make_node(op, inputs.split(), [output], domain=domain, **attributes)


def parameters(scale=0.5, zero_point=0.0, bits=4.0):
    return {"s": scale, "z": zero_point, "b": bits}


@pytest.mark.parametrize("domain", DOMAINS)
@pytest.mark.parametrize("op", ["Quant", "IntQuant"])
def test_defaults(imported, op, domain):
    result = imported([quant(op=op, domain=domain)], [1, 4], parameters())["y"].op
    assert isinstance(result, Quantize)
    assert (result.low, result.high, result.rounding) == (-8, 7, Rounding.HALF_EVEN)
    assert result.scale.shape == () and result.scale.item() == Fraction(1, 2)


@pytest.mark.parametrize(
    ("signed", "narrow", "bits", "low", "high"),
    [(1, 0, 8, -128, 127), (1, 1, 8, -127, 127), (0, 0, 8, 0, 255), (0, 1, 8, 0, 254),
     (0, 0, 1, 0, 1), (1, 1, 2, -1, 1), (1, 0, 16, -32768, 32767)],
)  # fmt: skip
def test_range(imported, signed, narrow, bits, low, high):
    nodes = [quant(signed=signed, narrow=narrow)]
    op = imported(nodes, [1, 4], parameters(bits=np.int64(bits)))["y"].op
    assert (op.low, op.high) == (low, high)


# QONNX's definitions, symmetric about zero; values of x / scale with what they become.
POINTS = [-2.5, -2.25, -1.5, -0.5, -0.25, 0.25, 0.5, 1.5, 1.75, 2.5]
MODES = {
    "ROUND": [-2, -2, -2, 0, 0, 0, 0, 2, 2, 2],
    "HALF_EVEN": [-2, -2, -2, 0, 0, 0, 0, 2, 2, 2],
    "HALF_UP": [-3, -2, -2, -1, 0, 0, 1, 2, 2, 3],
    "HALF_DOWN": [-2, -2, -1, 0, 0, 0, 0, 1, 2, 2],
    "UP": [-3, -3, -2, -1, -1, 1, 1, 2, 2, 3],
    "DOWN": [-2, -2, -1, 0, 0, 0, 0, 1, 1, 2],
    "ROUND_TO_ZERO": [-2, -2, -1, 0, 0, 0, 0, 1, 1, 2],
    "CEIL": [-2, -2, -1, 0, 0, 1, 1, 2, 2, 3],
    "FLOOR": [-3, -3, -2, -1, -1, 0, 0, 1, 1, 2],
    "floor": [-3, -3, -2, -1, -1, 0, 0, 1, 1, 2],
}


@pytest.mark.parametrize("mode", MODES)
def test_rounding_of_activations_and_constants(imported, execute, mode):
    x = np.array([POINTS], dtype=np.float32) / 2
    graph = imported([quant(rounding_mode=mode)], [1, 10], parameters())
    assert execute(graph, x).ravel().tolist() == [v / 2 for v in MODES[mode]]
    nodes = [quant("c s z b", "q", rounding_mode=mode), matmul()]
    weight = imported(nodes, [1, 1], {**parameters(), "c": x})["y"].op.weight
    assert weight.values.ravel().tolist() == MODES[mode]


def matmul(weight="q"):
    return helper.make_node("MatMul", ["x", weight], ["y"])


def test_zero_point(imported, execute):
    graph = imported([quant(signed=0)], [1, 3], parameters(zero_point=np.int64(3)))
    y = execute(graph, np.array([[-9.0, 0.6, 99.0]]))
    assert y.tolist() == [[-1.5, 0.5, 6.0]]


@pytest.mark.parametrize("shape", [(4, 1, 1), (1, 4, 1, 1)])
def test_scale_per_channel(imported, shape):
    scale = np.arange(1, 5, dtype=np.float64).reshape(shape)
    op = imported([quant()], [1, 4, 2, 2], parameters(scale))["y"].op
    assert op.scale.shape == (4, 1, 1)


@pytest.mark.parametrize("node", [quant(), quant("x s", op="BipolarQuant")])
def test_bipolar_activation(imported, execute, node):
    graph = imported([node], [1, 3], parameters(bits=1.0))
    assert isinstance(graph["y"].op, BipolarQuantize)
    assert execute(graph, np.array([[-0.1, 0.0, 7.0]])).tolist() == [[-0.5, 0.5, 0.5]]


@pytest.mark.parametrize("node", [quant("c s z b", "q"), quant("c s", "q", op="BipolarQuant")])
def test_bipolar_constant(imported, node):
    constants = {**parameters(bits=1.0), "c": [[-0.1], [-0.0], [7.0]]}
    weight = imported([node, matmul()], [1, 3], constants)["y"].op.weight
    assert weight.values.tolist() == [[-1], [1], [1]]
    assert weight.type == IntType(-1, 1)
    assert (weight.scale.item(), weight.zero_point.item()) == (Fraction(1, 2), 0)


def test_scale_follows_transpose_and_reshape(imported):
    shape_node = helper.make_node("Reshape", ["q", "shape"], ["r"])
    turn = helper.make_node("Transpose", ["r"], ["t"])
    constants = {
        **parameters(np.array([[1.0], [2.0]])),
        "c": np.arange(8, dtype=np.float32).reshape(2, 4) - 4,
        "shape": np.array([2, 4], dtype=np.int64),
    }
    graph = imported([quant("c s z b", "q"), shape_node, turn, matmul("t")], [1, 4], constants)
    op = graph["y"].op
    assert isinstance(op, MatMul)
    assert op.weight.scale.shape == (1, 2)
    exact = op.weight.exact().astype(float).T
    assert exact.tolist() == [[-4, -3, -2, -1], [0, 0, 2, 4]]  # 0.5 and 1.5 go to the even


def test_per_channel_convolution_weight_from_a_matrix(imported):
    constants = {
        **parameters(np.array([[1.0], [2.0], [4.0]])),
        "c": np.ones((3, 8), dtype=np.float32),
        "shape": np.array([3, 2, 2, 2], dtype=np.int64),
    }
    reshape = helper.make_node("Reshape", ["q", "shape"], ["w"])
    conv = helper.make_node("Conv", ["x", "w"], ["y"])
    op = imported([quant("c s z b", "q"), reshape, conv], [1, 2, 4, 4], constants)["y"].op
    assert isinstance(op, Conv)
    assert op.weight.scale.shape == (3, 1, 1, 1)


def test_quantized_bias_is_exact(imported):
    constants = {**parameters(0.1, bits=24.0), "c": [1.04], "w": [[[2.0]]]}
    conv = helper.make_node("Conv", ["x", "w", "q"], ["y"])
    op = imported([quant("c s z b", "q"), conv], [1, 1, 3], constants)["y"].op
    assert op.bias[0] == 10 * Fraction(float(np.float32(0.1)))


def test_weight_times_positive_constant_stays_quantized(imported):
    constants = {**parameters(), "c": [[1.0, 2.0]], "f": [4.0, 8.0]}
    multiply = helper.make_node("Mul", ["q", "f"], ["w"])
    weight = imported([quant("c s z b", "q"), multiply, matmul("w")], [1, 1], constants)["y"].op
    assert weight.weight.values.tolist() == [[2, 4]]
    assert weight.weight.exact().tolist() == [[4, 16]]


def test_parameters_from_constant_nodes(imported):
    def constant(name, **value):
        return helper.make_node("Constant", [], [name], **value)

    tensor = helper.make_tensor("t", 1, [], [0.25])
    nodes = [
        constant("s", value=tensor),
        constant("z", value_int=0),
        constant("b", value_float=3.0),
        quant(),
    ]
    op = imported(nodes)["y"].op
    assert (op.scale.item(), op.low) == (Fraction(1, 4), -4)


# Of the specification, in numpy: each element clipped to its own levels.
def reference(x, scale, zero_point, bits, signed, narrow):
    low = -(2.0 ** (bits - 1)) + narrow if signed else 0 * bits
    high = 2.0 ** (bits - 1) - 1 if signed else 2.0**bits - 1 - narrow
    q = np.rint(np.clip(x / scale + zero_point, low, high))
    return (q - zero_point) * scale


BITS = np.array([3.0, 0.0, 5.0, 1.0])


@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("narrow", [0, 1])
def test_bits_of_each_channel(imported, execute, signed, narrow):
    scale = np.array([0.5, 0.25, 1.0, 2.0])
    shape = (1, 4, 1, 1)
    values = parameters(scale.reshape(shape), 1.0, BITS.reshape(shape))
    node = quant(signed=signed, narrow=narrow)
    graph = imported([node], [1, 4, 3, 2], values)
    x = np.random.default_rng(1).normal(0, 6, (5, 4, 3, 2))
    args = (scale.reshape(shape), 1.0, np.maximum(BITS, 1).reshape(shape), signed, narrow)
    wanted = reference(x, *args)
    wanted[:, 1] = -0.25  # no bits: the integer 0
    np.testing.assert_allclose(execute(graph, x), wanted, atol=1e-12)
    levels = [op for op in (node.op for node in graph) if isinstance(op, Quantize)]
    assert len(levels) == 1


def test_bits_and_scale_of_each_weight(imported):
    rng = np.random.default_rng(1)
    bits = rng.integers(0, 6, (4, 3)).astype(np.float64)
    bits[0] = 5
    scale = 2.0 ** rng.integers(-4, 2, (4, 3))
    real = rng.normal(0, 3, (4, 3))
    constants = {"c": real, "s": scale, "z": 0.0, "b": bits}
    weight = imported([quant("c s z b", "q"), matmul()], [1, 4], constants)["y"].op.weight
    wanted = reference(real.astype(np.float32), scale, 0.0, np.maximum(bits, 1), 1, 0)
    assert np.array_equal(weight.exact().astype(float), np.where(bits == 0, 0, wanted))
    assert weight.scale.shape == (1, 3) and weight.type.width <= 11


def test_common_scale_keeps_its_grid(imported):
    constants = {**parameters(0.5, 0.0, np.array([[2.0], [4.0]])), "c": [[9.0], [9.0]]}
    weight = imported([quant("c s z b", "q"), matmul()], [1, 2], constants)["y"].op.weight
    assert weight.values.tolist() == [[1], [7]] and weight.type == IntType(-8, 7)


def truncated(x, scale, zero_point, shift, rounding, levels=None):
    y = np.rint(x / scale + zero_point) / 2**shift
    return rounding(y if levels is None else np.clip(y, *levels))


ROUNDING = {"FLOOR": np.floor, "CEIL": np.ceil, "ROUND": np.rint, "floor": np.floor}


@pytest.mark.parametrize("mode", ROUNDING)
@pytest.mark.parametrize("quantized", [False, True])
def test_truncation_without_output_scale(imported, execute, mode, quantized):
    constants = {"s": 0.25, "z": 2.0, "i": 8.0, "o": 5.0}
    trunc = quant("t s z i o", op="Trunc", rounding_mode=mode)
    first = quant("x s z i", "t", signed=0) if quantized else helper.make_node("Relu", ["x"], ["t"])
    graph = imported([first, trunc], [1, 64], constants)
    x = np.linspace(-5, 60, 64).reshape(1, 64)
    relu = np.clip(np.rint(x * 4 + 2), 0, 255) / 4 - 0.5 if quantized else np.maximum(x, 0)
    wanted = (truncated(relu, 0.25, 2, 3, ROUNDING[mode]) - 2) * 0.25
    np.testing.assert_allclose(execute(graph, x), wanted)
    op = graph[graph[graph.outputs[0]].inputs[0]].op
    assert (op.low, op.high) == ((0, 32 if mode == "CEIL" else 32 - (mode != "ROUND"))
                                 if quantized else (-32, 64))  # fmt: skip


@pytest.mark.parametrize("mode", ROUNDING)
@pytest.mark.parametrize(("signed", "narrow", "levels"), [(0, 0, (0, 15)), (1, 1, (-7, 7))])
def test_truncation_with_output_scale(imported, execute, mode, signed, narrow, levels):
    constants = {"s": 0.25, "z": 2.0, "i": 8.0, "t": 1.0, "o": 4.0}
    node = quant("x s z i t o", op="Trunc", rounding_mode=mode, signed=signed, narrow=narrow)
    x = np.linspace(-20, 20, 64).reshape(1, 64)
    wanted = truncated(x, 0.25, 2, 2, ROUNDING[mode], levels) - 0.5
    np.testing.assert_allclose(execute(imported([node], [1, 64], constants), x), wanted)
