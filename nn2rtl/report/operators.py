"""The page of supported operators, made from the tables of the code.

``python -m nn2rtl.report.operators > docs/operators.md`` writes it anew.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import get_args

from nn2rtl.frontend import OperatorInfo, operator_table, tflite_operator_table
from nn2rtl.frontend.refusals import refusal
from nn2rtl.frontend.registry import STANDARD, find
from nn2rtl.frontend.source import SourceNode
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.report.lowerings import HARDWARE, LOWERED, STEP

DIALECTS = {
    "channels_last": "QONNX, channels last",
    "integer_operators": "integer operators",
    "multi_threshold": "MultiThreshold",
    "qdq": "QDQ",
    "qlinear": "QLinear",
    "qonnx": "QONNX",
    "quantized_pooling": "QONNX",
    "requant_shift": "RequantShift",
    "trunc": "QONNX",
}
"""What operators belong to that a module of the front end registers; others are plain ones."""

REFUSED = (
    ("DynamicQuantizeLinear", ""), ("FloatQuant", ""), ("LSTM", ""), ("If", ""),
    ("LayerNormalization", ""), ("Attention", ""), ("Einsum", ""), ("LogSoftmax", ""),
    ("LpPool", ""), ("ReduceMin", ""), ("Im2Col", ""),
    ("MVAU_hls", "finn.custom_op.fpgadataflow.hls"),
)  # fmt: skip
"""Operators (name and domain) that are refused with more to say than others."""

_HEAD = """\
# Operators

<!-- Made by `python -m nn2rtl.report.operators > docs/operators.md`; do not edit. -->

What nn2rtl reads from a model file, and what becomes of it. A model passes three forms: operators
of the file, operations of the model graph (real numbers), operations of the integer graph (what
the hardware computes). [architecture.md](architecture.md) explains them.

Files are ONNX files of any of the dialects below, which may be mixed, or int8 TensorFlow Lite
files. A network has one input and one output, a fixed shape, and a batch size of one (or none
given).

Weights, and the operand of each convolution and dense layer, have to be quantized; between two
quantizers any of the operators below may stand. Each of them works in `emulate` and in hardware,
unless its row says otherwise.
"""


def operators_page() -> str:
    """The text of docs/operators.md."""
    parts = [
        _HEAD, _quantized_operators(), _operators(), _tflite(), _model_operations(),
        _integer_operations(), _refusals(),
    ]  # fmt: skip
    return "\n".join(parts)


def dialect(info: OperatorInfo) -> str | None:
    """The dialect that an operator of ONNX files belongs to; None for the plain ones."""
    registration = find(info.name, info.domains[0])
    assert registration is not None  # it comes from the registry
    return DIALECTS.get(registration.handler.__module__.rsplit(".", 1)[1])


def _table(heading: tuple[str, ...], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |\n" for row in lines)


def _names(kinds: tuple[type, ...], empty: str) -> str:
    return ", ".join(f"`{kind.__name__}`" for kind in kinds) or empty


def _domains(info: OperatorInfo) -> str:
    others = [f"`{domain}`" for domain in info.domains if domain not in STANDARD]
    return ", ".join((["standard"] if "" in info.domains else []) + others)


def _quantized_operators() -> str:
    rows = []
    for info in operator_table():
        name = dialect(info)
        if name is not None:
            rows.append((name, f"`{info.name}`", info.supported, _domains(info)))
    return (
        "## Operators of quantized ONNX dialects\n\n"
        "The standard domain is written `\"\"` or `ai.onnx`.\n\n"
        + _table(("dialect", "operator", "supported", "domains"), sorted(rows, key=_by_dialect))
    )


def _by_dialect(row: Sequence[str]) -> tuple[str, str]:
    return row[0].lower(), row[1].strip("`").lower()


def _operators() -> str:
    rows = [
        (f"`{info.name}`", info.supported, _domains(info))
        for info in operator_table()
        if dialect(info) is None
    ]
    return (
        "## Other operators of ONNX files\n\n"
        "*Tensors* depend on the network's input, *constants* do not. An operator whose operands\n"
        "are all constants is computed while the file is read, exactly.\n\n"
        + _table(("operator", "supported", "domains"), rows)
    )


def _tflite() -> str:
    rows = [(f"`{info.name}`", info.supported) for info in tflite_operator_table()]
    return (
        "## Operators of TensorFlow Lite files\n\n"
        "Each is computed as TensorFlow Lite's reference kernels do it, integer for integer:\n"
        "fixed-point multiplication, roundings, and tables of activations.\n\n"
        + _table(("operator", "supported"), rows)
    )


def _model_operations() -> str:
    rows = []
    for kind in get_args(model.ModelOp):
        targets, where = LOWERED[kind]
        rows.append((f"`{kind.__name__}`", _summary(kind), _names(targets, "–"), where))
    functions = ", ".join(f"`{function.value}`" for function in model.Function)
    return (
        "## Operations of the model graph\n\n"
        "Defined in `nn2rtl/ir/model.py`, lowered in `nn2rtl/passes/lower.py`. The functions of\n"
        f"`Elementwise` are {functions}.\n\n"
        + _table(("operation", "what it is", "integer operations", "where it is computed"), rows)
    )


def _integer_operations() -> str:
    rows = []
    for kind in get_args(ig.IntOp):
        stage, hardware = HARDWARE[kind]
        name = "–" if stage is None else f"`{stage.__name__}`"
        if kind in STEP:
            name += ", or none if fused"
        rows.append((f"`{kind.__name__}`", _summary(kind), name, hardware))
    return (
        "## Operations of the integer graph\n\n"
        "Defined in `nn2rtl/ir/integer.py`. `nn2rtl/reference.py` computes them in numpy,\n"
        "`nn2rtl/plan/components.py` makes the hardware. A step function (`Thresholds`,\n"
        "`Requantize`, `Lookup`) is fused into the convolution, pooling, sum or product before it\n"
        "if nothing else reads that one's result.\n\n"
        + _table(("operation", "what it computes", "stage", "hardware"), rows)
    )


def _summary(kind: type) -> str:
    """The first sentence of an operation's description, which may take several lines."""
    return " ".join((kind.__doc__ or "").split("\n\n")[0].split())


def _refusals() -> str:
    rows = []
    for op, domain in REFUSED:
        error = refusal(SourceNode(op, domain, "", (), (), {}))
        rows.append((f"`{op}`", error.reason, error.remedy or ""))
    return (
        "## Refused\n\n"
        "All other operators are refused with an error that names the node; in TensorFlow Lite\n"
        "files recurrent operators, control flow and custom operators, too. So are networks with\n"
        "several inputs or outputs, a dynamic shape, weights that are not quantized, operators\n"
        "behind a softmax or argmax, and external data outside of the model's folder. For some\n"
        "operators the message says more:\n\n"
        + _table(("operator", "reason", "what to do"), rows)
    )


if __name__ == "__main__":
    sys.stdout.write(operators_page())
