"""Train a network of few bits with QKeras and export it as QONNX.

    pip install "nn2rtl[qkeras]"
    python from_qkeras.py [--out FOLDER] [--epochs N]
"""

import argparse
from pathlib import Path

import numpy as np
import tensorflow as tf
from digits import load_split, report
from qkeras import QActivation, QConv2D, QDense, QDepthwiseConv2D
from qkeras_depthwise import depthwise_handlers
from qonnx.converters.keras import from_keras

layers = tf.keras.layers
WEIGHTS = "quantized_bits(6, 1, alpha=1)"  # alpha=1: the converter takes no other scale
RELU = "quantized_relu(6, 2)"  # 6 bits, 2 of them before the binary point
PIXELS = "quantized_relu(5, 1)"  # sixteenths: exact for the digits


def network() -> tf.keras.Model:
    """8x8 image to 10 classes: convolution, residual block, pooling, dense layer."""
    image = tf.keras.Input((8, 8, 1))
    x = QActivation(PIXELS)(image)
    x = QConv2D(16, 3, padding="same", use_bias=False, kernel_quantizer=WEIGHTS)(x)
    x = QActivation(RELU)(layers.BatchNormalization(momentum=0.9)(x))
    skip = layers.MaxPooling2D(2)(x)
    x = QDepthwiseConv2D(3, padding="same", use_bias=False, depthwise_quantizer=WEIGHTS)(skip)
    x = QActivation(RELU)(layers.BatchNormalization(momentum=0.9)(x))
    x = QConv2D(16, 1, use_bias=False, kernel_quantizer=WEIGHTS)(x)
    x = QActivation(RELU)(layers.BatchNormalization(momentum=0.9)(x))
    x = QActivation(RELU)(layers.Add()([x, skip]))
    x = layers.Flatten()(x)
    x = QDense(10, kernel_quantizer=WEIGHTS, bias_quantizer="quantized_bits(8, 3, alpha=1)")(x)
    return tf.keras.Model(image, x)


def main() -> None:
    """Train, export, and compare nn2rtl with QKeras."""
    parser = argparse.ArgumentParser(description="Export from QKeras.")
    parser.add_argument("--out", type=Path, default=Path("build"), help="output folder")
    parser.add_argument("--epochs", type=int, default=15)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    tf.keras.utils.set_random_seed(0)
    x, y, x_test, y_test = load_split()
    x, x_test = x[..., None], x_test[..., None]
    model = network()
    model.compile(
        tf.keras.optimizers.Adam(0.01),
        tf.keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(x, y, batch_size=32, epochs=options.epochs, verbose=0)

    path = options.out / "qkeras_qonnx.onnx"
    from_keras(
        model, opset=13, output_path=str(path), custom_op_handlers=depthwise_handlers(model)
    )
    report(path, x_test, np.asarray(model.predict(x_test, verbose=0)), y_test)


if __name__ == "__main__":
    main()
