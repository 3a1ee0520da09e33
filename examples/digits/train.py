"""Train two 4-bit networks for scikit-learn's 8x8 digits and export them as QONNX.

Writes ``mlp.onnx``, ``cnn.onnx`` and ``test.npz`` (the test set and the trained networks'
logits on it) and prints the accuracies of a floating-point baseline and of the quantized
network. One thread and fixed seeds: with the same package versions and processor, a second
run writes the same bytes.

    pip install "nn2rtl[train]"
    python train.py
"""

import argparse
import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import brevitas.nn as qnn
import numpy as np
import torch
from brevitas.export import export_qonnx
from brevitas.inject.enum import ScalingImplType
from brevitas.quant import (
    Int8WeightPerChannelFloat,
    Int8WeightPerTensorFloat,
    Int16Bias,
    Uint8ActPerTensorFloat,
)
from numpy.typing import NDArray
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

BITS = 4
PIXEL_BITS = 5  # pixels are the integers 0..16


class PixelQuant(Uint8ActPerTensorFloat):
    """Unsigned quantizer with scale 1: integer pixels pass through it unchanged."""

    bit_width = PIXEL_BITS
    scaling_impl_type = ScalingImplType.CONST
    scaling_init = 2.0**PIXEL_BITS - 1  # Brevitas divides by the largest integer: scale = 1.0


@dataclass(frozen=True)
class Split:
    """The digits: `x` float32 of shape [N, 1, 8, 8] with values 0..16, `y` int64 of shape [N]."""

    x_train: Tensor
    y_train: Tensor
    x_test: Tensor
    y_test: Tensor


def load_split(seed: int) -> Split:
    """Split the 1797 digits into 80 % training and 20 % test images, stratified by class."""
    images, labels = load_digits(return_X_y=True)
    x = images.astype(np.float32).reshape(-1, 1, 8, 8)
    x_train, x_test, y_train, y_test = train_test_split(
        x, labels.astype(np.int64), test_size=0.2, stratify=labels, random_state=seed
    )
    return Split(*(torch.from_numpy(a) for a in (x_train, y_train, x_test, y_test)))


def pixels(quantized: bool) -> nn.Module:
    """Return the input quantizer, or nothing in the floating-point baseline."""
    return qnn.QuantIdentity(PixelQuant, return_quant_tensor=True) if quantized else nn.Identity()


def relu(quantized: bool) -> nn.Module:
    """Return a ReLU; quantized: with an unsigned 4-bit result and a learned scale."""
    return qnn.QuantReLU(bit_width=BITS, return_quant_tensor=True) if quantized else nn.ReLU()


def dense(inputs: int, outputs: int, quantized: bool) -> nn.Module:
    """Return a hidden dense layer, without bias: batch normalization follows."""
    if not quantized:
        return nn.Linear(inputs, outputs, bias=False)
    return qnn.QuantLinear(
        inputs, outputs, bias=False, weight_quant=Int8WeightPerChannelFloat, weight_bit_width=BITS
    )


def conv(inputs: int, outputs: int, quantized: bool) -> nn.Module:
    """Return a 3x3 convolution that keeps the image size, without bias."""
    if not quantized:
        return nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return qnn.QuantConv2d(
        inputs,
        outputs,
        3,
        padding=1,
        bias=False,
        weight_quant=Int8WeightPerChannelFloat,
        weight_bit_width=BITS,
    )


def classifier(inputs: int, quantized: bool) -> nn.Module:
    """Return the last layer: one scale for all classes, so integer logits can be compared."""
    if not quantized:
        return nn.Linear(inputs, 10)
    return qnn.QuantLinear(
        inputs,
        10,
        bias=True,
        weight_quant=Int8WeightPerTensorFloat,
        weight_bit_width=BITS,
        bias_quant=Int16Bias,
    )


def build_mlp(quantized: bool) -> nn.Module:
    """Return the multilayer perceptron 64-32-32-10."""
    return nn.Sequential(
        pixels(quantized),
        nn.Flatten(),
        dense(64, 32, quantized),
        nn.BatchNorm1d(32),
        relu(quantized),
        dense(32, 32, quantized),
        nn.BatchNorm1d(32),
        relu(quantized),
        classifier(32, quantized),
    )


def build_cnn(quantized: bool) -> nn.Module:
    """Return the convolutional network with 8 and 16 channels."""
    return nn.Sequential(
        pixels(quantized),
        conv(1, 8, quantized),
        nn.BatchNorm2d(8),
        relu(quantized),
        nn.MaxPool2d(2),
        conv(8, 16, quantized),
        nn.BatchNorm2d(16),
        relu(quantized),
        nn.MaxPool2d(2),
        nn.Flatten(),
        classifier(64, quantized),
    )


def train(model: nn.Module, data: Split, epochs: int, batch: int = 32) -> None:
    """Train with Adam, the learning rate falling from 0.01 to 0 along a cosine; end in eval mode.

    The weights of the last epoch are kept: nothing is selected with the test set.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    model.train()
    for _ in range(epochs):
        for chosen in torch.randperm(len(data.x_train)).split(batch):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(data.x_train[chosen]), data.y_train[chosen])
            loss.backward()
            optimizer.step()
        schedule.step()
    model.eval()


def logits(model: nn.Module, x: Tensor) -> NDArray[np.float32]:
    """Return the model's logits, float32 of shape [N, 10]."""
    with torch.no_grad():
        return np.asarray(model(x).numpy(), dtype=np.float32)


def write_whole(path: Path, content: bytes) -> None:
    """Write a file under a temporary name first, so that it is never left half-written."""
    partial = path.with_name(f".partial-{path.name}")
    partial.write_bytes(content)
    os.replace(partial, path)


def export(model: nn.Module, path: Path) -> None:
    """Export as QONNX for one [1, 1, 8, 8] image, without the exporter's source locations."""
    # dynamo=False: Brevitas registers the Quant operator only with the TorchScript exporter.
    exported = export_qonnx(
        model,
        torch.zeros(1, 1, 8, 8),
        input_names=["image"],
        output_names=["logits"],
        dynamo=False,
    )
    exported.doc_string = exported.graph.doc_string = ""
    for item in (exported, exported.graph, *exported.graph.node):
        del item.metadata_props[:]
    for node in exported.graph.node:
        node.doc_string = ""
    del exported.graph.input[1:]  # the exporter lists constants as inputs, too
    write_whole(path, exported.SerializeToString(deterministic=True))


def main() -> None:
    """Train the baselines and the quantized networks, write the files, print the accuracies."""
    parser = argparse.ArgumentParser(description="Train and export the digits examples.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="output folder")
    parser.add_argument("--epochs", type=int, default=60, help="epochs for each network")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split and of training")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    torch.set_num_threads(1)  # the order of floating-point sums must not depend on the machine
    torch.use_deterministic_algorithms(True)
    data = load_split(options.seed)
    labels = data.y_test.numpy()
    arrays = {"x": data.x_test.numpy(), "y": labels}
    for name, build in (("mlp", build_mlp), ("cnn", build_cnn)):
        for quantized in (False, True):
            torch.manual_seed(options.seed)
            model = build(quantized)
            train(model, data, options.epochs)
            scores = logits(model, data.x_test)
            right = int((scores.argmax(axis=1) == labels).sum())
            kind = "quantized" if quantized else "float"
            print(f"{name} {kind:9} {right}/{len(labels)} = {right / len(labels):.2%}", flush=True)
        export(model, options.out / f"{name}.onnx")
        arrays[f"logits_{name}"] = scores
    archive = BytesIO()
    np.savez_compressed(archive, **arrays)  # dates its members 1980-01-01: reproducible, too
    write_whole(options.out / "test.npz", archive.getvalue())


if __name__ == "__main__":
    main()
