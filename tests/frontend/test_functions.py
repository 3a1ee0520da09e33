"""Functions of one number, clipping and rounding, against onnxruntime."""

from fractions import Fraction

import numpy as np
import pytest
from onnx import helper

from nn2rtl.ir.model import Affine, Elementwise, Function, Quantize, Round, Rounding


def n(op, inputs="x", outputs="y", **attributes):
    return helper.make_node(op, inputs.split(" "), outputs.split(" "), **attributes)


IMAGE, FLAT = [1, 4, 3, 2], [1, 32]
SLOPE = np.array([0.5, -0.25, 0.0, 2.0], dtype=np.float32)

# name: (nodes, input shape, constants, opset)
CASES = {
    **{op.lower(): ([n(op)], FLAT, {}, 14)
       for op in ("Relu", "Sigmoid", "Tanh", "Exp", "Softplus", "Softsign", "Erf", "Abs", "Floor",
                  "Ceil", "Round", "Sign", "LeakyRelu", "Elu", "Selu", "HardSigmoid", "HardSwish")},
    "leaky_relu": ([n("LeakyRelu", alpha=0.125)], FLAT, {}, 9),
    "prelu": ([n("PRelu", "x s")], IMAGE, {"s": SLOPE.reshape(4, 1, 1)}, 13),
    "elu": ([n("Elu", alpha=0.5)], FLAT, {}, 13),
    "selu": ([n("Selu", alpha=2.0, gamma=3.0)], FLAT, {}, 13),
    "celu": ([n("Celu", alpha=0.5)], FLAT, {}, 13),
    "hard_sigmoid": ([n("HardSigmoid", alpha=0.25, beta=0.25)], FLAT, {}, 13),
    "mish": ([n("Mish")], FLAT, {}, 18),
    "gelu": ([n("Gelu")], FLAT, {}, 20),
    "gelu_tanh": ([n("Gelu", approximate="tanh")], FLAT, {}, 20),
    "gelu_decomposed": (
        [n("Div", "x r", "a"), n("Erf", "a", "b"), n("Add", "b o", "c"), n("Mul", "x c", "d"),
         n("Mul", "d h")],
        FLAT,
        {"r": float(np.sqrt(2.0)), "o": 1.0, "h": 0.5},
        13,
    ),
    "silu": ([n("Sigmoid", "x", "s"), n("Mul", "x s")], FLAT, {}, 13),
    "powers": ([n("Pow", "x e", "p"), n("Sub", "p x")], FLAT, {"e": 3.0}, 13),
    "max": ([n("Max", "x c d")], IMAGE, {"c": SLOPE.reshape(4, 1, 1), "d": 0.125}, 13),
    "min": ([n("Min", "c x")], IMAGE, {"c": SLOPE.reshape(4, 1, 1)}, 13),
    "sum": ([n("Relu", "x", "r"), n("Sum", "x c r x")], FLAT, {"c": 0.5}, 13),
    "mean": ([n("Relu", "x", "r"), n("Mean", "x r c")], FLAT, {"c": 0.5}, 13),
    "cast": ([n("Cast", "x", "i", to=7), n("Cast", "i", "y", to=1)], FLAT, {}, 13),
    "integer_arithmetic": (
        [n("Floor", "x", "f"), n("Mul", "f m", "p"), n("Add", "p a", "s"), n("Div", "s d", "q"),
         n("Floor", "q", "r"), n("Clip", "r l h")],
        FLAT,
        {"m": 11.0, "a": 3.0, "d": 4.0, "l": -4.0, "h": 3.0},
        13,
    ),
    "sizes_from_shapes": (
        [n("Shape", "x", "s"), n("Gather", "s two", "h"), n("Cast", "h", "f", to=1),
         n("Mul", "f scale", "g"), n("Floor", "g", "k"), n("Cast", "k", "i", to=7),
         n("Equal", "i five", "e"), n("Where", "e i two", "w"), n("Unsqueeze", "w zero", "u"),
         n("Slice", "x zero u axis")],
        [1, 4, 4, 2],
        {"two": np.int64(2), "scale": 1.5, "five": np.int64(5), "zero": np.array([0]),
         "axis": np.array([1])},
        13,
    ),
}  # fmt: skip


ONLY_READ = {"sizes_from_shapes"}


@pytest.mark.parametrize("name", CASES)
def test_equals_onnxruntime(name, equals_onnxruntime):
    equals_onnxruntime(*CASES[name], emulated=name not in ONLY_READ)


@pytest.mark.parametrize("op", ["Gelu", "FastGelu", "QuickGelu"])
def test_microsoft_variants(op, imported, execute, equals_onnxruntime):
    equals_onnxruntime([n(op, domain="com.microsoft")], FLAT, {})


def test_swish(imported, execute):
    x = np.linspace(-4, 4, 32).reshape(1, 32)
    y = execute(imported([n("Swish", alpha=2.0)], FLAT), x)
    np.testing.assert_allclose(y, x / (1 + np.exp(-2 * x)))


def ops(graph):
    return [node.op for node in graph][1:]


def test_definitions_are_exact(imported):
    first, *_ = ops(imported([n("HardSwish")], FLAT, opset=14))
    assert first.scale.item() == Fraction(1, 6)


CLIP = {"l": -8.0, "h": 7.0}


def test_clipped_integers_become_a_quantizer(imported):
    first, second = ops(imported([n("Floor", "x", "f"), n("Clip", "f l h")], FLAT, CLIP))
    assert first == Round(Rounding.FLOOR)
    assert isinstance(second, Quantize) and (second.low, second.high) == (-8, 7)


def test_clip_narrows_a_quantizer(imported):
    scale = {"s": 0.5, "z": np.int8(3), **{k: np.int8(v) for k, v in CLIP.items()}}
    nodes = [n("QuantizeLinear", "x s z", "q"), n("Clip", "q l h", "c"),
             n("DequantizeLinear", "c s z")]  # fmt: skip
    (op,) = ops(imported(nodes, FLAT, scale))
    assert (op.low, op.high, op.scale.item(), op.zero_point.item()) == (-8, 7, Fraction(1, 2), 3)


def test_clip_keeps_integer_weights(imported):
    constants = {**{k: np.int8(v) for k, v in CLIP.items()}, "w": np.array([[9], [-9]], np.int8),
                 "s": 0.25, "z": np.int8(0)}  # fmt: skip
    nodes = [n("Clip", "w l h", "c"), n("DequantizeLinear", "c s z", "d"), n("MatMul", "x d")]
    weight = imported(nodes, [1, 2], constants)["y"].op.weight
    assert weight.values.tolist() == [[7], [-8]] and weight.scale.item() == Fraction(1, 4)


def test_needless_clip_and_rounding(imported):
    nodes = [n("Round", "x", "r"), n("Clip", "r l h", "c"), n("Clip", "c l h", "d"),
             n("Floor", "d", "e"), n("Cast", "e", "y", to=3)]  # fmt: skip
    assert len(ops(imported(nodes, FLAT, CLIP))) == 2


def test_cast_to_a_narrow_type_saturates(imported, execute):
    graph = imported([n("Cast", to=3)], [1, 4])
    assert execute(graph, np.array([[-300.0, -1.5, 1.9, 300.0]])).tolist() == [[-128, -1, 1, 127]]


def test_clip_of_other_numbers_stays_a_function(imported):
    kinds = [type(op) for op in ops(imported([n("Clip", "x l h")], FLAT, CLIP))]
    assert kinds == [Affine, Elementwise, Affine, Elementwise, Affine] or Quantize not in kinds


def test_prelu_has_a_parameter_for_each_channel(imported):
    op = imported([n("PRelu", "x s")], IMAGE, {"s": SLOPE.reshape(4, 1, 1)})["y"].op
    assert op.function is Function.LEAKY_RELU and op.parameter.shape == (4, 1, 1)
