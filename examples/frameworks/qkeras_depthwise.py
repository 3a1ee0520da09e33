"""Depthwise convolutions for qonnx's QKeras converter, which does not know them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
from qkeras import QDepthwiseConv2D
from qonnx.converters.qkeras import qlayers
from qonnx.converters.qkeras.quantizers import get_quant_params
from tf2onnx.onnx_opset.nn import DepthwiseConv2d

_SHAPE = (
    "name", "kernel_size", "strides", "padding", "dilation_rate", "depth_multiplier", "use_bias"
)


def _without_quantizers(layer: QDepthwiseConv2D) -> tuple[str, dict[str, Any], dict[str, Any]]:
    """The layer's Keras class, its configuration for that, and no quantizers for the converter."""
    config = layer.get_config()
    return "DepthwiseConv2D", {key: config[key] for key in _SHAPE}, {}


def depthwise_handlers(model: tf.keras.Model) -> dict[str, tuple[Callable[..., None], list[Any]]]:
    """What `from_keras` needs as `custom_op_handlers`, if the model has depthwise convolutions.

    Their activations have to be layers of their own (QActivation), and their kernels' quantizers
    what the converter takes elsewhere: ``quantized_bits`` with ``alpha=1``.
    """
    qlayers.handler_map["QDepthwiseConv2D"] = _without_quantizers
    quantizers = {
        layer.name: layer.depthwise_quantizer_internal
        for layer in model.layers
        if isinstance(layer, QDepthwiseConv2D)
    }

    def handler(ctx: Any, node: Any, name: str, args: list[Any]) -> None:
        (quantizer,) = (q for layer, q in quantizers.items() if f"/{layer}/" in node.name)
        settings = get_quant_params(node.inputs[1].get_tensor_value(), quantizer)
        DepthwiseConv2d.version_1(ctx, node)
        inputs = [node.input[1]]
        for key, value in settings["inputs"].items():
            inputs.append(ctx.make_const(f"{node.name}_{key}", np.asarray(value)).output[0])
        ctx.insert_new_node_on_input(
            node, "Quant", inputs, name=f"{node.name}_quantizer", domain="qonnx",
            **settings["attributes"],
        )

    return {"DepthwiseConv2dNative": (handler, [])}
