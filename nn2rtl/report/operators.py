"""The page of supported operators, made from the tables of the code.

``python -m nn2rtl.report.operators > docs/operators.md`` writes it anew.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import get_args

from nn2rtl.frontend import operator_table
from nn2rtl.frontend.refusals import refusal
from nn2rtl.frontend.registry import STANDARD
from nn2rtl.frontend.source import SourceNode
from nn2rtl.ir import integer as ig
from nn2rtl.ir import model
from nn2rtl.plan.stages import (
    ApplyStage,
    ArgMaxStage,
    ConvStage,
    PairStage,
    PoolStage,
    SoftmaxStage,
)

BECOMES: dict[str, tuple[type, ...]] = {
    "Add": (model.Add, model.Affine),
    "ArgMax": (model.ArgMax,),
    "AveragePool": (model.AveragePool,),
    "BatchNormalization": (model.Affine,),
    "BipolarQuant": (model.BipolarQuantize,),
    "Cast": (),
    "Clip": (model.Affine, model.Elementwise),
    "Concat": (),
    "Constant": (),
    "ConstantOfShape": (),
    "Conv": (model.Conv,),
    "Div": (model.Affine,),
    "Dropout": (),
    "Flatten": (model.Reshape,),
    "Gather": (),
    "Gemm": (model.MatMul, model.Affine),
    "GlobalAveragePool": (model.AveragePool,),
    "GlobalMaxPool": (model.MaxPool,),
    "Identity": (),
    "IntQuant": (model.Quantize, model.BipolarQuantize),
    "MatMul": (model.MatMul,),
    "MaxPool": (model.MaxPool,),
    "Mul": (model.Affine,),
    "Neg": (model.Affine,),
    "Pow": (),
    "Quant": (model.Quantize, model.BipolarQuantize),
    "ReduceMean": (model.AveragePool, model.Reshape, model.Transpose),
    "Relu": (model.Elementwise,),
    "Reshape": (model.Reshape,),
    "Shape": (),
    "Sigmoid": (model.Elementwise,),
    "Slice": (),
    "Softmax": (model.Softmax,),
    "Sqrt": (),
    "Squeeze": (model.Reshape,),
    "Sub": (model.Add, model.Affine),
    "Tanh": (model.Elementwise,),
    "TopK": (model.ArgMax,),
    "Transpose": (model.Transpose,),
    "Unsqueeze": (model.Reshape,),
}
"""Operations of the model graph that an operator on activations becomes; of constants none."""

_STEP = (ig.Thresholds, ig.Requantize)

LOWERED: dict[type, tuple[tuple[type, ...], str]] = {
    model.Input: ((), "The input. Its first quantizer makes it the core's input stream."),
    model.Quantize: (
        (ig.Input, *_STEP),
        "The input's first quantizer: on the host, before the core. Any other: in hardware, "
        "together with all real functions ahead of it.",
    ),
    model.BipolarQuantize: ((ig.Input, *_STEP), "As `Quantize`, with one threshold."),
    model.Conv: (
        (ig.Conv,),
        "In hardware. The scale of the weights and the bias go into the step function behind it. "
        "Groups other than 1 are refused here.",
    ),
    model.MatMul: ((ig.Conv,), "In hardware, as a convolution of kernel 1×1 over the rows."),
    model.Affine: (
        (),
        "No hardware of its own: part of the step function of the next quantizer, exactly. "
        "Behind the last quantizer: on the host.",
    ),
    model.Elementwise: ((), "As `Affine`."),
    model.Add: (
        (ig.WeightedSum,),
        "In hardware, with the least integer weights in the ratio of the two scales. "
        "A tensor added to itself: as `Affine`.",
    ),
    model.MaxPool: (
        (ig.MaxPool,), "In hardware. Refused behind a multiplication by a negative number."
    ),
    model.AveragePool: (
        (ig.SumPool,), "The sum in hardware; the division is part of the next step function."
    ),
    model.Reshape: (
        (ig.Reshape,), "No hardware: the stream stays the same, elements are renumbered."
    ),
    model.Transpose: (
        (),
        "No hardware: elements are renumbered. Refused where a later layer needs the elements of "
        "the stream in another order.",
    ),
    model.Softmax: (
        (ig.Softmax,),
        "In hardware if its result is quantized: tables of exponentials and an exact division. At "
        "the end of a network, without a quantizer: on the host, in floating point.",
    ),
    model.FixedPointSoftmax: ((ig.Softmax,), "In hardware, in TensorFlow Lite's own arithmetic."),
    model.ArgMax: (
        (ig.ArgMax,),
        "In hardware if it runs over all elements of the output, in their order, and they have "
        "one positive scale; else on the host. A softmax of the same axis before it is dropped.",
    ),
}
"""Integer operations that a model operation becomes, and where it is computed."""

HARDWARE: dict[type, tuple[type | None, str]] = {
    ig.Input: (None, "the port `s_axis`"),
    ig.Conv: (ConvStage, "`ConvEngine`: line buffer, weight memory, `MacArray`, output FIFO"),
    ig.SumPool: (PoolStage, "`WindowReduceEngine`: line buffer, `LaneReduce`, output FIFO"),
    ig.MaxPool: (PoolStage, "`WindowReduceEngine`, as for `SumPool`"),
    ig.WeightedSum: (PairStage, "`WeightedSum`: shifts and adders"),
    ig.Thresholds: (ApplyStage, "`Thresholds`: a pipelined binary search"),
    ig.Requantize: (ApplyStage, "`Requantizer`: multiply, add, shift, clip"),
    ig.Softmax: (
        SoftmaxStage, "`Softmax`: memory of vectors, tables of exponentials, divider or reciprocal"
    ),
    ig.ArgMax: (ArgMaxStage, "`ArgMax`: a tree of comparators"),
    ig.Reshape: (None, "nothing"),
}
"""Stage of the plan and hardware of an integer operation."""

_REFUSED = (
    "QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "ConvInteger", "MultiThreshold",
    "FloatQuant", "LSTM", "If",
)  # fmt: skip

_HEAD = """\
# Operators

<!-- Made by `python -m nn2rtl.report.operators > docs/operators.md`; do not edit. -->

What nn2rtl reads from a model file, and what becomes of it. A model passes three forms: operators
of the file, operations of the model graph (real numbers), operations of the integer graph (what
the hardware computes). [architecture.md](architecture.md) explains them.

A network has one input and one output, a fixed shape, and a batch size of one in the file. It is
a QONNX file: an ONNX file whose activations and weights have `Quant`, `IntQuant` or `BipolarQuant`
nodes. TensorFlow Lite files and ONNX's own quantization operators are not read.
"""


def operators_page() -> str:
    """The text of docs/operators.md."""
    parts = [_HEAD, _operators(), _model_operations(), _integer_operations(), _refusals()]
    return "\n".join(parts)


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', '∣') for cell in row)} |\n" for row in lines)


def _names(kinds: tuple[type, ...], empty: str) -> str:
    return ", ".join(f"`{kind.__name__}`" for kind in kinds) or empty


def _operators() -> str:
    rows = []
    for info in operator_table():
        others = [domain for domain in info.domains if domain not in STANDARD]
        domains = ", ".join(["standard", *(f"`{domain}`" for domain in others)])
        becomes = _names(BECOMES[info.name], "–")
        rows.append((f"`{info.name}`", info.supported, becomes, domains))
    return (
        "## Operators of the file\n\n"
        "The standard domain is written `\"\"` or `ai.onnx`. An operator whose operands are all\n"
        "constants is computed while the file is read, exactly. A dash stands for an operator\n"
        "that only works on constants or changes nothing.\n\n"
        + _table(("operator", "supported", "becomes", "domains"), rows)
    )


def _model_operations() -> str:
    rows = []
    for kind in get_args(model.ModelOp):
        targets, where = LOWERED[kind]
        rows.append((f"`{kind.__name__}`", _names(targets, "–"), where))
    return (
        "## Operations of the model graph\n\n"
        "Defined in `nn2rtl/ir/model.py`, lowered in `nn2rtl/passes/lower.py`.\n\n"
        + _table(("operation", "integer operations", "where it is computed"), rows)
    )


def _integer_operations() -> str:
    rows = []
    for kind in get_args(ig.IntOp):
        stage, hardware = HARDWARE[kind]
        summary = (kind.__doc__ or "").split("\n")[0]
        name = "–" if stage is None else f"`{stage.__name__}`"
        if kind in _STEP:
            name += ", or none if fused"
        rows.append((f"`{kind.__name__}`", summary, name, hardware))
    return (
        "## Operations of the integer graph\n\n"
        "Defined in `nn2rtl/ir/integer.py`. `nn2rtl/reference.py` computes them in numpy,\n"
        "`nn2rtl/plan/components.py` makes the hardware. A `Thresholds` or `Requantize` is fused\n"
        "into the stage before it if nothing else reads that stage's result.\n\n"
        + _table(("operation", "what it computes", "stage", "hardware"), rows)
    )


def _refusals() -> str:
    rows = []
    for op in _REFUSED:
        error = refusal(SourceNode(op, "", "", (), (), {}))
        rows.append((f"`{op}`", error.reason, error.remedy or ""))
    return (
        "## Refused\n\n"
        "All other operators are refused with an error that names the node. For some it says more:"
        "\n\n" + _table(("operator", "reason", "what to do"), rows)
    )


if __name__ == "__main__":
    sys.stdout.write(operators_page())
