"""Nearest-neighbour resizing against onnxruntime."""

import itertools

import numpy as np
import pytest
from onnx import helper

from nn2rtl.errors import Nn2RtlError
from nn2rtl.ir.model import Gather

IMAGE = [1, 2, 4, 5]


def node(inputs, **attributes):
    return [helper.make_node("Resize", inputs, ["y"], **attributes)]


def floats(*values):
    return np.array(values, dtype=np.float32)


SCALES = {"s": floats(1, 1, 2, 3)}
CASES = {
    "attribute": ([helper.make_node("Upsample", ["x"], ["y"], scales=[1.0, 1.0, 2.0, 2.0])], {}, 8),
    "upsample": ([helper.make_node("Upsample", ["x", "s"], ["y"])], SCALES, 9),
    "opset 10": (node(["x", "s"]), SCALES, 10),
    "opset 10 smaller": (node(["x", "s"]), {"s": floats(1, 1, 0.6, 0.7)}, 10),
    "sizes": (node(["x", "", "", "t"]), {"t": np.array([1, 2, 7, 3])}, 13),
    "axes": (node(["x", "", "s"], axes=[3, 2]), {"s": floats(2, 1.5)}, 18),
    "channels": (node(["x", "", "s"]), {"s": floats(1, 2, 1, 1)}, 13),
}
MODES = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"]
ROUNDING = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
for mode, rounding, scale in itertools.product(MODES, ROUNDING, (0.4, 0.7, 1.6, 2.0)):
    options = {"coordinate_transformation_mode": mode, "nearest_mode": rounding}
    CASES[f"{mode} {rounding} {scale}"] = (
        node(["x", "", "s"], **options), {"s": floats(1, 1, scale, 3 * scale)}, 13,
    )  # fmt: skip
SYMMETRIC = {"coordinate_transformation_mode": "half_pixel_symmetric"}
CASES["symmetric"] = (node(["x", "", "s"], **SYMMETRIC), {"s": floats(1, 1, 0.7, 1.7)}, 19)
FOR_NN = {"coordinate_transformation_mode": "tf_half_pixel_for_nn", "nearest_mode": "floor"}
CASES["tf"] = (node(["x", "", "s"], **FOR_NN), SCALES, 11)


@pytest.mark.parametrize("name", CASES)
def test_equals_onnxruntime(name, equals_onnxruntime):
    nodes, constants, opset = CASES[name]
    if opset == 11:
        nodes[0].input[1] = "roi"
        constants = {**constants, "roi": floats()}
    equals_onnxruntime(nodes, IMAGE, constants, opset)


def test_same_size_is_nothing(imported):
    nodes = [*node(["x", "", "s"], mode="linear"), helper.make_node("Relu", ["y"], ["z"])]
    graph = imported(nodes, IMAGE, {"s": floats(1, 1, 1, 1)}, outputs=("z",))
    assert not any(isinstance(node.op, Gather) for node in graph)


@pytest.mark.parametrize(
    ("attributes", "scales", "message"),
    [
        ({"mode": "linear"}, SCALES["s"], "linear interpolation.*ConvTranspose"),
        ({"coordinate_transformation_mode": "tf_crop_and_resize"}, SCALES["s"], "crop_and_resize"),
        ({}, floats(2, 1, 1, 1), "no batch of one"),
        ({}, floats(1, 1, 2), "do not fit 4 axes"),
        ({}, floats(1, 1, 0.1, 1), "leave nothing"),
        ({}, floats(1, 1, -1, 1), "scales or sizes"),
    ],
)
def test_refusals(attributes, scales, message, imported):
    with pytest.raises(Nn2RtlError, match=message):
        imported(node(["x", "", "s"], **attributes), IMAGE, {"s": scales})
