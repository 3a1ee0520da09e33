"""Models that the tests share: the examples, and real networks where they are at hand."""

import gzip
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "models"
DIGITS = ROOT / "examples" / "digits"


@dataclass(frozen=True)
class RealModel:
    """A model file, its data, and how its input is quantized if it does not say."""

    path: Path
    data: Path
    input_type: str | None = None
    samples: int = 100

    @property
    def options(self):
        return {} if self.input_type is None else {"input_type": self.input_type}

    def inputs(self):
        data = np.load(self.data)
        x = data["x_int8"] * data["x_scale"] if "x_int8" in data else data["x"]
        return x[: self.samples]


MODELS = {
    "digits_mlp": RealModel(DIGITS / "mlp.onnx", DIGITS / "test.npz"),
    "digits_cnn": RealModel(DIGITS / "cnn.onnx", DIGITS / "test.npz"),
    "tfc_1w1a": RealModel(
        SHARED / "qonnx_tfc" / "TFC_1W1A.onnx", SHARED / "qonnx_tfc" / "tfc_1w1a.npz"
    ),
    "tfc_1w2a": RealModel(
        SHARED / "qonnx_tfc" / "TFC_1W2A.onnx", SHARED / "qonnx_tfc" / "tfc_1w2a.npz"
    ),
    "tfc_2w2a": RealModel(
        SHARED / "qonnx_tfc" / "TFC_2W2A.onnx", SHARED / "qonnx_tfc" / "tfc_2w2a.npz"
    ),
    "jettagging": RealModel(
        SHARED / "qonnx_jettagging" / "qkeras_jettagging.onnx",
        SHARED / "qonnx_jettagging" / "jettag.npz",
        "int16:1/1024",
    ),
    "kws_w3a3": RealModel(
        SHARED / "qonnx_kws_w3a3" / "QONNX_model.onnx",
        SHARED / "qonnx_kws_w3a3" / "kws_w3a3.npz",
    ),
    "rn06": RealModel(
        SHARED / "qonnx_rn06" / "rn06.onnx",
        SHARED / "qonnx_rn06" / "rn06_randio.npz",
        "uint8:1/256",
        samples=8,
    ),
}


@pytest.fixture
def real_model():
    """A function from a model's name to the model; skips if its files are not at hand."""

    def get(name):
        model = MODELS[name]
        if not model.path.exists():
            pytest.skip(f"{model.path.name} is not here: it is not part of the repository")
        return model

    return get


@pytest.fixture
def shared():
    """The folder of real networks and data; skips if it is not at hand."""
    if not SHARED.exists():
        pytest.skip("the real networks are not here: they are not part of the repository")
    return SHARED


@pytest.fixture
def mnist(shared):
    """MNIST's test images [10000, 1, 28, 28] as float32 from 0 to 1, and labels."""

    def read(name, offset):
        with gzip.open(shared / "data" / name) as file:
            return np.frombuffer(file.read(), np.uint8, offset=offset)

    images = read("t10k-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28)
    return images.astype(np.float32) / np.float32(255), read("t10k-labels-idx1-ubyte.gz", 8)
