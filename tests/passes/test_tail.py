"""What `--softmax` makes of a network's end."""

from fractions import Fraction

import numpy as np
import pytest

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.errors import OptionsError, UnsupportedError
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.types import RealType, exact_array
from nn2rtl.options import Options
from nn2rtl.passes.tail import with_softmax

SCALE = Fraction(1, 8)


def quantize(low=-128, high=127, scale=SCALE, zero=0):
    return model.Quantize(exact_array(scale), exact_array(zero), low, high, zero_after=True)


def network(*ops, shape=(6,)):
    """A quantized input and operations on it; a tuple is one with its result's shape."""
    graph = Graph("test", output_names=["y"])
    name = graph.append("x", model.Input(), (), RealType(shape))
    for op in (quantize(), *ops):
        op, shape = op if isinstance(op, tuple) else (op, shape)
        name = graph.append(type(op).__name__.lower(), op, (name,), RealType(shape))
    graph.outputs = [name]
    return graph


PROBABILITIES = quantize(scale=Fraction(1, 256), zero=-128)
KERNEL = model.FixedPointSoftmax(SCALE, Fraction(0), 1 << 30, 24, -124)
TAILS = {
    "float": (model.Softmax(0),),
    "quantized": (model.Softmax(0), PROBABILITIES),
    "scaled": (model.Softmax(0), PROBABILITIES, model.Affine(exact_array(2), exact_array(1))),
    "fixed point": (KERNEL,),
    "none": (),
}


def results(graph, x, **more):
    integers = integer_graph(graph)
    return integers, Emulator(integers).emulate(x, **more)


@pytest.mark.parametrize("tail", TAILS)
def test_choices(tail):
    graph = network(*TAILS[tail])
    x = np.random.default_rng(0).normal(size=(40, 6))
    assert with_softmax(graph, "keep") is graph
    integers, y = results(with_softmax(graph, "logits"), x)
    assert np.array_equal(y, np.rint(x * 8) / 8)
    assert len(integers) == 1
    chosen = with_softmax(graph, "argmax")
    integers, y = results(chosen, x)
    assert np.array_equal(y, np.argmax(np.rint(x * 8), axis=1))
    assert isinstance(integers[integers.outputs[0]].op, ig.ArgMax)
    # Once more changes nothing.
    for choice in ("logits", "argmax"):
        assert with_softmax(chosen, choice) is chosen
    assert graph.outputs == [list(graph)[-1].name]


def test_order_of_the_output_is_kept():
    reshaped = (model.Softmax(0), (model.Reshape(), (3, 2)), quantize(0, 255, Fraction(1, 64)))
    graph = network(*reshaped)
    x = np.random.default_rng(0).normal(size=(4, 6))
    _, y = results(with_softmax(graph, "logits"), x)
    assert np.array_equal(y, (np.rint(x * 8) / 8).reshape(4, 3, 2))
    _, y = results(with_softmax(graph, "argmax"), x)
    assert np.array_equal(y, np.argmax(np.rint(x * 8), axis=1))


def test_an_axis_of_length_one_is_no_position():
    graph = network(model.Softmax(1), shape=(1, 6))
    _, y = results(with_softmax(graph, "argmax"), np.eye(6)[:, None])
    assert y.tolist() == [[k] for k in range(6)]


@pytest.mark.parametrize(
    ("graph", "choice", "message"),
    [
        (network(model.Softmax(0), shape=(2, 3)), "argmax", "argmax over several positions"),
        (network(shape=(2, 3)), "argmax", "ends with 2x3 elements"),
        (network(model.Softmax(0), quantize(), model.Elementwise(model.Function.RELU)), "logits",
         "not at the network's end"),
    ],
)  # fmt: skip
def test_refusals(graph, choice, message):
    with pytest.raises(UnsupportedError, match=message):
        with_softmax(graph, choice)


def test_option():
    assert Options().softmax == "keep"
    with pytest.raises(OptionsError, match="must be keep, logits or argmax"):
        Options(softmax="drop")
