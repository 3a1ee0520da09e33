"""Real networks: the model graph in float64 against outputs computed elsewhere."""

import numpy as np
import pytest

from nn2rtl.frontend import load


def agreement(execute, path, x, y):
    """Fraction of samples whose outputs are all as in the reference."""
    result = execute(load(path), x)
    return np.mean(np.all(np.isclose(result, y, rtol=1e-3, atol=1e-3), axis=1))


@pytest.mark.parametrize("name", ["1w1a", "1w2a", "2w2a"])
def test_tfc(shared, execute, name):
    data = np.load(shared / "qonnx_tfc" / f"tfc_{name}.npz")
    path = shared / "qonnx_tfc" / f"TFC_{name.upper()}.onnx"
    assert agreement(execute, path, data["x"], data["y"]) == 1


def test_jet_tagging(shared, execute):
    data = np.load(shared / "qonnx_jettagging" / "jettag.npz")
    path = shared / "qonnx_jettagging" / "qkeras_jettagging.onnx"
    assert agreement(execute, path, data["x"], data["y"]) == 1


def test_keyword_spotting(shared, execute):
    data = np.load(shared / "qonnx_kws_w3a3" / "kws_w3a3.npz")
    x = data["x_int8"].astype(np.float64) * np.float64(data["x_scale"])
    path = shared / "qonnx_kws_w3a3" / "QONNX_model.onnx"
    # The rest are samples where float32 rounds a tie the other way.
    assert agreement(execute, path, x, data["y"]) >= 0.99


def test_cifar(shared, execute):
    data = np.load(shared / "qonnx_rn06" / "rn06_randio.npz")
    assert agreement(execute, shared / "qonnx_rn06" / "rn06.onnx", data["x"], data["y"]) == 1
