"""Transposed convolutions, and products from the left, against onnxruntime."""

import numpy as np
import pytest
from onnx import helper

from nn2rtl.errors import Nn2RtlError

rng = np.random.default_rng(1)
IMAGE, LINE = [1, 4, 3, 5], [1, 4, 6]
WEIGHT = rng.integers(-4, 5, (4, 3, 3, 2)).astype(np.float32)
GROUPED = rng.integers(-4, 5, (4, 2, 2, 3)).astype(np.float32)
LONG = rng.integers(-4, 5, (4, 2, 3)).astype(np.float32)

# name: (attributes, input shape, weight)
CASES = {
    "plain": ({}, IMAGE, WEIGHT),
    "strided": ({"strides": [2, 3]}, IMAGE, WEIGHT),
    "padded": ({"strides": [2, 2], "pads": [1, 0, 2, 1]}, IMAGE, WEIGHT),
    "output_padding": ({"strides": [2, 3], "output_padding": [1, 2]}, IMAGE, WEIGHT),
    "dilated": ({"dilations": [2, 3]}, IMAGE, WEIGHT),
    "groups": ({"group": 2, "strides": [2, 1]}, IMAGE, GROUPED),
    "depthwise": ({"group": 4, "strides": [2, 2]}, IMAGE, GROUPED),
    "output_shape": ({"strides": [2, 2], "output_shape": [6, 9]}, IMAGE, WEIGHT),
    "same_upper": ({"strides": [2, 1], "auto_pad": "SAME_UPPER"}, IMAGE, WEIGHT),
    "same_lower": ({"strides": [2, 1], "auto_pad": "SAME_LOWER"}, IMAGE, WEIGHT),
    "line": ({"strides": [2], "pads": [1, 1]}, LINE, LONG),
}


def nodes(bias=True, **attributes):
    inputs = ["x", "w", "b"] if bias else ["x", "w"]
    return [helper.make_node("ConvTranspose", inputs, ["y"], **attributes)]


@pytest.mark.parametrize("name", CASES)
def test_equals_onnxruntime(name, equals_onnxruntime):
    attributes, shape, weight = CASES[name]
    bias = rng.normal(size=weight.shape[1] * attributes.get("group", 1)).astype(np.float32)
    refused = "use less output padding" if name == "output_padding" else None
    equals_onnxruntime(nodes(**attributes), shape, {"w": weight, "b": bias}, refused=refused)


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"group": 3}, "3 groups does not fit"),
        ({"output_padding": [1, 0]}, "output_padding"),
        ({"pads": [4, 0, 4, 0]}, "leave nothing"),
        ({"output_shape": [50, 9]}, "larger than what its windows reach"),
    ],
)
def test_refusals(attributes, message, imported):
    with pytest.raises(Nn2RtlError, match=message):
        imported(nodes(bias=False, **attributes), IMAGE, {"w": WEIGHT})


def test_products_from_the_left(equals_onnxruntime):
    product = helper.make_node("MatMul", ["w", "x"], ["y"])
    equals_onnxruntime([product], [1, 2, 4, 3], {"w": WEIGHT[:, :, 0, 0].T.copy()})
