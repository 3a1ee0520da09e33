"""The hardware component of each stage, from the stage's integers."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np
from amaranth.hdl import Shape
from amaranth.lib import wiring
from amaranth.lib.data import ArrayLayout

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntType
from nn2rtl.plan.softmax import softmax_component
from nn2rtl.plan.stages import (
    MIN_DEPTH,
    AnyStage,
    ApplyStage,
    ArgMaxStage,
    ConcatStage,
    ConvStage,
    Epilogue,
    GatherStage,
    PairStage,
    PoolStage,
    SoftmaxStage,
    WidthStage,
    is_table,
)
from nn2rtl.primitives.argmax import ArgMax
from nn2rtl.primitives.concat import Concat
from nn2rtl.primitives.credits import CreditedPipe
from nn2rtl.primitives.engine import ConvEngine, WindowReduceEngine
from nn2rtl.primitives.fifo import fifo_latency
from nn2rtl.primitives.gather import GatherEngine
from nn2rtl.primitives.join import Join
from nn2rtl.primitives.lookup import Lookup
from nn2rtl.primitives.pipe_chain import PipeChain
from nn2rtl.primitives.product import Product
from nn2rtl.primitives.reduce import LaneReduce
from nn2rtl.primitives.requantize import Requantizer
from nn2rtl.primitives.thresholds import Thresholds
from nn2rtl.primitives.weighted_sum import WeightedSum
from nn2rtl.primitives.width import Downsizer, Upsizer


@dataclass(frozen=True)
class StageLatency:
    """Cycles from the step that issues an output to its place in the FIFO, and through that.

    Of several words that a step issues, the first one's.
    """

    pipe: int
    fifo: int


def shape_of(kind: IntType) -> Shape:
    """The hardware shape of an integer type."""
    return Shape(kind.width, kind.signed)


def epilogue_pipe(
    op: Epilogue, operand: IntType, result: IntType, lanes: int, use_dsp: bool
) -> wiring.Component:
    """The pipe of a step function."""
    reach = (operand.low, operand.high)
    if isinstance(op, ig.Requantize):
        return Requantizer(
            shape_of(operand), shape_of(result), lanes,
            [int(m) for m in op.multiplier], [int(b) for b in op.bias],
            op.shift, op.low, op.high, in_range=reach, use_dsp=use_dsp, half_even=op.half_even,
            split=op.split, step=(0,) if op.step is None else op.step.tolist(),
        )
    if isinstance(op, ig.Lookup) or is_table(op, operand):
        return Lookup(shape_of(operand), shape_of(result), lanes, table_of(op, operand))
    if not op.values.shape[1]:
        # One level: whatever comes in, the same goes out.
        return Requantizer(
            shape_of(operand), shape_of(result), lanes, [0], [op.low], 0, op.low, op.low,
            in_range=reach,
        )
    rows = [sorted(int(t) for t in row) for row in op.values]
    return Thresholds(
        shape_of(operand), shape_of(result), lanes, rows, op.low,
        [bool(d) for d in op.decreasing], in_range=reach,
    )


def table_of(op: ig.Lookup | ig.Thresholds, operand: IntType) -> list[int]:
    """Results for all bit patterns of an operand; of one that does not occur, the nearest's."""
    span = IntType.of_width(operand.width, operand.signed)
    x = np.arange(span.low, span.high + 1)
    if isinstance(op, ig.Lookup):
        table: list[int] = op.table[np.clip(x - op.low, 0, len(op.table) - 1)].tolist()
        return table
    reached = x[:, None] <= op.values if op.decreasing[0] else x[:, None] >= op.values
    return [op.low + int(count) for count in reached.sum(axis=1)]


def _epilogue(stage: ConvStage | PoolStage | PairStage) -> list[wiring.Component]:
    if stage.epilogue is None:
        return []
    kind = stage.result
    return [
        epilogue_pipe(stage.epilogue, stage.accumulator, kind.type, kind.lanes, stage.use_dsp)
    ]


def component(stage: AnyStage) -> wiring.Component:
    """The component of a stage: a stream ``i`` (of a pair: of a struct a, b; of a concatenation:
    ``i0``, ``i1``, ...) and a stream ``o``.

    Raises
    ------
    TypeError
        For a fork, which `elaborate` builds of primitives.
    """
    if isinstance(stage, ConvStage):
        return _conv(stage)
    if isinstance(stage, PoolStage):
        return _pool(stage)
    if isinstance(stage, PairStage):
        return CreditedPipe(PipeChain([_pair(stage), *_epilogue(stage)]), stage.depth)
    if isinstance(stage, ApplyStage):
        operand, result = stage.operand, stage.result
        pipe = epilogue_pipe(
            stage.epilogue, operand.type, result.type, operand.lanes, stage.use_dsp
        )
        return CreditedPipe(pipe, stage.depth)
    if isinstance(stage, ArgMaxStage):
        operand = stage.operand
        pipe = ArgMax(
            shape_of(operand.type), operand.lanes, operand.beats, shape_of(stage.result.type)
        )
        return CreditedPipe(pipe, stage.depth, inputs_per_output=operand.beats)
    if isinstance(stage, GatherStage):
        operand = stage.operand
        return GatherEngine(
            stage.program, ArrayLayout(shape_of(operand.type), operand.lanes),
            shape_of(stage.result.type), stage.fill, depth=stage.depth, capacity=stage.capacity,
        )
    if isinstance(stage, ConcatStage):
        shapes, shape = [shape_of(k.type) for k in stage.operands], shape_of(stage.result.type)
        if stage.chunks:
            return Concat(shapes, shape, stage.result.lanes, stage.chunks, stage.depth)
        return Join(shapes, shape, [kind.lanes for kind in stage.operands], stage.depth)
    if isinstance(stage, SoftmaxStage):
        return softmax_component(stage)
    if isinstance(stage, WidthStage):
        narrow, wide = sorted((stage.operand.lanes, stage.result.lanes))
        converter = Upsizer if stage.operand.lanes == narrow else Downsizer
        return converter(shape_of(stage.result.type), narrow, wide // narrow, stage.depth)
    raise TypeError(f"no component for {type(stage).__name__}")


def _pair(stage: PairStage) -> wiring.Component:
    shapes = [shape_of(kind.type) for kind in stage.operands]
    accumulator, lanes = shape_of(stage.accumulator), stage.result.lanes
    if isinstance(stage.op, ig.WeightedSum):
        return WeightedSum(shapes, accumulator, lanes, stage.op.weights)
    return Product(
        shapes, accumulator, lanes, stage.op.offsets,
        in_ranges=[(kind.type.low, kind.type.high) for kind in stage.operands],
        use_dsp=stage.use_dsp,
    )


def _conv(stage: ConvStage) -> wiring.Component:
    weight = stage.op.weight
    _, height, width, _ = weight.shape
    kind = IntType(min(int(weight.min()), 0), max(int(weight.max()), 0))
    g, lanes = stage.geometry, stage.simd // stage.blocks
    # Step order: block, neuron fold, kernel row, kernel column, word; in it PE, then its lanes.
    words = weight.reshape(
        g.blocks, g.outer, stage.pe, height, width, g.block_words, lanes
    ).transpose(0, 1, 3, 4, 5, 2, 6)
    return ConvEngine(
        g,
        act_shape=shape_of(stage.operand.type),
        weight_shape=shape_of(kind),
        acc_shape=shape_of(stage.accumulator),
        pe=stage.pe,
        simd=stage.simd,
        weights=words.reshape(-1, stage.pe, lanes).tolist(),
        blocks=stage.blocks,
        epilogue=_epilogue(stage),
        out_lanes=stage.result.lanes,
        depth=stage.depth,
        capacity=stage.capacity,
        pad_value=stage.op.pad_value if any(stage.op.window.pads) else 0,
        use_dsp=stage.use_dsp,
    )


def _pool(stage: PoolStage) -> wiring.Component:
    operand = stage.operand
    span = operand.type.low, operand.type.high
    reduce = LaneReduce(
        shape_of(operand.type), shape_of(stage.accumulator), operand.lanes, stage.op.window.taps,
        "max" if isinstance(stage.op, ig.MaxPool) else "add", in_range=span,
    )
    pad_value = operand.type.low if isinstance(stage.op, ig.MaxPool) else stage.op.pad_value
    return WindowReduceEngine(
        stage.geometry, ArrayLayout(shape_of(operand.type), operand.lanes), reduce,
        epilogue=_epilogue(stage), depth=stage.depth, capacity=stage.capacity, pad_value=pad_value,
    )


def stage_latency(stage: AnyStage) -> StageLatency:
    """Latencies of a stage's component."""
    # Only the FIFO depends on the depth, of which many are tried.
    depth = max(MIN_DEPTH, stage.group_words) if isinstance(stage, ConvStage) else MIN_DEPTH
    parts = ((part.name, getattr(stage, part.name)) for part in fields(stage))
    key = tuple((name, depth if name == "depth" else value) for name, value in parts)
    kind: Any = type(stage)
    return StageLatency(_pipe_latency(kind, key), fifo_latency(stage.depth))


@lru_cache(maxsize=4096)
def _pipe_latency(kind: type[Any], key: tuple[tuple[str, Any], ...]) -> int:
    part: Any = component(kind(**dict(key)))
    # Only asked for its latency: Amaranth would warn that it is never elaborated.
    _silence(part)
    if issubclass(kind, ConvStage | PoolStage | GatherStage | SoftmaxStage):
        return int(part.pipe_latency)
    return int(part.latency) - fifo_latency(MIN_DEPTH)


def fork_latency(depth: int) -> int:
    """Cycles through a branch of a fork."""
    return fifo_latency(depth)


def _silence(part: Any) -> None:
    part._MustUse__silence = True
    for inner in vars(part).values():
        for piece in inner if isinstance(inner, list | tuple) else [inner]:
            if isinstance(piece, wiring.Component):
                _silence(piece)
