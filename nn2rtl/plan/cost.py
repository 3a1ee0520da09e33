"""Predicted resources of a stage, and of a layer before it is a stage.

Both go through the same formulae (`cost_parts`, `cost_mac`, `cost_pipes`). The search asks for
thousands of foldings, so nothing is built here, and what foldings share is cached.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from nn2rtl.boards.resources import Resources
from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntType
from nn2rtl.plan import cost_parts as parts
from nn2rtl.plan import cost_pipes as pipes
from nn2rtl.plan.concat import concat_area
from nn2rtl.plan.cost_buffer import Buffer, line_buffer, pixel_geometry
from nn2rtl.plan.cost_mac import mac_array
from nn2rtl.plan.cost_parts import Area
from nn2rtl.plan.cost_sums import weighted_sum
from nn2rtl.plan.gather import gather_area
from nn2rtl.plan.product import product
from nn2rtl.plan.serial import PIPE_CYCLES, covered_depth, output_area, output_lanes
from nn2rtl.plan.softmax import softmax_area
from nn2rtl.plan.stages import (
    EPILOGUES,
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
    WidthStage,
    groups_at_once,
)
from nn2rtl.plan.streams import Folding, Layer, window_folds
from nn2rtl.primitives.rom import rom_memory


@dataclass(frozen=True)
class _Weights:
    """Statistics of a layer's weights.

    Parameters
    ----------
    type : IntType
        Range, as the hardware takes it.
    varying : int
        Bits that are not the same in all weights: no memory keeps the others.
    same : tuple of float
        For each of these but the highest, the share of weights in which it equals the one above.
    """

    type: IntType
    varying: int
    same: tuple[float, ...]

    def columns(self, words: int, numbers: int) -> float:
        """Columns of a ROM that differ: a bit that repeats the one above adds none."""
        if words > 64:
            return float(numbers * self.varying)
        fresh = bool(self.varying) + sum(1.0 - share**words for share in self.same)
        return parts.different_columns(numbers * fresh, words)


@lru_cache(maxsize=1024)
def _weights(op: ig.Conv) -> _Weights:
    weight = op.weight
    kind = IntType(min(int(weight.min()), 0), max(int(weight.max()), 0))
    planes = [weight >> bit & 1 for bit in range(kind.width)]
    planes = [plane for plane in planes if plane.min() != plane.max()]
    same = tuple(float(np.mean(a == b)) for a, b in pairwise(planes))
    return _Weights(kind, len(planes), same)


def _conv(
    op: ig.Conv,
    buffer: Buffer,
    capacity: int,
    operand: IntType,
    accumulator: IntType,
    result: IntType,
    epilogue: Epilogue | None,
    folding: Folding,
    out_lanes: int,
    depth: int,
) -> Area:
    pe, simd, use_dsp = folding.pe, folding.simd, folding.use_dsp
    weights = _weights(op)
    words = buffer.blocks * buffer.outer * buffer.group_steps
    lanes = simd // groups_at_once(op, simd)
    block = words > 1 and rom_memory(words) == "block"
    return (
        line_buffer(buffer, capacity, operand.width * simd)
        + parts.rom(words, weights.columns(words, pe * lanes), block)
        + mac_array(
            (operand.width, operand.signed), (weights.type.width, weights.type.signed),
            accumulator.width, pe, simd, use_dsp, lanes, (weights.type.low, weights.type.high),
        )
        + output_area(
            epilogue, accumulator, result, pe, out_lanes, op.weight.shape[0], use_dsp, depth
        )
        + Area(1)
    )


def _pool(
    op: ig.MaxPool | ig.SumPool,
    buffer: Buffer,
    capacity: int,
    operand: IntType,
    accumulator: IntType,
    result: IntType,
    epilogue: Epilogue | None,
    folding: Folding,
    channels: int,
    depth: int,
) -> Area:
    lanes = folding.pe
    taps = buffer.pixel.kernel[0] * buffer.pixel.kernel[1]
    return (
        line_buffer(buffer, capacity, operand.width * lanes)
        + pipes.lane_reduce(operand, taps, isinstance(op, ig.MaxPool), lanes)
        + pipes.epilogue(epilogue, accumulator, result.width, lanes, channels, folding.use_dsp)
        + parts.credits(depth)
        + parts.fifo(depth, result.width * lanes)
        + Area(1)
    )


def layer_cost(graph: ig.IntegerGraph, layer: Layer, folding: Folding) -> Resources:
    """Resources of a convolution or pooling for a folding, without converters around it.

    Parameters
    ----------
    graph : IntegerGraph
        That it is part of.
    layer : Layer
        With its epilogue.
    folding : Folding
        To try.

    Raises
    ------
    TypeError
        If the layer is none that can be folded.
    """
    op = layer.node.op
    if not isinstance(op, ig.Conv | ig.MaxPool | ig.SumPool):
        raise TypeError(f"{type(op).__name__} has no folding")
    types = graph.types
    operand = types[layer.node.inputs[0]]
    accumulator, result = types[layer.node.name].type, types[layer.name].type
    pixel = pixel_geometry(op, operand.shape[0], operand.shape[1])
    buffer = Buffer(pixel, *window_folds(op, operand.channels, folding))
    spacing = buffer.group_steps
    epilogue = _epilogue_of(layer)
    if isinstance(op, ig.Conv):
        lanes = output_lanes(
            epilogue, accumulator, result, folding.pe, op.weight.shape[0], folding.use_dsp, spacing
        )
        depth = covered_depth(PIPE_CYCLES, spacing, folding.pe // lanes)
        area = _conv(op, buffer, buffer.capacity, operand.type, accumulator, result, epilogue,
                     folding, lanes, depth)
    else:
        depth = covered_depth(PIPE_CYCLES, spacing)
        area = _pool(op, buffer, buffer.capacity, operand.type, accumulator, result, epilogue,
                     folding, operand.channels, depth)
    return area.resources()


def _epilogue_of(layer: Layer) -> Epilogue | None:
    op = layer.epilogue.op if layer.epilogue else None
    if op is None or isinstance(op, EPILOGUES):
        return op
    raise TypeError(f"{type(op).__name__} is no epilogue")


def stage_cost(stage: AnyStage) -> Resources:
    """Resources of a stage; of a fork, with the FIFOs of its branches."""
    return _stage_area(stage).resources()


def _stage_area(stage: AnyStage) -> Area:
    result = stage.result
    if isinstance(stage, ConvStage | PoolStage):
        g, operand = stage.geometry, stage.operand
        buffer = Buffer(pixel_geometry(stage.op, g.height, g.width), g.words, g.outer, g.blocks)
        if isinstance(stage, ConvStage):
            folding = Folding(stage.pe, stage.simd, stage.use_dsp)
            return _conv(stage.op, buffer, stage.capacity, operand.type, stage.accumulator,
                         result.type, stage.epilogue, folding, result.lanes, stage.depth)
        folding = Folding(result.lanes, operand.lanes, stage.use_dsp)
        return _pool(stage.op, buffer, stage.capacity, operand.type, stage.accumulator,
                     result.type, stage.epilogue, folding, g.words * operand.lanes, stage.depth)
    if isinstance(stage, PairStage):
        a, b = (operand.type for operand in stage.operands)
        channels = stage_channels(stage.epilogue, result.lanes)
        if isinstance(stage.op, ig.Product):
            pair = product((a, b), stage.op.offsets, result.lanes, stage.use_dsp)
        else:
            pair = weighted_sum(a, b, stage.op.weights, result.lanes)
        return (
            pair
            + pipes.epilogue(stage.epilogue, stage.accumulator, result.type.width, result.lanes,
                             channels, stage.use_dsp)
            + parts.credited(stage.depth, result.bits)
        )
    if isinstance(stage, ApplyStage):
        kind = stage.operand
        return pipes.epilogue(
            stage.epilogue, kind.type, result.type.width, kind.lanes, stage.channels, stage.use_dsp
        ) + parts.credited(stage.depth, result.bits)
    if isinstance(stage, ArgMaxStage):
        kind = stage.operand
        return pipes.argmax(kind.type.width, kind.lanes, kind.beats) + parts.credited(
            stage.depth, result.bits, kind.beats
        )
    if isinstance(stage, SoftmaxStage):
        return softmax_area(stage)
    if isinstance(stage, GatherStage):
        return gather_area(stage)
    if isinstance(stage, ConcatStage):
        return concat_area(stage)
    if isinstance(stage, WidthStage):
        build = parts.upsizer if stage.operand.lanes < result.lanes else parts.downsizer
        return build(stage.operand.bits, result.bits, stage.depth)
    if isinstance(stage, ForkStage):
        return parts.fork(len(stage.branches), [depth for _, depth in stage.branches], result.bits)
    raise TypeError(f"no cost of {type(stage).__name__}")


def stage_channels(epilogue: Epilogue | None, lanes: int) -> int:
    """Channels of a sum's epilogue: those that its constants are given for."""
    if isinstance(epilogue, ig.Thresholds):
        return max(len(epilogue.values), len(epilogue.decreasing), lanes)
    if isinstance(epilogue, ig.Requantize):
        return max(epilogue.multiplier.size, epilogue.bias.size, lanes)
    return lanes
