"""Stages: what the planner decides for each piece of hardware; frozen, and all of it in integers.

A planned network is a list of stages in the order of the data flow. Each stage reads and yields
streams; a stream is known by the name of the stage that yields it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.primitives.geometry import WindowGeometry
from nn2rtl.primitives.read_program import ReadProgram

Epilogue: TypeAlias = ig.Requantize | ig.Thresholds | ig.Lookup
EPILOGUES = (ig.Requantize, ig.Thresholds, ig.Lookup)

MIN_DEPTH = 2
"""Least depth of an output FIFO."""
MAX_TABLE_WIDTH = 8
"""Widest operand of a step function that is looked up in LUTs."""


@dataclass(frozen=True)
class StreamType:
    """A stream of `beats` beats an inference, each of `lanes` integers."""

    type: IntType
    lanes: int
    beats: int

    @property
    def bits(self) -> int:
        """Bits of a beat."""
        return self.type.width * self.lanes


def groups_at_once(op: ig.Conv, simd: int) -> int:
    """Groups of a convolution that are computed side by side with `simd` input channels."""
    return max(1, simd // int(op.weight.shape[3]))


@dataclass(frozen=True, eq=False)
class Stage:
    """What all stages have.

    Parameters
    ----------
    name : str
        Unique; a legal hardware name.
    source : str
        The model's node that it stems from.
    inputs : tuple of str
        Names of the stages that it reads.
    result : StreamType
        What it yields.
    depth : int
        Places of its output FIFO.
    """

    name: str
    source: str
    inputs: tuple[str, ...]
    result: StreamType
    depth: int


@dataclass(frozen=True, eq=False)
class ConvStage(Stage):
    """Convolution or dense layer: line buffer and PE x SIMD multiply-accumulate array.

    `result` may have fewer lanes than PE: then outputs take turns in the epilogue.

    Parameters
    ----------
    operand : StreamType
        The input stream, of SIMD lanes.
    op : Conv
        Weights and geometry.
    geometry : WindowGeometry
        Of the line buffer; its words are of SIMD elements.
    capacity : int
        Words of the line buffer, a power of two.
    accumulator : IntType
        Range of the finished sums.
    pe : int
        Output channels computed at once.
    epilogue : Requantize, Thresholds, Lookup or None
        Applied to the sums.
    use_dsp : bool
        Products in DSP slices rather than LUTs.
    """

    operand: StreamType
    op: ig.Conv
    geometry: WindowGeometry
    capacity: int
    accumulator: IntType
    pe: int
    epilogue: Epilogue | None
    use_dsp: bool

    @property
    def simd(self) -> int:
        """Input channels computed at once."""
        return self.operand.lanes

    @property
    def blocks(self) -> int:
        """Groups of channels computed side by side."""
        return groups_at_once(self.op, self.simd)

    @property
    def group_words(self) -> int:
        """Words in which the outputs computed at once pass the epilogue, one after the other."""
        return self.pe // self.result.lanes


@dataclass(frozen=True, eq=False)
class PoolStage(Stage):
    """Max or sum pooling: line buffer and lane-wise reduction. Parameters as in `ConvStage`."""

    operand: StreamType
    op: ig.MaxPool | ig.SumPool
    geometry: WindowGeometry
    capacity: int
    accumulator: IntType
    epilogue: Epilogue | None
    use_dsp: bool


@dataclass(frozen=True, eq=False)
class PairStage(Stage):
    """Weighted sum or product of two streams in step. Parameters as in `ConvStage`."""

    operands: tuple[StreamType, StreamType]
    op: ig.WeightedSum | ig.Product
    accumulator: IntType
    epilogue: Epilogue | None
    use_dsp: bool


@dataclass(frozen=True, eq=False)
class ApplyStage(Stage):
    """A step function of each element of a stream of `channels` channels."""

    operand: StreamType
    epilogue: Epilogue
    channels: int
    use_dsp: bool


@dataclass(frozen=True, eq=False)
class ArgMaxStage(Stage):
    """Index of the largest element."""

    operand: StreamType


@dataclass(frozen=True, eq=False)
class GatherStage(Stage):
    """Words of the operand in another order.

    Parameters
    ----------
    op : Gather or None
        What it computes; None for a mere FIFO.
    program : ReadProgram
        Which words.
    capacity : int
        Words of the buffer, a power of two.
    fill : int
        Element of words that are none of the operand's.
    """

    operand: StreamType
    op: ig.Gather | None
    program: ReadProgram
    capacity: int
    fill: int


@dataclass(frozen=True, eq=False)
class ConcatStage(Stage):
    """Streams in turn, `chunks` words of each, again and again; without chunks side by side."""

    operands: tuple[StreamType, ...]
    op: ig.Concat
    chunks: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class SoftmaxStage(Stage):
    """Softmax of each vector of `channels` elements, one element a beat.

    Parameters
    ----------
    slots : int
        Vectors that are kept at the same time.
    """

    operand: StreamType
    op: ig.Softmax
    channels: int
    slots: int


@dataclass(frozen=True, eq=False)
class WidthStage(Stage):
    """Other number of lanes; one number divides the other."""

    operand: StreamType


@dataclass(frozen=True, eq=False)
class ForkStage(Stage):
    """The same stream for several readers, each with a FIFO of its own.

    Parameters
    ----------
    branches : tuple of (str, int)
        Reading stage and places of its FIFO. (`depth` is not used.)
    """

    branches: tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class InputStage:
    """The core's input port."""

    name: str
    result: StreamType


AnyStage: TypeAlias = (
    ConvStage
    | PoolStage
    | PairStage
    | ApplyStage
    | ArgMaxStage
    | GatherStage
    | ConcatStage
    | SoftmaxStage
    | WidthStage
    | ForkStage
)


@dataclass(frozen=True, eq=False)
class Plan:
    """A planned network.

    Parameters
    ----------
    graph : IntegerGraph
        What it computes.
    input : InputStage
        The input stream.
    stages : tuple of stages
        In the order of the data flow; the last one feeds the output port.
    """

    graph: ig.IntegerGraph
    input: InputStage
    stages: tuple[AnyStage, ...]

    @property
    def output(self) -> AnyStage:
        """The stage that feeds the output port."""
        return self.stages[-1]


def is_table(op: Epilogue, operand: IntType) -> bool:
    """Whether a step function is looked up rather than computed.

    A narrow operand, with the same function in all channels, takes few LUTs and one cycle.
    """
    if isinstance(op, ig.Lookup):
        return True
    narrow = operand.width <= MAX_TABLE_WIDTH
    return isinstance(op, ig.Thresholds) and op.values.shape == (1, op.values.size) and narrow


def tensor_stream(tensor: IntTensor, lanes: int) -> StreamType:
    """A tensor as a stream of the given lanes."""
    return StreamType(tensor.type, lanes, tensor.size // lanes)
