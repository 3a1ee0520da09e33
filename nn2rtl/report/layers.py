"""Layers as data: what each operation is, and what hardware it becomes."""

from __future__ import annotations

from typing import Any

import numpy as np

from nn2rtl.boards.resources import Resources
from nn2rtl.boards.synthesis import SynthesisResult
from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.plan.planner import Planned
from nn2rtl.plan.softmax import softmax_steps
from nn2rtl.plan.stages import (
    AnyStage,
    ApplyStage,
    ArgMaxStage,
    ConcatStage,
    ConvStage,
    Epilogue,
    ForkStage,
    GatherStage,
    PairStage,
    PoolStage,
    SoftmaxStage,
    StreamType,
    WidthStage,
    is_table,
)

Shape = tuple[int, ...]


def resources_entry(resources: Resources) -> dict[str, float]:
    """Resources by name."""
    return {name: resources[name] for name in Resources.names()}


def span_bits(values: Any) -> int:
    """Bits of a number that holds zero and all values."""
    return IntType(min(int(np.min(values)), 0), max(int(np.max(values)), 0)).width


def requantizer_entry(op: Epilogue | None, operand: IntType | None) -> dict[str, Any]:
    """Form and constants' widths of a step function; see docs/report.md."""
    entry: dict[str, Any] = dict.fromkeys(
        ("multiplier_bits", "bias_bits", "step_bits", "shift", "levels", "threshold_bits",
         "per_channel")
    )  # fmt: skip
    entry["accumulator_bits"] = None if operand is None else operand.width
    if op is None:
        return {"form": "none", **entry}
    if isinstance(op, ig.Lookup):
        entry["levels"], entry["per_channel"] = int(np.unique(op.table).size), False
        return {"form": "table", **entry}
    if isinstance(op, ig.Thresholds):
        entry["levels"], entry["per_channel"] = int(op.values.shape[1]), len(op.values) > 1
        entry["threshold_bits"] = span_bits(op.values) if op.values.size else 0
        looked_up = operand is not None and is_table(op, operand)
        return {"form": "table" if looked_up else "thresholds", **entry}
    entry["bias_bits"], entry["shift"] = span_bits(op.bias), op.shift
    entry["step_bits"] = None if op.step is None else span_bits(op.step)
    entry["per_channel"] = max(len(op.multiplier), len(op.bias)) > 1
    if (op.multiplier == 1).all():
        return {"form": "shift", **entry}
    entry["multiplier_bits"] = span_bits(op.multiplier)
    return {"form": "multiply-add-shift", **entry}


def kind_of(op: ig.IntOp, operand: Shape) -> str:
    """What an operation is called."""
    if isinstance(op, ig.Conv):
        if op.groups > 1:
            return "depthwise" if op.weight.shape[3] == 1 else "grouped conv"
        return "dense" if tuple(operand[:2]) == (1, 1) and op.window.taps == 1 else "conv"
    names: dict[type, str] = {
        ig.MaxPool: "max pool",
        ig.SumPool: "sum pool",
        ig.WeightedSum: "add",
        ig.Product: "multiply",
        ig.Concat: "concat",
        ig.Gather: "gather",
        ig.Lookup: "table",
        ig.Softmax: "softmax",
        ig.Thresholds: "requantize",
        ig.Requantize: "requantize",
        ig.ArgMax: "argmax",
        ig.Input: "input",
        ig.Reshape: "reshape",
    }
    return names[type(op)]


def window_text(window: ig.Window) -> str:
    """Kernel, and stride, padding and dilation where they are not the usual ones."""
    parts = ["×".join(map(str, window.kernel))]
    if window.stride != (1, 1):
        parts.append("stride " + "×".join(map(str, window.stride)))
    if any(window.pads):
        same = len(set(window.pads)) == 1
        parts.append("pad " + ("" if same else "tlbr ") + (
            str(window.pads[0]) if same else ",".join(map(str, window.pads))
        ))
    if window.dilation != (1, 1):
        parts.append("dilation " + "×".join(map(str, window.dilation)))
    return " ".join(parts)


def work(op: ig.IntOp, result: Shape) -> tuple[int, int, int | None]:
    """Multiply-accumulates an inference, weights, and bits of a weight (None without weights)."""
    if not isinstance(op, ig.Conv):
        return 0, 0, None
    size = int(op.weight.size)
    return result[0] * result[1] * size, size, span_bits(op.weight)


def type_entry(kind: IntType) -> dict[str, Any]:
    """An integer type."""
    return {
        "type": str(kind),
        "width": kind.width,
        "signed": kind.signed,
        "low": kind.low,
        "high": kind.high,
    }


def stream_entry(kind: StreamType, tensor: Shape | None) -> dict[str, Any]:
    """A stream, and the shape of the tensor that it carries."""
    return {
        "shape": None if tensor is None else list(tensor),
        **type_entry(kind.type),
        "lanes": kind.lanes,
        "beats": kind.beats,
    }


class LayerReport:
    """Entries of all stages of a plan.

    Parameters
    ----------
    planned : Planned
        The plan, with predicted resources.
    synthesis : SynthesisResult or None
        What synthesis found, if it ran with its hierarchy kept.
    """

    def __init__(self, planned: Planned, synthesis: SynthesisResult | None) -> None:
        self.planned = planned
        self.synthesis = synthesis
        graph = planned.plan.graph
        # Stages keep the very operations of the graph's nodes; equal ones may occur twice.
        self.nodes = {id(node.op): node for node in graph}
        source = next(node for node in graph if isinstance(node.op, ig.Input))
        self.shapes: dict[str, Shape] = {planned.plan.input.name: graph.types[source.name].shape}

    def entries(self) -> list[dict[str, Any]]:
        """One entry a stage, in the order of the data flow; see docs/report.md."""
        return [self._entry(stage) for stage in self.planned.plan.stages]

    def _tensor(self, op: ig.IntOp) -> IntTensor:
        return self.planned.plan.graph.types[self.nodes[id(op)].name]

    def _entry(self, stage: AnyStage) -> dict[str, Any]:
        op, epilogue = _operations(stage)
        operand_shape = self.shapes[stage.inputs[0]]
        if op is not None:
            node = self.nodes[id(op)]
            operand_shape = self.planned.plan.graph.types[node.inputs[0]].shape
        if isinstance(stage, ArgMaxStage):
            result_shape: Shape = (1, 1, 1)
        elif epilogue is not None or op is not None:
            result_shape = self._tensor(epilogue or op).shape  # type: ignore[arg-type]
        else:
            result_shape = operand_shape
        self.shapes[stage.name] = result_shape
        macs, weights, weight_bits = (0, 0, None) if op is None else work(op, result_shape)
        operands = _operands(stage)
        shapes = [operand_shape] * len(operands)
        if isinstance(stage, ConcatStage):
            shapes = [self.shapes[name] for name in stage.inputs]
        return {
            "name": stage.name,
            "source": stage.source,
            "kind": _stage_kind(stage, operand_shape),
            "window": window_text(op.window)
            if isinstance(op, ig.Conv | ig.MaxPool | ig.SumPool)
            else None,
            "pe": stage.pe if isinstance(stage, ConvStage) else None,
            "simd": stage.simd if isinstance(stage, ConvStage) else None,
            "uses_dsp": _uses_dsp(stage),
            "operands": [
                stream_entry(kind, shape) for kind, shape in zip(operands, shapes, strict=True)
            ],
            "result": stream_entry(stage.result, result_shape),
            "macs": macs,
            "weights": weights,
            "weight_bits": weight_bits,
            "requantizer": requantizer_entry(epilogue, _accumulator(stage)),
            "cycles": _cycles(stage, operands),
            "fifo_depth": None if isinstance(stage, ForkStage) else stage.depth,
            "branches": [
                {"reader": reader, "fifo_depth": depth} for reader, depth in stage.branches
            ]
            if isinstance(stage, ForkStage)
            else [],
            "predicted": resources_entry(self.planned.costs[stage.name]),
            "synthesized": self._synthesized(stage),
        }

    def _synthesized(self, stage: AnyStage) -> dict[str, float] | None:
        """Resources of a stage's instances; None if synthesis does not tell them apart."""
        names = [stage.name]
        if isinstance(stage, ForkStage):
            names += [f"{stage.name}_{index}" for index in range(len(stage.branches))]
        found = {} if self.synthesis is None else self.synthesis.by_instance
        parts = [found[name] for name in names if name in found]
        return resources_entry(Resources.total(parts)) if parts else None


def _operations(stage: AnyStage) -> tuple[ig.IntOp | None, Epilogue | None]:
    """The graph's operation that a stage computes first, and the one that it ends with."""
    if isinstance(stage, ConvStage | PoolStage | PairStage):
        return stage.op, stage.epilogue
    if isinstance(stage, GatherStage | ConcatStage):
        return stage.op, None
    if isinstance(stage, ApplyStage):
        return stage.epilogue, stage.epilogue
    return None, None


def _operands(stage: AnyStage) -> tuple[StreamType, ...]:
    if isinstance(stage, PairStage | ConcatStage):
        return stage.operands
    return (stage.result,) if isinstance(stage, ForkStage) else (stage.operand,)


def _accumulator(stage: AnyStage) -> IntType | None:
    """What a stage's requantizer works on, or would."""
    if isinstance(stage, ConvStage | PoolStage | PairStage):
        return stage.accumulator
    return stage.operand.type if isinstance(stage, ApplyStage) else None


def _uses_dsp(stage: AnyStage) -> bool | None:
    """None for stages that multiply nothing, hence have no choice."""
    if isinstance(stage, ConvStage | PoolStage | PairStage | ApplyStage):
        return stage.use_dsp
    return None


def _stage_kind(stage: AnyStage, operand: Shape) -> str:
    if isinstance(stage, ConvStage | PoolStage | PairStage):
        return kind_of(stage.op, operand)
    if isinstance(stage, ApplyStage):
        return "requantize"
    if isinstance(stage, ArgMaxStage):
        return "argmax"
    if isinstance(stage, SoftmaxStage):
        return "softmax"
    if isinstance(stage, GatherStage | ConcatStage):
        return "gather" if isinstance(stage, GatherStage) else "concat"
    return "width converter" if isinstance(stage, WidthStage) else "fork"


def _cycles(stage: AnyStage, operands: tuple[StreamType, ...]) -> int:
    """Cycles an inference that a stage is busy at least: steps, input beats or output beats."""
    beats = max(stage.result.beats, *(kind.beats for kind in operands))
    if isinstance(stage, ConvStage | PoolStage):
        return max(stage.geometry.steps, beats)
    if isinstance(stage, SoftmaxStage):
        return softmax_steps(stage)
    return beats
