"""Slices, repetitions and rearrangements of tensors against onnxruntime."""

import numpy as np
import pytest
from onnx import helper

from nn2rtl.ir.model import Concat, Gather, Pad, Reshape


def n(op, inputs="x", outputs="y", **attributes):
    return helper.make_node(op, inputs.split(" "), outputs.split(" "), **attributes)


def ints(*values):
    return np.array(values, dtype=np.int64)


IMAGE, FLAT = [1, 4, 6, 5], [1, 8]
RELU = n("Relu", "x", "r")

# name: (nodes, input shape, constants, opset)
CASES = {
    "slice": (
        [n("Slice", "x s e a t")],
        IMAGE,
        {"s": ints(1, -1), "e": ints(9, -9), "a": ints(2, -1), "t": ints(2, -2)},
        13,
    ),
    "slice_attributes": ([n("Slice", starts=[1, 0], ends=[3, -1], axes=[1, 3])], IMAGE, {}, 9),
    "split": ([n("Split", "x", "a b", axis=1), n("Add", "a b")], IMAGE, {}, 13),
    "split_sizes": (
        [n("Split", "x s", "a b c", axis=-1), n("Concat", "c a", axis=3)],
        IMAGE,
        {"s": ints(2, 1, 2)},
        13,
    ),
    "split_attribute": (
        [n("Split", "x", "a b", axis=2, split=[4, 2]), n("Relu", "b")], IMAGE, {}, 11,
    ),
    "split_number": (
        [n("Split", "x", "a b c", axis=3, num_outputs=3), n("Relu", "c")], IMAGE, {}, 18,
    ),
    "gather": ([n("Gather", "x i", axis=1)], IMAGE, {"i": ints(3, -4, 3)}, 13),
    "gather_one": ([n("Gather", "x i", axis=2)], IMAGE, {"i": np.int64(-2)}, 13),
    "gather_matrix": ([n("Gather", "x i", axis=1)], FLAT, {"i": ints([0, 1], [7, 2])}, 13),
    "expand": ([n("Expand", "x s")], [1, 4, 1, 5], {"s": ints(3, 1)}, 13),
    "tile": ([n("Tile", "x s")], IMAGE, {"s": ints(1, 2, 1, 3)}, 13),
    "concat": ([RELU, n("Concat", "x r x", axis=-3)], IMAGE, {}, 13),
    "concat_constants": (
        [n("Concat", "z o x o", axis=1)],
        FLAT,
        {"z": [[0.0, 0.0]], "o": [[1.0]]},
        13,
    ),
    "pad": ([n("Pad", "x p v")], IMAGE, {"p": ints(0, 0, 1, 2, 0, 1, 0, 0), "v": 1.5}, 13),
    "pad_axes": (
        [helper.make_node("Pad", ["x", "p", "", "a"], ["y"])],
        IMAGE,
        {"p": ints(1, 0, 2, 3), "a": ints(-1, 1)},
        21,
    ),
    "pad_attributes": ([n("Pad", pads=[0, 0, 1, 0, 0, 0, 0, 2], value=-2.0)], IMAGE, {}, 9),
    "pad_negative": ([n("Pad", "x p")], IMAGE, {"p": ints(0, 0, -1, 2, 0, 0, -2, -1)}, 13),
    "pad_reflect": (
        [n("Pad", "x p", mode="reflect")], IMAGE, {"p": ints(0, 0, 5, 1, 0, 0, 2, 3)}, 13,
    ),
    "pad_edge": ([n("Pad", "x p", mode="edge")], IMAGE, {"p": ints(0, 1, 0, 2, 0, 0, 3, 0)}, 13),
    "pad_wrap": ([n("Pad", "x p", mode="wrap")], IMAGE, {"p": ints(0, 0, 2, 1, 0, 0, 3, 0)}, 19),
    "depth_to_space": ([n("DepthToSpace", blocksize=2)], IMAGE, {}, 13),
    "depth_to_space_crd": ([n("DepthToSpace", blocksize=2, mode="CRD")], [1, 8, 3, 2], {}, 13),
    "space_to_depth": ([n("SpaceToDepth", blocksize=2)], [1, 3, 4, 6], {}, 13),
    "channel_shuffle": (
        [n("Reshape", "x a", "b"), n("Transpose", "b", "c", perm=[0, 2, 1, 3, 4]),
         n("Reshape", "c d")],
        IMAGE,
        {"a": ints(1, 2, 2, 6, 5), "d": ints(1, 4, 6, 5)},
        13,
    ),
    "broadcast_gate": (
        [n("GlobalAveragePool", "x", "g"), n("Sigmoid", "g", "s"), n("Mul", "x s")], IMAGE, {}, 13,
    ),
    "broadcast_both": (
        [n("ReduceMax", "x", "a", axes=[2]), n("ReduceMax", "x", "b", axes=[3]), n("Sub", "a b")],
        IMAGE,
        {},
        13,
    ),
    "broadcast_constant": ([n("Add", "x c")], [1, 4, 1, 5], {"c": [[[0.5]] * 3] * 4}, 13),
}  # fmt: skip


REFUSED = {"broadcast_gate": "put a quantizer after the activation"}  # in the integer graph


ONLY_READ = {"split"}


@pytest.mark.parametrize("name", CASES)
def test_equals_onnxruntime(name, equals_onnxruntime):
    equals_onnxruntime(*CASES[name], emulated=name not in ONLY_READ, refused=REFUSED.get(name))


def ops(graph):
    return [type(node.op) for node in graph][1:]


def test_what_keeps_the_order_is_a_reshape(imported):
    graph = imported([n("Gather", "x i", axis=1)], [1, 1, 4], {"i": np.int64(0)})
    assert ops(graph) == [Reshape]
    graph = imported([n("Slice", "x s e"), n("Relu", "y", "z")], [1, 4],
                     {"s": ints(0), "e": ints(9)}, outputs=("z",))  # fmt: skip
    assert Gather not in ops(graph)


def test_equal_constants_become_padding(imported):
    graph = imported([n("Concat", "x z", axis=1)], [1, 4], {"z": [[2.0, 2.0]]})
    assert ops(graph) == [Pad] and graph["y"].op == Pad((0, 2), 2)


def test_padding_of_constants(imported):
    nodes = [n("Pad", "c p", "w"), n("Mul", "x w")]
    constants = {"c": [1.0, 2.0], "p": ints(1, 1)}
    assert imported(nodes, [1, 4], constants)["y"].op.scale.tolist() == [0, 1, 2, 0]


def test_concat_axis_leaves_the_batch_out(imported):
    graph = imported([RELU, n("Concat", "x r", axis=3)], IMAGE)
    assert graph["y"].op == Concat(2) and graph.types["y"].shape == (4, 6, 10)
