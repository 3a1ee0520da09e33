"""Train a 4-bit network with Brevitas and export it as QONNX and as ONNX QDQ (QCDQ).

    pip install "nn2rtl[train]"
    python from_brevitas.py [--out FOLDER] [--epochs N]
"""

import argparse
from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.export import export_onnx_qcdq, export_qonnx
from brevitas.quant import Int8WeightPerChannelFloat, Int8WeightPerTensorFloat, Int16Bias
from digits import load_split, report
from torch import Tensor, nn

BITS = 4


class Block(nn.Module):
    """A convolution in groups of channels, batch normalization and ReLU, around it a skip."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = qnn.QuantConv2d(
            channels, channels, 3, padding=1, groups=channels, bias=False,
            weight_quant=Int8WeightPerChannelFloat, weight_bit_width=BITS,
        )
        self.norm = nn.BatchNorm2d(channels)
        self.inner = qnn.QuantIdentity(bit_width=BITS, return_quant_tensor=False)
        self.relu = qnn.QuantReLU(bit_width=BITS, return_quant_tensor=True)

    def forward(self, x: Tensor) -> Tensor:
        skip = getattr(x, "value", x)
        return self.relu(self.inner(self.norm(self.conv(x))) + skip)


def network() -> nn.Module:
    """8x8 image to 10 classes: convolution, depthwise residual block, pooling, dense layer."""
    return nn.Sequential(
        qnn.QuantIdentity(bit_width=8, return_quant_tensor=True),
        qnn.QuantConv2d(
            1, 16, 3, padding=1, bias=False,
            weight_quant=Int8WeightPerChannelFloat, weight_bit_width=BITS,
        ),
        nn.BatchNorm2d(16),
        qnn.QuantReLU(bit_width=BITS, return_quant_tensor=True),
        Block(16),
        nn.MaxPool2d(2),
        nn.Flatten(),
        qnn.QuantLinear(
            256, 10, bias=True, bias_quant=Int16Bias,
            weight_quant=Int8WeightPerTensorFloat, weight_bit_width=BITS,
        ),
    )


def main() -> None:
    """Train, export in both formats, and compare nn2rtl with Brevitas."""
    parser = argparse.ArgumentParser(description="Export from Brevitas.")
    parser.add_argument("--out", type=Path, default=Path("build"), help="output folder")
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)  # faster for a network as small as this
    x, y, x_test, y_test = load_split()
    images, labels = torch.from_numpy(x[:, None]), torch.from_numpy(y)
    model = network()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(options.epochs):
        for chosen in torch.randperm(len(images)).split(32):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(images[chosen]), labels[chosen]).backward()
            optimizer.step()
    model.eval()
    with torch.no_grad():
        expected = np.asarray(model(torch.from_numpy(x_test[:, None])))
    example = torch.zeros(1, 1, 8, 8)
    # dynamo=False: Brevitas registers its operators with the TorchScript exporter only.
    exports = {"brevitas_qonnx.onnx": export_qonnx, "brevitas_qcdq.onnx": export_onnx_qcdq}
    for name, export in exports.items():
        path = options.out / name
        export(model, example, export_path=str(path), dynamo=False)
        report(path, x_test[:, None], expected, y_test)


if __name__ == "__main__":
    main()
