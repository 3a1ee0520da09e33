"""Predicted resources (coarse)."""

from __future__ import annotations

from nn2rtl.boards.resources import Resources
from nn2rtl.ir import integer as ig
from nn2rtl.plan.stages import AnyStage, ConvStage
from nn2rtl.plan.streams import Folding, Layer


def layer_cost(graph: ig.IntegerGraph, layer: Layer, folding: Folding) -> Resources:
    """Resources of a folded layer."""
    if isinstance(layer.node.op, ig.Conv):
        products = folding.pe * folding.simd
        return Resources(lut=100 + products * 40, ff=100 + products * 30)
    return Resources(lut=100 + folding.pe * 10)


def stage_cost(stage: AnyStage) -> Resources:
    """Resources of a stage."""
    if isinstance(stage, ConvStage):
        return Resources(lut=100 + stage.pe * stage.simd * 40)
    return Resources(lut=100)
