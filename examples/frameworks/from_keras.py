"""Quantize a Keras network after training, export it as TFLite and as ONNX QDQ.

    pip install "nn2rtl[keras]"
    python from_keras.py [--out FOLDER] [--epochs N]
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnxruntime as ort
import tensorflow as tf
import tf2onnx
from digits import Array, load_split, report

layers = tf.keras.layers


def network() -> tf.keras.Model:
    """8x8 image to 10 classes: convolution, residual block, both kinds of pooling, dense layer."""
    image = tf.keras.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", use_bias=False)(image)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    skip = layers.MaxPooling2D(2)(x)
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(skip)
    x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    x = layers.Conv2D(16, 1, use_bias=False)(x)
    x = layers.ReLU()(layers.Add()([layers.BatchNormalization(momentum=0.9)(x), skip]))
    x = layers.Flatten()(layers.AveragePooling2D(2)(x))
    return tf.keras.Model(image, layers.Dense(10)(x))  # without softmax: it is trained from logits


def to_tflite(model: tf.keras.Model, images: Array) -> bytes:
    """Quantize to int8, inputs and outputs included; the images give the ranges of all tensors."""

    def representative() -> Iterator[list[Array]]:
        for image in images:
            yield [image[None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.int8
    converter.inference_output_type = tf.int8
    return converter.convert()


def run_tflite(path: Path, images: Array) -> tuple[Array, Array]:
    """The images as integers, and the integers that TFLite's reference kernels compute of them."""
    interpreter = tf.lite.Interpreter(
        str(path), experimental_op_resolver_type=tf.lite.experimental.OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    (entry,), (result,) = interpreter.get_input_details(), interpreter.get_output_details()
    scale, zero = entry["quantization"]
    integers = np.clip(np.rint(images / scale) + zero, -128, 127).astype(np.int8)
    outputs = []
    for image in integers:
        interpreter.set_tensor(entry["index"], image[None])
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(result["index"]).copy())
    return integers, np.concatenate(outputs)


def run_onnx(path: Path, images: Array) -> Array:
    """Outputs of onnxruntime, of the nodes as they are in the file."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(str(path), options)
    name = session.get_inputs()[0].name
    return np.concatenate([session.run(None, {name: image[None]})[0] for image in images])


def main() -> None:
    """Train, export in both formats, and compare nn2rtl with TFLite and with onnxruntime."""
    parser = argparse.ArgumentParser(description="Export from Keras.")
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

    tflite = options.out / "keras.tflite"
    tflite.write_bytes(to_tflite(model, x[:200]))
    integers, expected = run_tflite(tflite, x_test)
    report(tflite, integers, expected, y_test)

    qdq = options.out / "keras_qdq.onnx"
    tf2onnx.convert.from_tflite(str(tflite), opset=13, output_path=str(qdq))
    report(qdq, integers, run_onnx(qdq, integers), y_test)


if __name__ == "__main__":
    main()
