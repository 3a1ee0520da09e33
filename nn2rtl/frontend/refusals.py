"""Operators that are refused by name, with what to do instead."""

from __future__ import annotations

from nn2rtl.errors import UnsupportedError
from nn2rtl.frontend.registry import find
from nn2rtl.frontend.source import SourceNode

_TABLE = "docs/operators.md lists the supported operators"

_RECURRENT = {"RNN", "LSTM", "GRU"}
_CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}
_STATISTICS = {
    "InstanceNormalization",
    "LayerNormalization",
    "GroupNormalization",
    "RMSNormalization",
    "MeanVarianceNormalization",
    "LpNormalization",
    "LRN",
}

# Operator -> (reason, remedy).
_NAMED = {
    "DynamicQuantizeLinear": (
        "dynamic quantization is not supported: its scales depend on the data",
        "quantize statically, with calibration data",
    ),
    "FloatQuant": (
        "minifloat quantization (FloatQuant) is not supported",
        "quantize to integers (Quant or IntQuant)",
    ),
    "LogSoftmax": (
        "the logarithm of a softmax (LogSoftmax) is not supported",
        "end the network with Softmax, with ArgMax (it takes the same element) or with the logits",
    ),
    "Attention": (
        "attention is not supported: it multiplies activations by activations",
        "use a convolutional or dense network",
    ),
    "Einsum": (
        "general tensor products (Einsum) are not supported",
        "express them by MatMul with a constant matrix",
    ),
    "LpPool": ("pooling of powers (LpPool) is not supported", "use MaxPool or AveragePool"),
    "GlobalLpPool": (
        "pooling of powers (GlobalLpPool) is not supported",
        "use GlobalMaxPool or GlobalAveragePool",
    ),
    "ReduceMin": (
        "the least element over axes (ReduceMin) is not supported",
        "negate and quantize the tensor ahead of a ReduceMax, and negate its result",
    ),
    "Im2Col": (
        "lowered convolutions (Im2Col) are not supported",
        "export the network before FINN lowers its convolutions",
    ),
}


def refusal(node: SourceNode) -> UnsupportedError:
    """Why an operator without handler cannot be imported."""
    op, domain = node.op, node.domain
    reason = f"operator {op} of domain {domain!r} is not supported"
    remedy = _TABLE
    if op in _RECURRENT:
        reason, remedy = f"recurrent operator {op} is not supported", "use a feed-forward network"
    elif op in _CONTROL_FLOW:
        reason = f"control flow ({op}) is not supported"
        remedy = "export with fixed shapes and constant folding, so that no control flow is left"
    elif op in _NAMED:
        reason, remedy = _NAMED[op]
    elif op in _STATISTICS:
        reason = f"{op} is not supported: its scale depends on the data"
        remedy = "train with BatchNormalization, which is constant in inference"
    elif "fpgadataflow" in domain:
        reason = f"hardware layer {op} of FINN (domain {domain!r}) is not supported"
        remedy = "export the network before its conversion to hardware layers"
    elif domain.endswith("channels_last"):
        reason = f"channels-last variant {op} of domain {domain!r} is not supported"
        remedy = "export the network channels first, before qonnx's channels-last conversion"
    elif find(op, "") is not None:
        remedy = f"use the standard operator; {_TABLE}"
    return UnsupportedError(reason, node=node.label, remedy=remedy)
