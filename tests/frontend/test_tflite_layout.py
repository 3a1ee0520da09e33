"""TensorFlow Lite's operators that move elements, against its reference kernels."""

import numpy as np
import pytest
from tflite_cases import SAMPLES, Case, check
from tflite_models import run_reference

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.frontend import load


@pytest.mark.parametrize("axis, shape", [(3, (1, 3, 4, 5)), (1, (1, 5, 4, 3)), (-2, (1, 3, 7, 3))])
def test_concatenation(tmp_path, axis, shape):
    case = Case()
    x = case.x(1, 3, 4, 3)
    rest = [1, 3, 4, 3]
    rest[axis] = shape[axis] - rest[axis]
    first = [a - b for a, b in zip((1, 3, 4, 3), rest)]
    part = case.apply("SLICE", [x, case.numbers(*first), case.numbers(*rest)], rest, "SliceOptions")
    part = case.apply("RELU", [part], rest)
    y = case.apply("CONCATENATION", [x, part], shape, "ConcatenationOptions", Axis=axis)
    check(tmp_path, case, x, y)


ARRANGED = {
    "pad": ("PAD", [[[0, 0], [1, 2], [0, 1], [0, 0]]], (1, 6, 5, 6), "PadOptions", {}),
    "mirror": ("MIRROR_PAD", [[[0, 0], [1, 2], [0, 1], [0, 0]]], (1, 6, 5, 6), "MirrorPadOptions",
               {"Mode": 0}),
    "symmetric": ("MIRROR_PAD", [[[0, 0], [3, 2], [0, 1], [0, 0]]], (1, 8, 5, 6),
                  "MirrorPadOptions", {"Mode": 1}),
    "reshape": ("RESHAPE", [[1, 6, 12]], (1, 6, 12), "ReshapeOptions", {"NewShape": [1, 6, 12]}),
    "flatten": ("RESHAPE", [[-1, 72]], (1, 72), "ReshapeOptions", {}),
    "expand": ("EXPAND_DIMS", [1], (1, 1, 3, 4, 6), "ExpandDimsOptions", {}),
    "transpose": ("TRANSPOSE", [[0, 3, 1, 2]], (1, 6, 3, 4), "TransposeOptions", {}),
    "stride": ("STRIDED_SLICE", [[0, 2, 1, 0], [1, 0, 4, 0], [1, -2, 2, 1]], (1, 2, 2, 6),
               "StridedSliceOptions", {"BeginMask": 0, "EndMask": 10}),
    "shrink": ("STRIDED_SLICE", [[0, -1, 0], [1, 0, 4], [1, 1, 1]], (1, 4, 6),
               "StridedSliceOptions", {"ShrinkAxisMask": 2}),
    "slice": ("SLICE", [[0, 1, 0, 2], [1, 2, -1, 3]], (1, 2, 4, 3), "SliceOptions", {}),
    "gather": ("GATHER", [[5, 0, 5, 1]], (1, 3, 4, 4), "GatherOptions", {"Axis": 3}),
    "reverse": ("REVERSE_V2", [[2]], (1, 3, 4, 6), "ReverseV2Options", {}),
    "tile": ("TILE", [[1, 1, 2, 3]], (1, 3, 8, 18), "TileOptions", {}),
    "broadcast": ("BROADCAST_TO", [[1, 3, 4, 6]], (1, 3, 4, 6), "BroadcastToOptions", {}),
    "nearest": ("RESIZE_NEAREST_NEIGHBOR", [[6, 12]], (1, 6, 12, 6),
                "ResizeNearestNeighborOptions", {}),
    "centres": ("RESIZE_NEAREST_NEIGHBOR", [[5, 7]], (1, 5, 7, 6), "ResizeNearestNeighborOptions",
                {"HalfPixelCenters": True}),
    "corners": ("RESIZE_NEAREST_NEIGHBOR", [[5, 6]], (1, 5, 6, 6), "ResizeNearestNeighborOptions",
                {"AlignCorners": True}),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRANGED)
def test_rearranged_elements(tmp_path, name):
    """Behind another operator, so that there is something to compute."""
    op, operands, shape, options, fields = ARRANGED[name]
    case = Case()
    x = case.x(1, 3, 4, 6)
    inside = case.apply("RELU6", [x], (1, 3, 4, 6))
    constants = [case.file.constant(np.array(values, dtype=np.int32)) for values in operands]
    check(tmp_path, case, x, case.apply(op, [inside, *constants], shape, options, **fields))


@pytest.mark.parametrize("block", [2, 1])
def test_blocks(tmp_path, block):
    case = Case()
    x = case.x(1, 3, 2, 8)
    wide = (1, 3 * block, 2 * block, 8 // block**2)
    y = case.apply("DEPTH_TO_SPACE", [x], wide, "DepthToSpaceOptions", BlockSize=block)
    y = case.apply("TANH", [y], wide, scale=1 / 128, zero_point=0)
    y = case.apply(
        "SPACE_TO_DEPTH", [y], (1, 3, 2, 8), "SpaceToDepthOptions", scale=1 / 128, zero_point=0,
        BlockSize=block,
    )  # fmt: skip
    check(tmp_path, case, x, y)


def test_padding_with_a_value(tmp_path):
    case = Case()
    x = case.x(1, 3, 4, 2)
    pads = case.file.constant(np.array([[0, 0], [1, 0], [0, 2], [1, 1]], dtype=np.int32))
    value = case.file.constant(np.array([77], dtype=np.int8), 0.05, 3)
    check(tmp_path, case, x, case.apply("PADV2", [x, pads, value], (1, 4, 6, 4), "PadV2Options"))


@pytest.mark.parametrize("op", ["SPLIT", "SPLIT_V", "UNPACK"])
def test_splits(tmp_path, op):
    case = Case()
    x = case.x(1, 3, 2, 4)
    sizes = {"SPLIT": [2, 2], "SPLIT_V": [1, 3], "UNPACK": [None] * 2}[op]
    axis = 3 if op != "UNPACK" else 2
    shapes = [(1, 3, 4) if op == "UNPACK" else (1, 3, 2, size) for size in sizes]
    parts = [case.x(*shape) for shape in shapes]
    if op == "SPLIT":
        case.file.operator(op, [case.numbers(axis), x], parts, "SplitOptions", NumSplits=2)
    elif op == "SPLIT_V":
        inputs = [x, case.numbers(1, -1), case.numbers(axis)]
        case.file.operator(op, inputs, parts, "SplitVOptions", NumSplits=2)
    else:
        case.file.operator(op, [x], parts, "UnpackOptions", Num=2, Axis=axis)
    shape = shapes[0] if op != "SPLIT_V" else shapes[1]
    check(tmp_path, case, x, case.apply("ADD", parts, shape, "AddOptions", scale=0.1))


def test_arg_max(tmp_path):
    case = Case()
    x = case.x(1, 2, 5)
    y = case.file.tensor((1, 2), kind="INT32")
    case.file.operator("ARG_MAX", [x, case.numbers(2)], [y], "ArgMaxOptions", OutputType=2)
    data = case.file.write([x], [y])
    inputs = case.random.integers(-3, 4, (SAMPLES, 2, 5)).astype(np.int8)
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    result = Emulator(integer_graph(load(path))).emulate(inputs)
    np.testing.assert_array_equal(result, run_reference(data, inputs))


def test_shapes_computed_in_the_file(tmp_path):
    """Keras's Flatten of a network with a dynamic batch."""
    case = Case()
    x = case.x(1, 3, 4, 2)
    inside = case.apply("RELU", [x], (1, 3, 4, 2))
    shape = case.file.tensor((4,), kind="INT32")
    case.file.operator("SHAPE", [inside], [shape], "ShapeOptions", OutType=2)
    batch = case.file.tensor((), kind="INT32")
    bounds = [case.numbers(0), case.numbers(1), case.numbers(1)]
    case.file.operator(
        "STRIDED_SLICE", [shape, *bounds], [batch], "StridedSliceOptions", ShrinkAxisMask=1
    )
    packed = case.file.tensor((2,), kind="INT32")
    rest = case.file.constant(np.array(24, dtype=np.int32))
    case.file.operator("PACK", [batch, rest], [packed], "PackOptions", ValuesCount=2)
    check(tmp_path, case, x, case.apply("RESHAPE", [inside, packed], (1, 24), "ReshapeOptions"))
