"""MultiThreshold against its definition, and FINN's network against its outputs."""

from fractions import Fraction

import numpy as np
import pytest
from onnx import helper

from nn2rtl.frontend import load
from nn2rtl.ir.model import MultiThreshold

rng = np.random.default_rng(1)
ROWS = rng.normal(size=(3, 7)).astype(np.float32)  # not sorted


def node(domain="qonnx.custom_op.general", **attributes):
    options = {"out_dtype": "UINT3", **attributes}
    return [helper.make_node("MultiThreshold", ["x", "t"], ["y"], domain=domain, **options)]


def counted(x, rows, axis):
    return (np.moveaxis(x, axis, -1)[..., None] >= rows).sum(-1)


# name: (attributes, input shape, thresholds, axis of the channels)
CASES = {
    "channels": ({}, [1, 3, 4, 5], ROWS, 1),
    "flat": ({"out_scale": 0.5, "out_bias": -1.0}, [1, 3], ROWS, 1),
    "flat channels last": ({"data_layout": "NHWC"}, [1, 3], ROWS, 1),
    "tensor": ({}, [1, 3, 4, 5], ROWS[:1], 1),
    "channels last": ({"data_layout": "NHWC"}, [1, 4, 5, 3], ROWS, 3),
    "sequence": ({}, [1, 5, 3], ROWS, 2),
    "sequence channels first": ({}, [1, 3, 5], ROWS, 1),
    "bipolar": ({"out_scale": 2.0, "out_bias": -1.0, "out_dtype": "BIPOLAR"}, [1, 3],
                np.zeros((1, 1)), 1),
    "infinite": ({}, [1, 3], np.array([[np.inf, 0.0, -np.inf]], dtype=np.float32), 1),
    "integers": ({}, [1, 3], np.array([[2, -1, 0]], dtype=np.int8), 1),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("domain", ["qonnx.custom_op.general", "finn.custom_op.general"])
def test_definition(name, domain, imported, execute):
    attributes, shape, rows, axis = CASES[name]
    graph = imported(node(domain, **attributes), shape, {"t": rows})
    x = rng.integers(-8, 9, [6, *shape[1:]]) / 4
    count = np.moveaxis(counted(x, rows, axis), -1, axis)
    wanted = attributes.get("out_scale", 1.0) * count + attributes.get("out_bias", 0.0)
    np.testing.assert_array_equal(execute(graph, x), wanted)
    (op,) = [node.op for node in graph if isinstance(node.op, MultiThreshold)]
    assert np.all(op.thresholds[:, :-1] <= op.thresholds[:, 1:])


def test_thresholds_are_exact(imported):
    op = imported(node(), [1, 3], {"t": np.array([[0.1]], np.float32)})["y"].op
    assert op.thresholds.item() == Fraction(float(np.float32(0.1)))


@pytest.mark.parametrize("kind", ["", "tut_"])
def test_network(kind, shared, execute):
    folder = shared / "multithreshold_tfc"
    x, wanted = (np.load(folder / f"{kind}{n}.npy") for n in ("input", "expected_output"))
    assert np.array_equal(execute(load(folder / "model.onnx"), x).ravel(), wanted)
