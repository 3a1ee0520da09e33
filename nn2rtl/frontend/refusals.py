"""Operators that are refused by name, with what to do instead."""

from __future__ import annotations

from nn2rtl.errors import UnsupportedError
from nn2rtl.frontend.registry import find
from nn2rtl.frontend.source import SourceNode

_TABLE = "docs/operators.md lists the supported operators"
_QONNX = "export the network as QONNX (Brevitas export_qonnx, or qonnx from QKeras)"

_LATER = {
    "MultiThreshold": "FINN's MultiThreshold",
    "RequantShift": "RequantShift",
    "FloatQuant": "minifloat quantization (FloatQuant)",
}
_RECURRENT = {"RNN", "LSTM", "GRU"}
_CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}


def refusal(node: SourceNode) -> UnsupportedError:
    """Why an operator without handler cannot be imported."""
    op, domain = node.op, node.domain
    if op in _RECURRENT:
        reason, remedy = f"recurrent operator {op} is not supported", "use a feed-forward network"
    elif op in _CONTROL_FLOW:
        reason = f"control flow ({op}) is not supported"
        remedy = "export with fixed shapes and constant folding, so that no control flow is left"
    elif domain.endswith("channels_last"):
        reason = f"channels-last variant {op} of domain {domain!r} is not supported"
        remedy = "export the network channels first, before qonnx's channels-last conversion"
    elif op == "DynamicQuantizeLinear":
        reason = "dynamic quantization is not supported: its scales depend on the data"
        remedy = "quantize statically, with calibration data"
    elif op in _LATER:
        dialect = _LATER[op]
        reason, remedy = f"{dialect} is not supported yet (operator {op})", _QONNX
        if op == "FloatQuant":
            remedy = "quantize to integers (Quant or IntQuant)"
    elif find(op, "") is not None:
        reason = f"operator {op} of domain {domain!r} is not supported"
        remedy = f"use the standard operator; {_TABLE}"
    else:
        reason = f"operator {op} of domain {domain!r} is not supported"
        remedy = _TABLE
    return UnsupportedError(reason, node=node.label, remedy=remedy)
