"""What is refused: each with a reason, the node and, where there is one, a remedy."""

import numpy as np
import pytest
from onnx import TensorProto, helper

from nn2rtl.errors import ModelError, UnsupportedError
from nn2rtl.frontend import operator_table

QONNX = "qonnx.custom_op.general"


def n(op, inputs="x", outputs="y", **attributes):
    return helper.make_node(op, inputs.split(" "), outputs.split(" "), name="node", **attributes)


def quantizer(**changes):
    values = {"s": 0.5, "z": 0.0, "b": 4.0, **changes}
    return [n("Quant", "x s z b", domain=QONNX)], values


def weight_quantizer(**changes):
    values = {"w": [[0.5], [1.0], [1.5], [2.0]], "s": 0.5, "z": 0.0, "b": 4.0, **changes}
    return [n("Quant", "w s z b", "q", domain=QONNX), n("MatMul", "x q")], values


FLAT, IMAGE = [1, 4], [1, 4, 6, 6]

# name: (nodes, constants, input shape, part of the message)
UNSUPPORTED = {
    "activation bits": (*quantizer(b=17.0), FLAT, "17.0 bits are too many for activations"),
    "constant bits": (*weight_quantizer(b=33.0), FLAT, "33.0 bits are too many for constants"),
    "weight bits": (*weight_quantizer(b=17.0), FLAT, "its weight has 17 bits"),
    "fractional bits": (*quantizer(b=4.5), FLAT, "bit width 4.5"),
    "zero bits": (*quantizer(b=0.0), FLAT, "bit width 0.0"),
    "bits per element": (*quantizer(b=[4.0, 4.0, 17.0, 4.0]), FLAT, "17.0 bits are too many"),
    "misfit bits": (*quantizer(b=[[4.0], [5.0]]), FLAT, "bit width of shape .* would enlarge"),
    "inputs of truncation": (
        [n("Trunc", "x s s", domain=QONNX)],
        quantizer()[1],
        FLAT,
        "5 inputs are version 1",
    ),
    "fractional zero point": (*quantizer(z=0.5), FLAT, "zero point 0.5"),
    "huge zero point": (*quantizer(z=1e30), FLAT, "zero point 1"),
    "rounding mode": (
        [n("Quant", "x s z b", rounding_mode="STOCHASTIC")],
        quantizer()[1],
        FLAT,
        "'STOCHASTIC'",
    ),
    "scale per input": (
        *weight_quantizer(s=[[0.5], [0.3], [0.7], [1.1]]),
        FLAT,
        "within an output channel.*without a common grid of 16 bits",
    ),
    "float weight": ([n("MatMul", "x w")], {"w": [[0.5]] * 4}, FLAT, "no quantizer; train"),
    "large integer weight": ([n("MatMul", "x w")], {"w": [[4e4]] * 4}, FLAT, "no quantizer"),
    "constant times x": ([n("MatMul", "w x")], {"w": [[1.0]]}, FLAT, "a constant times a vec"),
    "two activations": ([n("MatMul", "x x")], {}, [1, 4, 4], "products of two activations"),
    "transA": ([n("Gemm", "x w", transA=1)], {"w": [[1.0]]}, FLAT, "transA"),
    "unknown operator": ([n("Cosh")], {}, FLAT, "Cosh of domain ''.*docs/operators.md"),
    "unknown domain": ([n("Quant", "x", domain="com.foo")], {}, FLAT, "'com.foo'"),
    "channels last": (
        [n("Tanh", "x", domain="qonnx.custom_op.channels_last")],
        {},
        FLAT,
        "channels-last variant Tanh",
    ),
    "recurrent": ([n("LSTM")], {}, FLAT, "recurrent operator LSTM"),
    "control flow": ([n("If")], {}, FLAT, "control flow .If."),
    "float quant": ([n("FloatQuant")], {}, FLAT, "minifloat.*not supported"),
    "dynamic": ([n("DynamicQuantizeLinear")], {}, FLAT, "scales depend on the data.*statically"),
    "normalization": ([n("LayerNormalization")], {}, FLAT, "depends on the data.*BatchNorm"),
    "logarithm": ([n("LogSoftmax")], {}, FLAT, "LogSoftmax.*end the network"),
    "hardware layer": (
        [n("MVAU_hls", domain="finn.custom_op.fpgadataflow.hls")],
        {},
        FLAT,
        "hardware layer MVAU_hls",
    ),
    "levels": (
        [n("RequantShift", "x m m", div=4.0, n_levels=1.0, signed=1)],
        {"m": 1.0},
        FLAT,
        "1.0 levels",
    ),
    "operator behind softmax": (
        [n("Softmax", "x", "s"), n("Relu", "s")],
        {},
        FLAT,
        "Relu behind Softmax",
    ),
    "argmax behind softmax": (
        [n("Softmax", "x", "s"), n("ArgMax", "s", axis=1)],
        {},
        FLAT,
        "ArgMax behind Softmax.*drop the softmax",
    ),
    "behind reshaped argmax": (
        [n("ArgMax", "x", "a", axis=1), n("Identity", "a", "i"), n("Neg", "i")],
        {},
        FLAT,
        "Neg behind ArgMax",
    ),
    "softmax over the batch": ([n("Softmax", axis=0)], {}, FLAT, "across the batch"),
    "top two": ([n("TopK", "x k", "v y")], {"k": np.array([2])}, FLAT, "k = .2."),
    "top value": ([n("TopK", "x k", "y i")], {"k": np.array([1])}, FLAT, "not supported"),
    "last argmax": ([n("ArgMax", axis=1, select_last_index=1)], {}, FLAT, "last of equal"),
    "larger of two": ([n("Relu", "x", "a"), n("Max", "x a")], {}, FLAT, "maximum of two activ"),
    "choice": ([n("Greater", "x c")], {"c": 1.0}, FLAT, "choice depends on activations"),
    "power": ([n("Pow", "x c")], {"c": 1.5}, FLAT, "to the power of 1.5"),
    "different constants": (
        [n("Concat", "x c", axis=1)],
        {"c": [[1.0, 2.0]]},
        FLAT,
        "joins a tensor with different constants",
    ),
    "joined batch": ([n("Concat", "x x", axis=0)], {}, FLAT, "across the batch"),
    "split batch": ([n("Split", "x", "y z", axis=0)], {}, FLAT, "across the batch"),
    "batch element": ([n("Gather", "x c")], {"c": np.array(0)}, FLAT, "elements of the batch"),
    "padded batch": (
        [n("Pad", "x c")],
        {"c": np.array([1, 0, 0, 0])},
        FLAT,
        "pads the batch",
    ),
    "quotient": ([n("Div", "c x")], {"c": 1.0}, FLAT, "division by an activation"),
    "enlarging constant": ([n("Add", "x c")], {"c": [[1.0]] * 3}, FLAT, "no batch of one"),
    "batch reshaped": (
        [n("Reshape", "x s")],
        {"s": np.array([2, 2, 1])},
        FLAT,
        "no batch dimension.*keep the batch",
    ),
    "softmax of rows": (
        [n("Reshape", "x s", "r"), n("Softmax", "r")],
        {"s": np.array([2, 2])},
        FLAT,
        r"Softmax of a tensor \[2, 2\], which has no batch dimension",
    ),
    "rows and a batch": (
        [n("Reshape", "x s", "r"), n("Add", "r x")],
        {"s": np.array([4, 1])},
        FLAT,
        "one has no batch dimension",
    ),
    "batch moved": ([n("Transpose", perm=[1, 0])], {}, FLAT, "moves the batch"),
    "recurrent behind a moved batch": (  # how torch exports a GRU
        [n("Transpose", "x", "t", perm=[1, 0, 2]), n("GRU", "t c c", hidden_size=2)],
        {"c": [1.0]},
        [1, 3, 4],
        "recurrent operator GRU",
    ),
    "batch squeezed": ([n("Squeeze", "x")], {}, FLAT, "removes the batch"),
    "dilated mean": (
        [n("AveragePool", kernel_shape=[2, 2], dilations=[2, 2], pads=[1, 1, 1, 1])],
        {},
        IMAGE,
        "dilated.*count_include_pad",
    ),
    "pool indices": (
        [n("MaxPool", "x", "p i", kernel_shape=[2, 2]), n("Add", "p i")],
        {},
        IMAGE,
        "another operator that is not supported",
    ),
    "3-D": ([n("GlobalAveragePool")], {}, [1, 2, 3, 4, 5], "3 spatial axes"),
    "mean over the batch": ([n("ReduceMean")], {}, IMAGE, "with the batch dimension"),
    "training": ([n("BatchNormalization", "x x x x x", training_mode=1)], {}, FLAT, "training"),
    "cast to bool": ([n("Cast", to=9)], {}, FLAT, "becomes bool"),
    "batch": ([n("Relu")], {}, [2, 4], "batch size 2"),
    "dynamic size": ([n("Relu")], {}, [1, "width"], "dynamic dimensions.*'\\?'"),
    "huge constant": (
        [n("ConstantOfShape", "s", "c"), n("Add", "x c")],
        {"s": np.array([1 << 20, 1 << 20])},
        FLAT,
        "too large",
    ),
    "huge result": (
        [n("MaxPool", kernel_shape=[9, 9], pads=[8, 8, 8, 8]), n("Conv", "y w", "z")],
        {"w": np.ones((1, 4, 1, 1), np.float32)},
        [1, 4, 5000, 5000],
        "too large",
    ),
    "endless powers": (
        [n("Pow", "c e", "a"), n("Pow", "a e", "b"), n("Pow", "b e", "d"), n("Mul", "x d")],
        {"c": 1.1, "e": 16.0},
        FLAT,
        "too many digits",
    ),
}

INVALID = {
    "negative scale": (*quantizer(s=-0.5), FLAT, "scale -0.5 is not positive"),
    "zero scale": (*quantizer(s=[0.5, 0.0, 1.0, 1.0]), FLAT, "scale 0.0 is not positive"),
    "nan scale": (*quantizer(s=float("nan")), FLAT, "NaN or infinity"),
    "infinite weight": (*weight_quantizer(w=[[np.inf]] * 4), FLAT, "NaN or infinity"),
    "misfit scale": (*quantizer(s=[1.0, 1.0, 1.0]), FLAT, "does not broadcast"),
    "misfit weight scale": (*weight_quantizer(s=[1.0, 1.0]), FLAT, "does not broadcast"),
    "missing bit width": ([n("Quant", "x s z")], {"s": 1.0, "z": 0.0}, FLAT, "input 3 is missing"),
    "misfit constant": ([n("Add", "x c")], {"c": [1.0] * 3}, FLAT, "do not broadcast"),
    "misfit index": ([n("Gather", "x c", axis=1)], {"c": np.array(4)}, FLAT, "do not fit axis 1"),
    "misfit parts": ([n("Split", "x c", axis=1)], {"c": np.array([3])}, FLAT, "do not make 4"),
    "misfit join": ([n("Concat", "x c", axis=1)], {"c": [1.0]}, FLAT, "do not join along axis 1"),
    "misfit blocks": ([n("DepthToSpace", blocksize=3)], {}, IMAGE, "do not divide 4 channels"),
    "wide reflection": (
        [n("Pad", "x c", mode="reflect")],
        {"c": np.array([0, 4, 0, 0])},
        FLAT,
        "reflects more",
    ),
    "nan constant": ([n("Add", "x c")], {"c": float("nan")}, FLAT, "NaN or infinity"),
    "division by zero": ([n("Div", "x c")], {"c": 0.0}, FLAT, "division by zero"),
    "misfit matrix": ([n("MatMul", "x w")], {"w": [[1.0]] * 3}, FLAT, "does not fit weight"),
    "misfit groups": ([n("Conv", "x w", group=3)], {"w": np.ones((3, 4, 1, 1))}, IMAGE, "groups"),
    "misfit bias": (
        [n("Conv", "x w b")],
        {"w": np.ones((3, 4, 1, 1)), "b": [1.0]},
        IMAGE,
        "bias of shape",
    ),
    "window too large": ([n("MaxPool", kernel_shape=[7, 1])], {}, IMAGE, "does not fit input"),
    "huge kernel": ([n("MaxPool", kernel_shape=[1 << 60, 1])], {}, IMAGE, "kernel_shape"),
    "window in padding": (
        [n("MaxPool", kernel_shape=[1, 2], pads=[0, 2, 0, 0])],
        {},
        IMAGE,
        "padding .* altogether",
    ),
    "zero stride": ([n("MaxPool", kernel_shape=[1, 1], strides=[0, 1])], {}, IMAGE, "strides"),
    "missing kernel": ([n("MaxPool")], {}, IMAGE, "'kernel_shape' is missing"),
    "wrong attribute type": ([n("MaxPool", kernel_shape="2x2")], {}, IMAGE, "list of integers"),
    "wrong integer type": ([n("Softmax", axis=1.5)], {}, FLAT, "an integer, not '1.5'"),
    "impossible reshape": ([n("Reshape", "x s")], {"s": np.array([3, -1])}, FLAT, "reshape"),
    "impossible axis": ([n("Softmax", axis=7)], {}, FLAT, "axis 7"),
    "variance": (
        [n("BatchNormalization", "x c c c v")],
        {"c": [1.0] * 4, "v": [-1.0] * 4},
        FLAT,
        "not positive",
    ),
    "thresholds": (
        [n("MultiThreshold", "x t")],
        {"t": [[0.0]] * 3},
        FLAT,
        "thresholds of 3 channels",
    ),
    "threshold rank": ([n("MultiThreshold", "x t")], {"t": [0.0]}, FLAT, "not .channels, levels"),
    "shift": ([n("RequantShift", "x m m", n_levels=4.0, signed=1)], {"m": 1.0}, FLAT, "'div'"),
    "negative shift": (
        [n("RequantShift", "x m m", div=-4.0, n_levels=4.0, signed=1)],
        {"m": 1.0},
        FLAT,
        "-4.0",
    ),
    "cycle": ([n("Add", "x b", "a"), n("Relu", "a", "b"), n("Relu", "b")], {}, FLAT, "cycle"),
    "undefined input": ([n("Relu", "nowhere")], {}, FLAT, "'nowhere' is not produced"),
    "undefined output": ([n("Relu", "x", "z")], {}, FLAT, "'y' is not produced"),
    "produced twice": ([n("Relu"), n("Tanh")], {}, FLAT, "'y' is produced twice"),
    "constant output": ([n("Neg", "c")], {"c": 1.0}, FLAT, "does not depend on any input"),
    "nothing to compute": ([n("Identity")], {}, FLAT, "input itself"),
}


@pytest.mark.parametrize("name", UNSUPPORTED)
def test_unsupported(imported, name):
    nodes, constants, shape, message = UNSUPPORTED[name]
    outputs = ("z",) if nodes[-1].output[0] == "z" else ("y",)
    with pytest.raises(UnsupportedError, match=message) as caught:
        imported(nodes, shape, constants, outputs=outputs)
    assert caught.value.node in ("node", "x")


@pytest.mark.parametrize("name", INVALID)
def test_invalid(imported, name):
    nodes, constants, shape, message = INVALID[name]
    with pytest.raises(ModelError, match=message) as caught:
        imported(nodes, shape, constants)
    assert not isinstance(caught.value, UnsupportedError)


def test_several_inputs_and_outputs(imported):
    with pytest.raises(UnsupportedError, match="2 inputs: a, b"):
        imported([n("Add", "a b")], inputs={"a": FLAT, "b": FLAT})
    with pytest.raises(UnsupportedError, match="2 outputs: y, z"):
        imported([n("Relu"), n("Tanh", "x", "z")], outputs=("y", "z"))


@pytest.mark.parametrize("opset", [6, 24])
def test_opset(imported, opset):
    with pytest.raises(UnsupportedError, match=f"opset {opset} .*from 7 to 23"):
        imported([n("Relu")], opset=opset)


def test_subgraph_attribute_is_no_number(imported, build_model):
    body = build_model([n("Relu")]).graph
    with pytest.raises(ModelError, match="axis"):
        imported([n("Softmax", axis=body)])


def test_strings_are_no_constants(imported):
    tensor = helper.make_tensor("t", TensorProto.STRING, [1], [b"a"])
    nodes = [helper.make_node("Constant", [], ["c"], value=tensor), n("Add", "x c")]
    with pytest.raises(UnsupportedError, match="STRING"):
        imported(nodes)


def test_operator_table():
    table = {info.name: info for info in operator_table()}
    assert list(table) == sorted(table)
    assert "onnx.brevitas" in table["Quant"].domains
    assert all(info.supported and "\n" not in info.supported for info in table.values())
    assert {"Conv", "Gemm", "MaxPool", "Softmax", "BipolarQuant"} <= set(table)
