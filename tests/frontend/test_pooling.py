"""Pooling and reductions against onnxruntime."""

import itertools

import numpy as np
import pytest
from onnx import helper

from nn2rtl.ir.model import AveragePool, Conv, MaxPool


def n(op, inputs="x", outputs="y", **attributes):
    return helper.make_node(op, inputs.split(" "), outputs.split(" "), **attributes)


IMAGE, LINE, NHWC = [1, 3, 8, 7], [1, 3, 9], [1, 5, 6, 3]

# name: (nodes, input shape, opset)
CASES = {
    "max_dilated": ([n("MaxPool", kernel_shape=[2, 3], dilations=[3, 2])], IMAGE, 12),
    "max_ceil": ([n("MaxPool", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)], IMAGE, 12),
    "max_ceil_dropped": (  # the last window would start in the padding
        [n("MaxPool", kernel_shape=[2, 2], strides=[3, 3], ceil_mode=1, pads=[1, 1, 1, 1])],
        IMAGE, 12),
    "max_ceil_small": ([n("MaxPool", kernel_shape=[4], strides=[2], ceil_mode=1)], [1, 3, 3], 12),
    "max_same_lower": (
        [n("MaxPool", kernel_shape=[4], strides=[2], auto_pad="SAME_LOWER")], LINE, 12),
    "max_valid_ceil": (
        [n("MaxPool", kernel_shape=[3, 3], strides=[2, 3], ceil_mode=1, auto_pad="VALID")],
        IMAGE, 12),
    "average_excluded": (
        [n("AveragePool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 2, 1])], IMAGE, 11),
    "average_same": (
        [n("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER")], IMAGE, 11),
    "average_ceil": (
        [n("AveragePool", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)], IMAGE, 19),
    "average_ceil_padded": (
        [n("AveragePool", kernel_shape=[3, 3], strides=[2, 3], pads=[1, 1, 0, 1], ceil_mode=1)],
        IMAGE, 19),
    "average_ceil_counted": (
        [n("AveragePool", kernel_shape=[3, 3], strides=[2, 3], pads=[1, 1, 0, 1], ceil_mode=1,
           count_include_pad=1)],
        IMAGE, 19),
    "average_dilated": (
        [n("AveragePool", kernel_shape=[2, 3], dilations=[2, 1], pads=[1, 0, 1, 2],
           count_include_pad=1)],
        IMAGE, 19),
    "average_1d": ([n("AveragePool", kernel_shape=[4], strides=[2], pads=[1, 2])], LINE, 11),
    "sum_nhwc": ([n("ReduceSum", "x a", keepdims=0)], NHWC, 13),
    "flat_mean": ([n("ReduceMean", axes=[1])], [1, 6], 13),
}  # fmt: skip
for op, axes, keep in itertools.product(("ReduceMean", "ReduceMax"),
                                        ([1], [2], [-1], [1, 2], [1, 3], [2, 3], [1, 2, 3]),
                                        (0, 1)):  # fmt: skip
    CASES[f"{op}_{axes}_{keep}"] = ([n(op, axes=axes, keepdims=keep)], IMAGE, 13)


@pytest.mark.parametrize("name", CASES)
def test_equals_onnxruntime(name, equals_onnxruntime):
    nodes, shape, opset = CASES[name]
    equals_onnxruntime(
        nodes, shape, {"a": np.array([1, 2])} if "a" in nodes[0].input else {}, opset
    )


def test_what_ceil_mode_adds_does_not_count(imported):
    options = {"kernel_shape": [3], "strides": [2], "ceil_mode": 1, "pads": [1, 0]}
    node = n("AveragePool", count_include_pad=1, **options)
    op = imported([node], [1, 2, 5])["y"].op
    assert op == AveragePool((3,), (2,), (1, 1), (1, 0))
    assert imported([n("AveragePool", **options)], [1, 2, 5])["y"].op.counted == (0, 0)
    assert imported([n("MaxPool", **options)], [1, 2, 5])["y"].op == MaxPool((3,), (2,), (1, 1))


def test_a_dilated_mean_is_a_convolution_of_each_channel(imported):
    op = imported([n("AveragePool", kernel_shape=[2], dilations=[3])], LINE)["y"].op
    assert isinstance(op, Conv) and op.groups == 3 and op.weight.shape == (3, 1, 2)


def test_reductions_of_the_spatial_axes_are_one_operation(imported):
    assert len(imported([n("ReduceMax", axes=[2, 3])], IMAGE)) == 2
    assert len(imported([n("ReduceMean", axes=[3])], IMAGE)) == 2
