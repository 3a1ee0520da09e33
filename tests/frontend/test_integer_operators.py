"""ConvInteger and MatMulInteger, with the float arithmetic that follows them."""

import numpy as np
import pytest
from onnx import helper
from quantized_models import RANGES, Builder, agreement

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.errors import UnsupportedError
from nn2rtl.frontend import load
from nn2rtl.ir.model import Conv, MatMul

KINDS = ["INT8", "UINT8"]


def tail(b, sums, axes):
    """Scales for each channel, a bias, an activation, and the next quantizer."""
    shape = [4, *[1] * axes]
    h = b.node("Mul", b.node("Cast", sums, to=1), b.constant(b.rng.uniform(1e-4, 3e-4, shape)))
    h = b.node("Relu", b.node("Add", h, b.constant(b.rng.standard_normal(shape))))
    return b.quantize(h, 0.04, 3, "UINT8")


@pytest.mark.parametrize("weights", KINDS)
@pytest.mark.parametrize("zero", ["none", "operand", "both"])
def test_convolution(tmp_path, weights, zero):
    b = Builder([3, 6, 6], "UINT8", opset=13)
    given = [] if zero == "none" else [b.constant(7, "UINT8")]
    middle = (sum(RANGES[weights]) + 1) // 2
    if zero == "both":
        given.append(b.constant(middle + 3, weights))
    weight = b.integers([4, 3, 3, 3], weights)
    sums = b.node("ConvInteger", "x", weight, *given, pads=[1, 1, 1, 1], strides=[2, 2])
    graph, _, _ = agreement(b.model(tail(b, sums, 2)), b.samples(10), tmp_path)
    (op,) = (node.op for node in graph if isinstance(node.op, Conv))
    assert op.weight.zero_point.item() == (middle + 3 if zero == "both" else 0)


@pytest.mark.parametrize("kind", KINDS)
def test_matrix_product(tmp_path, kind):
    b = Builder([9], "FLOAT", opset=13)
    zero = b.constant(5, kind)
    x = b.quantize("x", 0.02, 5, kind)
    zeros = b.constant([1, -2, 3, 0], "INT8")
    sums = b.node("MatMulInteger", x, b.integers([9, 4]), zero, zeros)
    graph, _, _ = agreement(b.model(tail(b, sums, 0)), b.samples(50), tmp_path)
    (op,) = (node.op for node in graph if isinstance(node.op, MatMul))
    assert op.weight.zero_point.ravel().tolist() == [1, -2, 3, 0]


def test_sums_as_integers(tmp_path):
    """The bias is added to the integers, before the cast."""
    b = Builder([9], "INT8", opset=13)
    sums = b.node("MatMulInteger", "x", b.integers([9, 4]))
    sums = b.node("Add", sums, b.integers([4], "INT32"))
    y = b.node("DequantizeLinear", sums, b.constant(2e-4))
    agreement(b.model(b.quantize(y, 0.1)), b.samples(50), tmp_path)


def test_integer_outputs(tmp_path):
    b = Builder([9], "INT8", opset=13)
    weight = b.rng.integers(-128, 127, (9, 4))
    y = b.node("MatMulInteger", "x", b.constant(weight, "INT8"), b.constant(-3, "INT8"))
    path, x = tmp_path / "model.onnx", b.samples(20)
    path.write_bytes(b.model(y).SerializeToString())
    result = Emulator(integer_graph(load(path))).emulate(x)
    assert np.array_equal(result, (x.astype(int) + 3) @ weight)


def test_products_of_activations_are_refused(imported):

    nodes = [helper.make_node("MatMulInteger", ["x", "x"], ["y"])]
    with pytest.raises(UnsupportedError, match="computed from the network's input"):
        imported(nodes, [1, 4])
