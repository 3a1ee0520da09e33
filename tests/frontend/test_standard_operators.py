"""Standard operators against onnxruntime; weights are integers, so that both can run them."""

import numpy as np
import pytest
from onnx import helper

from nn2rtl.ir.model import Affine, AveragePool

rng = np.random.default_rng(1)
node = helper.make_node


def n(op, inputs="x", outputs="y", **attributes):
    return node(op, inputs.split(" "), outputs.split(" "), **attributes)


def whole(*shape):
    return rng.integers(-9, 10, shape).astype(np.float32)


def real(*shape):
    return rng.uniform(0.1, 2, shape).astype(np.float32)


def ints(*values):
    return np.array(values, dtype=np.int64)


IMAGE, LINE, FLAT = [1, 4, 7, 6], [1, 4, 9], [1, 4]
BN = {"g": real(4), "b": whole(4), "m": real(4), "v": real(4)}

# name: (nodes, input shape, constants, opset)
CASES = {
    "conv": ([n("Conv", "x w b")], IMAGE, {"w": whole(5, 4, 3, 2), "b": real(5)}, 13),
    "conv_strided": (
        [n("Conv", "x w", strides=[2, 1], pads=[1, 0, 2, 1], dilations=[2, 1])],
        IMAGE,
        {"w": whole(5, 4, 3, 2)},
        11,
    ),
    "conv_depthwise": ([n("Conv", "x w", group=4)], IMAGE, {"w": whole(8, 1, 3, 3)}, 13),
    "conv_grouped": ([n("Conv", "x w", group=2)], IMAGE, {"w": whole(6, 2, 2, 2)}, 13),
    "conv_1d": ([n("Conv", "x w", pads=[1, 1])], LINE, {"w": whole(3, 4, 3)}, 13),
    "conv_same_upper": (
        [n("Conv", "x w", auto_pad="SAME_UPPER", strides=[2, 2])],
        IMAGE,
        {"w": whole(3, 4, 3, 4)},
        13,
    ),
    "conv_same_lower": (
        [n("Conv", "x w", auto_pad="SAME_LOWER", strides=[2, 1])],
        IMAGE,
        {"w": whole(3, 4, 4, 4)},
        13,
    ),
    "matmul": ([n("MatMul", "x w")], FLAT, {"w": whole(4, 3)}, 7),
    "matmul_last_axis": ([n("MatMul", "x w")], [1, 5, 4], {"w": whole(4, 3)}, 13),
    "gemm": (
        [n("Gemm", "x w c", transB=1, alpha=0.5, beta=2.0)],
        FLAT,
        {"w": whole(3, 4), "c": real(3)},
        13,
    ),
    "gemm_plain": ([n("Gemm", "x w c")], FLAT, {"w": whole(4, 3), "c": real(1, 3)}, 7),
    "batch_norm": ([n("BatchNormalization", "x g b m v", epsilon=0.01)], IMAGE, BN, 15),
    "batch_norm_flat": ([n("BatchNormalization", "x g b m v")], FLAT, BN, 9),
    "add_constant": ([n("Add", "c x")], IMAGE, {"c": real(4, 1, 1)}, 13),
    "add_batched_constant": ([n("Add", "x c")], IMAGE, {"c": real(1, 4, 1, 6)}, 13),
    "add_tensors": ([n("Relu", "x", "r"), n("Add", "x r")], FLAT, {}, 13),
    "add_itself": ([n("Add", "x x")], FLAT, {}, 13),
    "sub_constant": ([n("Sub", "x c")], FLAT, {"c": real(4)}, 13),
    "sub_from_constant": ([n("Sub", "c x")], FLAT, {"c": real(4)}, 13),
    "sub_tensors": ([n("Tanh", "x", "t"), n("Sub", "t x")], FLAT, {}, 13),
    "mul": ([n("Mul", "c x")], FLAT, {"c": whole(4)}, 13),
    "div": ([n("Div", "x c")], FLAT, {"c": real(4)}, 13),
    "neg_sigmoid": ([n("Neg", "x", "a"), n("Sigmoid", "a")], FLAT, {}, 13),
    "clip_inputs": ([n("Clip", "x l h")], FLAT, {"l": -0.5, "h": 1.25}, 13),
    "clip_high_only": ([node("Clip", ["x", "", "h"], ["y"])], FLAT, {"h": 1.5}, 13),
    "clip_attributes": ([n("Clip", "x", min=0.0, max=6.0)], FLAT, {}, 7),
    "clip_crossed": ([n("Clip", "x l h")], FLAT, {"l": 2.0, "h": -1.0}, 13),
    "constant_arithmetic": (
        [
            n("Sqrt", "v", "s"),
            n("Pow", "v e", "p"),
            n("Div", "p s", "q"),
            n("Sub", "q v", "d"),
            n("Neg", "d", "m"),
            n("Mul", "x m"),
        ],
        FLAT,
        {"v": real(4), "e": 2.0},
        13,
    ),
    "max_pool": (
        [n("MaxPool", kernel_shape=[3, 2], strides=[2, 1], pads=[1, 0, 1, 1])],
        IMAGE,
        {},
        12,
    ),
    "max_pool_same": (
        [n("MaxPool", kernel_shape=[3], strides=[2], auto_pad="SAME_UPPER")],
        LINE,
        {},
        12,
    ),
    "max_pool_exact_ceil": (
        [n("MaxPool", kernel_shape=[3, 2], strides=[2, 2], ceil_mode=1)],
        IMAGE,
        {},
        12,
    ),
    "average_pool": ([n("AveragePool", kernel_shape=[2, 3], strides=[2, 2])], IMAGE, {}, 11),
    "average_pool_padded": (
        [n("AveragePool", kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)],
        IMAGE,
        {},
        11,
    ),
    "global_average_pool": ([n("GlobalAveragePool")], IMAGE, {}, 13),
    "global_max_pool": ([n("GlobalMaxPool")], LINE, {}, 13),
    "reduce_mean": ([n("ReduceMean", axes=[-1, 2])], IMAGE, {}, 13),
    "reduce_mean_drop": ([n("ReduceMean", axes=[2], keepdims=0)], LINE, {}, 11),
    "reduce_mean_input": ([n("ReduceMean", "x a")], IMAGE, {"a": ints(2, 3)}, 18),
    "reduce_mean_nhwc": ([n("ReduceMean", axes=[1, 2])], IMAGE, {}, 13),
    "reduce_mean_nhwc_drop": ([n("ReduceMean", axes=[1, 2], keepdims=0)], IMAGE, {}, 13),
    "rows_of_a_matrix": (  # how onnxruntime spells a dense layer on the last axis
        [
            n("Reshape", "x rows", "r"), n("Gemm", "r w c", "g", transB=1), n("Relu", "g", "h"),
            n("Add", "h c", "a"), n("Reshape", "a s"),
        ],
        [1, 5, 4],
        {"rows": ints(-1, 4), "w": whole(3, 4), "c": real(3), "s": ints(1, -1, 3)},
        13,
    ),
    "rows_unsqueezed": (
        [n("Flatten", "x", "r", axis=2), n("MatMul", "r w", "m"), n("Unsqueeze", "m z", "u"),
         n("Transpose", "u", perm=[0, 2, 1])],
        [1, 5, 4],
        {"w": whole(4, 3), "z": ints(0)},
        13,
    ),
    "reshape": ([n("Reshape", "x s")], IMAGE, {"s": ints(0, -1, 6)}, 13),
    "reshape_infer_batch": ([n("Reshape", "x s")], IMAGE, {"s": ints(-1, 168)}, 13),
    "flatten": ([n("Flatten")], IMAGE, {}, 13),
    "flatten_negative": ([n("Flatten", axis=-3)], IMAGE, {}, 13),
    "squeeze_attribute": ([n("Squeeze", axes=[2, -1])], [1, 3, 1, 1], {}, 11),
    "squeeze_input": ([n("Squeeze", "x a")], [1, 3, 1, 2], {"a": ints(2)}, 13),
    "unsqueeze_attribute": ([n("Unsqueeze", axes=[1, 3])], FLAT, {}, 11),
    "unsqueeze_input": ([n("Unsqueeze", "x a")], FLAT, {"a": ints(-1)}, 13),
    "transpose": ([n("Transpose", perm=[0, 3, 1, 2])], IMAGE, {}, 13),
    "identity_dropout": ([n("Identity", "x", "i"), n("Dropout", "i", "d"), n("Relu", "d")],
                         FLAT, {}, 13),
    "shape_of_input": (
        [
            n("Shape", "x", "s"),
            n("Gather", "s i", "b"),
            n("Unsqueeze", "b z", "u"),
            n("Slice", "s one two", "t"),
            n("Concat", "u t minus", "c", axis=0),
            n("Reshape", "x c"),
        ],
        IMAGE,
        {"i": np.int64(0), "z": ints(0), "one": ints(1), "two": ints(2), "minus": ints(-1)},
        13,
    ),
    "integer_division": (
        [n("Div", "a b", "q"), n("Cast", "q", "f", to=1), n("Mul", "x f")],
        FLAT,
        {"a": ints(7, -7, 9, 8), "b": ints(2, 2, -4, 4)},
        13,
    ),
    "integer_division_of_a_sum": (  # how torch.chunk is exported
        [
            n("Shape", "x", "s"), n("Gather", "s one", "c"), n("Add", "c one", "p"),
            n("Div", "p two", "h"), n("Neg", "h", "m"), n("Div", "m two", "q"),
            n("Slice", "x zero h one", "a"), n("Slice", "x q c one", "b"),
            n("Concat", "a b", axis=1),
        ],
        [1, 4, 3],
        {"zero": ints(0), "one": ints(1), "two": ints(2)},
        13,
    ),
    "integer_division_of_activations": (
        [n("Cast", "x", "i", to=6), n("Mul", "i three", "t"), n("Div", "t two", "q"),
         n("Cast", "q", to=1)],
        FLAT,
        {"three": np.array(3, np.int32), "two": np.array(2, np.int32)},
        13,
    ),
    "constant_of_shape": (
        [n("ConstantOfShape", "s", "c"), n("Cast", "c", "i", to=7), n("Cast", "i", "f", to=1),
         n("Add", "x f")],
        FLAT,
        {"s": ints(4)},
        13,
    ),
    "softmax": ([n("Softmax")], FLAT, {}, 13),
    "softmax_old": ([n("Softmax", axis=1)], [1, 1, 5, 1], {}, 9),
    "softmax_tail": (
        [n("Softmax", "x", "s"), n("Identity", "s", "i"), n("Squeeze", "i a")],
        [1, 4, 1],
        {"a": ints(2)},
        13,
    ),
    "arg_max": ([n("ArgMax", axis=-1, keepdims=0)], [1, 3, 5], {}, 13),
    "top_k": ([n("TopK", "x k", "v y")], FLAT, {"k": ints(1)}, 11),
    "top_k_attribute": ([n("TopK", "x", "v y", k=1)], FLAT, {}, 9),
}  # fmt: skip


ONLY_READ = {"clip_crossed"}


@pytest.mark.parametrize("name", CASES)
def test_equals_onnxruntime(name, equals_onnxruntime):
    equals_onnxruntime(*CASES[name], emulated=name not in ONLY_READ)


def test_names(imported):
    nodes = [node("Relu", ["x"], ["a"], name="first"), node("Relu", ["a"], ["y"])]
    graph = imported(nodes)
    assert list(graph.nodes) == ["x", "first", "y"]
    assert [graph[name].source for name in graph.nodes] == ["x", "first", "y"]
    assert graph.outputs == ["y"]


def test_nodes_that_the_output_does_not_need_are_ignored(imported):
    nodes = [n("Unknown", "x", "dead"), n("Relu", "a"), n("Tanh", "x", "a")]
    assert len(imported(nodes)) == 3  # and out of order nodes are put in order


def test_dynamic_batch(imported):
    for batch in ("N", None):
        assert imported([n("Relu")], [batch, 4]).types["y"].shape == (4,)


def test_batch_normalization_is_exact(imported):
    parameters = {"g": [3.0], "b": [1.0], "m": [5.0], "v": [2.25]}
    nodes = [n("BatchNormalization", "x g b m v", epsilon=0.0)]
    op = imported(nodes, [1, 1], parameters)["y"].op
    assert isinstance(op, Affine)
    assert (op.scale[0], op.offset[0]) == (2, -9)


def test_reduce_mean_becomes_a_pool(imported):
    op = imported([n("ReduceMean", axes=[2, 3])], IMAGE)["y"].op
    assert op == AveragePool((7, 6), (1, 1), (0, 0, 0, 0))
