"""Dilated convolutions spelled with SPACE_TO_BATCH_ND, against TensorFlow Lite's kernels."""

import numpy as np
import pytest
from tflite_cases import VALID, Case, check, emulated, window

from nn2rtl.errors import UnsupportedError


def line(crops=(0, 0), pads=(4, 0), stride=1):
    """Keras' causal Conv1D with a dilation of two."""
    case = Case()
    x = case.x(1, 12, 3)
    size = (12 + sum(pads)) // 2
    block, one = case.numbers(2), case.file.constant(np.array(1, dtype=np.int32))
    y = case.apply("SPACE_TO_BATCH_ND", [x, block, pairs(case, pads)], (2, size, 3))
    y = case.apply("EXPAND_DIMS", [y, one], (2, 1, size, 3))
    whole = -(-(size - 2) // stride)
    y = case.apply(
        "CONV_2D", [y, case.weight(5, 1, 3, 3), case.bias(5)], (2, 1, whole, 5), "Conv2DOptions",
        scale=0.04, **window((1, stride), VALID, dilation=(1, 1)),
    )  # fmt: skip
    numbers = case.numbers(2, whole, 5)
    y = case.apply("RESHAPE", [y, numbers], (2, whole, 5), scale=0.04)
    shape = (1, 2 * whole - sum(crops), 5)
    y = case.apply("BATCH_TO_SPACE_ND", [y, block, pairs(case, crops)], shape, scale=0.04)
    return case, x, y


def pairs(case, *numbers):
    return case.file.constant(np.array(numbers, dtype=np.int32).reshape(-1, 2))


@pytest.mark.parametrize(("pads", "crops"), [((4, 0), (0, 0)), ((1, 1), (0, 0)), ((3, 3), (1, 2))])
def test_lines(tmp_path, pads, crops):
    check(tmp_path, *line(crops, pads))


def test_images(tmp_path):
    case = Case()
    x = case.x(1, 5, 7, 4)
    block, pads, crops = case.numbers(3, 2), ((2, 2), (1, 2)), ((1, 0), (0, 1))
    y = case.apply("SPACE_TO_BATCH_ND", [x, block, pairs(case, *pads)], (6, 3, 5, 4))
    y = case.apply(
        "DEPTHWISE_CONV_2D", [y, case.weight(1, 2, 3, 8, axis=3), case.bias(8)], (6, 2, 3, 8),
        "DepthwiseConv2DOptions", DepthMultiplier=2, **window((1, 1), VALID, dilation=(1, 1)),
    )  # fmt: skip
    y = case.apply("BATCH_TO_SPACE_ND", [y, block, pairs(case, *crops)], (1, 5, 5, 8))
    check(tmp_path, case, x, y)


def test_of_another_form(tmp_path):
    """A stride within the phases is no convolution of the whole."""
    case, x, y = line(pads=(2, 0), stride=2)
    with pytest.raises(UnsupportedError, match="SPACE_TO_BATCH_ND other than around"):
        emulated(tmp_path / "model.tflite", case.file.write([x], [y]), np.zeros((1, 12, 3)))
