"""Channels-last variants against the standard operators on transposed tensors."""

import numpy as np
import pytest
from onnx import helper

rng = np.random.default_rng(1)
LAST = "qonnx.custom_op.channels_last"
WEIGHT = rng.integers(-3, 4, (5, 4, 2, 3)).astype(np.float32)
BN = {k: rng.uniform(0.5, 2, 4).astype(np.float32) for k in "gbmv"}

# name: (operator, other inputs, attributes)
CASES = {
    "conv": ("Conv", "w b", {"strides": [1, 2], "pads": [1, 0, 0, 1], "kernel_shape": [2, 3]}),
    "max_pool": ("MaxPool", "", {"kernel_shape": [2, 2], "strides": [2, 1], "ceil_mode": 1}),
    "batch_normalization": ("BatchNormalization", "g b m v", {"epsilon": 0.5}),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_standard_operator(name, imported, execute):
    op, others, attributes = CASES[name]
    inputs = ["x", *others.split()]
    constants = dict(BN)
    if op == "Conv":
        constants = {"w": WEIGHT, "b": rng.normal(size=5).astype(np.float32)}
    first = helper.make_node(op, inputs, ["y"], **attributes)
    x = rng.normal(0, 2, (3, 4, 6, 5))
    wanted = execute(imported([first], [1, 4, 6, 5], constants), x)
    if op == "Conv":
        constants["w"] = np.ascontiguousarray(np.moveaxis(WEIGHT, 1, -1))
    last = helper.make_node(op, inputs, ["y"], domain=LAST, **attributes)
    given = execute(imported([last], [1, 6, 5, 4], constants), np.moveaxis(x, 1, -1))
    np.testing.assert_allclose(np.moveaxis(given, -1, 1), wanted)


def test_pooling_of_the_general_domain(imported, execute):
    node = helper.make_node("MaxPoolNHWC", ["x"], ["y"], kernel_shape=[2, 2], strides=[2, 2],
                            pads=[0, 0, 0, 0], domain="qonnx.custom_op.general")  # fmt: skip
    x = rng.normal(0, 2, (3, 4, 6, 2))
    wanted = x.reshape(3, 2, 2, 3, 2, 2).max((2, 4))
    assert np.array_equal(execute(imported([node], [1, 4, 6, 2]), x), wanted)


@pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
@pytest.mark.parametrize("signed", [0, 1])
def test_quantized_average_pool(layout, signed, imported, execute):
    node = helper.make_node("QuantAvgPool2d", ["x"], ["y"], kernel=2, stride=1, ibits=4, obits=3,
                            signed=signed, data_layout=layout, domain=LAST.replace(
                                "channels_last", "general"))  # fmt: skip
    x = rng.integers(-8 * signed, 16 - 8 * signed, (3, 4, 5, 2))
    sums = x[:, 1:, 1:] + x[:, :-1, 1:] + x[:, 1:, :-1] + x[:, :-1, :-1]
    shape, given = [1, 4, 5, 2], x
    if layout == "NCHW":
        shape, given = [1, 2, 4, 5], np.moveaxis(x, -1, 1)
    y = execute(imported([node], shape), given)
    assert np.array_equal(y if layout == "NHWC" else np.moveaxis(y, 1, -1), sums >> 3)
