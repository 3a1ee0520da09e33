"""Export a PyTorch network as ONNX with quantizers, in three ways, and compare nn2rtl with each.

* ``torch_qdq.onnx``: trained with torch's fake quantization, exported by torch.
* ``ort_qdq.onnx``, ``ort_qoperator.onnx``: trained in floating point, exported by torch, quantized
  afterwards with onnxruntime's `quantize_static`.

    pip install "nn2rtl[train]" onnxruntime
    python from_torch.py [--out FOLDER] [--epochs N]
"""

import argparse
from pathlib import Path

import numpy as np
import onnxruntime as ort
import torch
from digits import Array, load_split, report
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from torch import Tensor, nn
from torch.nn.utils import parametrize


class FakeQuantize(nn.Module):
    """An activation's quantizer to 8 bits; its scale is the largest value seen in training."""

    def __init__(self, signed: bool) -> None:
        super().__init__()
        self.low, self.high = (-128, 127) if signed else (0, 255)
        self.register_buffer("scale", torch.tensor(1e-3))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.scale = torch.maximum(self.scale, x.detach().abs().max() / self.high)
        zero = torch.zeros((), dtype=torch.int32)
        return torch.fake_quantize_per_tensor_affine(x, self.scale, zero, self.low, self.high)


class FakeQuantizeChannels(nn.Module):
    """A weight's quantizer to 8 bits with one scale for each of its channels (axis 0)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        # A buffer: a scale computed from the weights would become nodes of the exported file.
        self.register_buffer("scale", torch.ones(channels))
        self.register_buffer("zero", torch.zeros(channels, dtype=torch.int32))

    def forward(self, weight: Tensor) -> Tensor:
        if self.training:
            self.scale = weight.detach().flatten(1).abs().amax(dim=1) / 127
        return torch.fake_quantize_per_channel_affine(weight, self.scale, self.zero, 0, -128, 127)


def quantizer(enabled: bool, *, signed: bool = False) -> nn.Module:
    """An activation's quantizer, or nothing."""
    return FakeQuantize(signed) if enabled else nn.Identity()


def layer(module: nn.Module, quantized: bool) -> nn.Module:
    """The layer, with quantized weights or with its own."""
    if quantized:
        weights = FakeQuantizeChannels(len(module.weight))
        parametrize.register_parametrization(module, "weight", weights)
    return module


class Block(nn.Module):
    """Depthwise and pointwise convolution with a skip around both."""

    def __init__(self, channels: int, quantized: bool) -> None:
        super().__init__()
        self.path = nn.Sequential(
            layer(nn.Conv2d(channels, channels, 3, padding=1, groups=channels), quantized),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            quantizer(quantized),
            layer(nn.Conv2d(channels, channels, 1), quantized),
            nn.BatchNorm2d(channels),
            quantizer(quantized, signed=True),
        )
        self.end = nn.Sequential(nn.ReLU(), quantizer(quantized))

    def forward(self, x: Tensor) -> Tensor:
        return self.end(self.path(x) + x)


def network(quantized: bool) -> nn.Module:
    """8x8 image to 10 classes: convolution, residual block, both kinds of pooling, dense layer."""
    return nn.Sequential(
        quantizer(quantized),
        layer(nn.Conv2d(1, 16, 3, padding=1), quantized),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        quantizer(quantized),
        nn.MaxPool2d(2),
        Block(16, quantized),
        nn.AvgPool2d(2),
        quantizer(quantized),
        nn.Flatten(),
        layer(nn.Linear(64, 10), quantized),
        quantizer(quantized, signed=True),
    )


def train(model: nn.Module, images: Tensor, labels: Tensor, epochs: int) -> None:
    """Train with Adam; end in eval mode."""
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(epochs):
        for chosen in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    model.eval()


def export(model: nn.Module, path: Path) -> None:
    """Export for one image.

    dynamo=False: this exporter writes fake quantization as QuantizeLinear and DequantizeLinear.
    """
    torch.onnx.export(
        model, (torch.zeros(1, 1, 8, 8),), str(path), dynamo=False, opset_version=17,
        input_names=["image"], output_names=["logits"],
    )


class Calibration(CalibrationDataReader):
    """Feeds `quantize_static` images, from which it takes the ranges of all tensors."""

    def __init__(self, images: Array) -> None:
        self.feeds = iter([{"image": image[None]} for image in images])

    def get_next(self) -> dict[str, Array] | None:
        return next(self.feeds, None)


def run(path: Path, images: Array) -> Array:
    """Outputs of onnxruntime, of the nodes as they are in the file."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options)
    return np.concatenate([session.run(None, {"image": image[None]})[0] for image in images])


def main() -> None:
    """Train, export in all ways, and compare nn2rtl with torch and with onnxruntime."""
    parser = argparse.ArgumentParser(description="Export from PyTorch.")
    parser.add_argument("--out", type=Path, default=Path("build"), help="output folder")
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # faster for a network as small as this
    x, y, x_test, y_test = load_split()
    x, x_test = x[:, None], x_test[:, None]

    model = network(quantized=True)
    train(model, torch.from_numpy(x), torch.from_numpy(y), options.epochs)
    export(model, options.out / "torch_qdq.onnx")
    with torch.no_grad():
        expected = model(torch.from_numpy(x_test)).numpy()
    report(options.out / "torch_qdq.onnx", x_test, expected, y_test)

    model = network(quantized=False)
    train(model, torch.from_numpy(x), torch.from_numpy(y), options.epochs)
    export(model, options.out / "torch_float.onnx")
    for kind in (QuantFormat.QDQ, QuantFormat.QOperator):
        path = options.out / f"ort_{kind.name.lower()}.onnx"
        quantize_static(
            options.out / "torch_float.onnx", path, Calibration(x[:200]), quant_format=kind,
            per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            reduce_range=True,  # 7-bit weights: see docs/frameworks.md on processors without VNNI
        )
        report(path, x_test, run(path, x_test), y_test)


if __name__ == "__main__":
    main()
