"""RequantShift against its definition, and a keyword network against all its activations."""

import numpy as np
import pytest
from onnx import helper, numpy_helper

from nn2rtl.frontend import load
from nn2rtl.ir.model import Quantize

rng = np.random.default_rng(1)
MUL, ADD = rng.integers(1, 99, 3), rng.integers(-500, 500, 3)


def tensor(value):
    return numpy_helper.from_array(np.array([value], dtype=np.float32))


@pytest.mark.parametrize("kind", [float, int, tensor])
@pytest.mark.parametrize("levels", ["n_levels", "n_levels_out"])
@pytest.mark.parametrize("signed", [0, 1])
@pytest.mark.parametrize("div", [64, 37])
def test_definition(kind, levels, signed, div, imported, execute):
    attributes = {"div": kind(div), levels: kind(16), "signed": kind(signed)}
    node = helper.make_node("RequantShift", ["x", "m", "a"], ["y"], **attributes)
    x = rng.integers(-200, 200, (8, 3, 4, 4))
    shape = (3, 1, 1)
    low, high = (-8, 7) if signed else (0, 15)
    mul, add = MUL.reshape(shape), ADD.reshape(shape)
    wanted = np.clip((x * mul + add + div // 2) // div, low, high)
    for form in (shape, (3,), (1, *shape)):
        constants = {"m": MUL.reshape(form).astype(np.float32), "a": ADD.reshape(form)}
        assert np.array_equal(execute(imported([node], [1, 3, 4, 4], constants), x), wanted)


def test_scalars(imported):
    node = helper.make_node("RequantShift", ["x", "m", "a"], ["y"], div=4.0, n_levels=256.0,
                            signed=1.0)  # fmt: skip
    graph = imported([node], [1, 3], {"m": 3.0, "a": [0.0]})
    op = graph[graph.outputs[0]].op
    assert isinstance(op, Quantize) and (op.low, op.high) == (-128, 127)


def test_network(shared, execute):
    folder = shared / "requantshift_kws"
    graph = load(folder / "network.onnx")
    x = np.load(folder / "inputs.npz")["input_0"]
    wanted = np.load(folder / "activations.npz")
    layers = [n for n in graph if n.inputs and type(n.op).__name__ not in ("Affine", "Reshape")]
    # The last matrix product has its bias in an operation of its own.
    names = [n.name for n in layers]
    product = next(n.name for n in graph if n.inputs and n.inputs[0] == names[-2])
    names[-2] = product if type(graph[product].op).__name__ == "Affine" else names[-2]
    assert len(names) == len(wanted.files)
    for name, key in zip(names, wanted.files):
        graph.outputs = [name]
        assert np.array_equal(execute(graph, x), wanted[key]), key
