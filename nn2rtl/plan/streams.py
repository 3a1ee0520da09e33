"""From the integer graph and a folding of each layer to stages joined by streams."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

from nn2rtl.ir import integer as ig
from nn2rtl.ir.graph import Node
from nn2rtl.ir.types import IntTensor
from nn2rtl.plan.concat import concat_chunks, concat_lanes
from nn2rtl.plan.cost_buffer import run_ahead
from nn2rtl.plan.gather import copy_program, gather_capacity, gather_lanes, read_program
from nn2rtl.plan.lanes import choose_lanes
from nn2rtl.plan.serial import output_lanes
from nn2rtl.plan.softmax import softmax_slots
from nn2rtl.plan.stages import (
    EPILOGUES,
    MIN_DEPTH,
    AnyStage,
    ApplyStage,
    ArgMaxStage,
    ConcatStage,
    ConvStage,
    ForkStage,
    GatherStage,
    InputStage,
    PairStage,
    Plan,
    PoolStage,
    SoftmaxStage,
    StreamType,
    WidthStage,
    groups_at_once,
    tensor_stream,
)
from nn2rtl.primitives.geometry import WindowGeometry


@dataclass(frozen=True)
class Folding:
    """How much of a layer is computed at once.

    Parameters
    ----------
    pe : int
        Output channels of a convolution (of a pooling: channels); divides them.
    simd : int
        Input channels of a convolution; divides them. For a pooling equal to `pe`. Of a grouped
        convolution, both lie within one group, or both make the same number of whole groups.
    use_dsp : bool
        Products in DSP slices rather than LUTs.
    """

    pe: int
    simd: int
    use_dsp: bool = False


@dataclass(frozen=True, eq=False)
class Layer:
    """A node of the integer graph that becomes a stage, with the epilogue fused into it.

    Parameters
    ----------
    node : Node
        The operation.
    epilogue : Node or None
        Step function of its result, if nothing else reads that.
    inputs : tuple of str
        Names of the tensors that it reads, reshapes left out.
    """

    node: Node[ig.IntOp]
    epilogue: Node[ig.IntOp] | None
    inputs: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the tensor that it yields."""
        return self.epilogue.name if self.epilogue else self.node.name


def layers(graph: ig.IntegerGraph) -> list[Layer]:
    """The layers of a graph, in order; input and reshapes are none."""
    alias: dict[str, str] = {}
    fused: set[str] = set()
    result = []
    for node in graph:
        inputs = tuple(alias.get(name, name) for name in node.inputs)
        if isinstance(node.op, ig.Reshape):
            alias[node.name] = inputs[0]
        elif not isinstance(node.op, ig.Input) and node.name not in fused:
            readers = graph.consumers(node.name)
            epilogue = None
            if (
                not isinstance(node.op, (ig.ArgMax, ig.Concat, ig.Gather, ig.Softmax, *EPILOGUES))
                and len(readers) == 1
                and isinstance(readers[0].op, EPILOGUES)
                and node.name not in graph.outputs
            ):
                epilogue = readers[0]
                fused.add(epilogue.name)
            result.append(Layer(node, epilogue, inputs))
    return result


def window_folds(
    op: ig.Conv | ig.MaxPool | ig.SumPool, channels: int, folding: Folding
) -> tuple[int, int, int]:
    """Words a pixel, neuron folds and blocks of the line buffer of a folded layer.

    The steps of a window are all taps of each word in each neuron fold.
    """
    words = channels // folding.simd
    if not isinstance(op, ig.Conv):
        return words, 1, words
    blocks = op.groups // groups_at_once(op, folding.simd)
    return words, op.weight.shape[0] // (folding.pe * blocks), blocks


def layer_geometry(
    op: ig.Conv | ig.MaxPool | ig.SumPool, tensor: IntTensor, folding: Folding
) -> WindowGeometry:
    """The line buffer's geometry of a folded layer."""
    height, width, channels = tensor.shape
    window = op.window
    words, outer, blocks = window_folds(op, channels, folding)
    return WindowGeometry(
        height=height,
        width=width,
        words=words,
        kernel=window.kernel,
        stride=window.stride,
        pads=window.pads,
        dilation=window.dilation,
        outer=outer,
        blocks=blocks,
    )


def line_buffer_capacity(g: WindowGeometry) -> int:
    """Words of a line buffer that lets its writer run ahead of the reader."""
    if g.release_steps == 1:
        return 2
    return 1 << (g.minimum_capacity + g.words * run_ahead(g) - 1).bit_length()


class StreamBuilder:
    """Builds the stages of a graph for given foldings."""

    def __init__(self, graph: ig.IntegerGraph, foldings: dict[str, Folding]) -> None:
        self.graph = graph
        self.foldings = foldings
        self.layers = layers(graph)
        self.stages: list[AnyStage] = []
        self.names: set[str] = {"input"}
        self.streams: dict[str, tuple[str, StreamType]] = {}
        self.demands: dict[str, int] = {}

    def build(self) -> Plan:
        """The plan, with FIFOs of provisional depths."""
        source = next(node for node in self.graph if isinstance(node.op, ig.Input))
        reader = next(layer for layer in self.layers if source.name in layer.inputs)
        lanes = self._wanted_lanes(reader) or self._demand(source.name)
        tensor = self.graph.types[source.name]
        start = InputStage("input", tensor_stream(tensor, gcd(lanes, tensor.channels)))
        self.streams[source.name] = (start.name, start.result)
        self._fork(source.name)
        for layer in self.layers:
            self._add(layer)
            self._fork(layer.name)
        return Plan(self.graph, start, tuple(self.stages))

    # -- helpers ---------------------------------------------------------------------------------

    def _wanted_lanes(self, layer: Layer) -> int | None:
        """Lanes of its operand that a layer needs; None if any will do."""
        if isinstance(layer.node.op, ig.Conv | ig.MaxPool | ig.SumPool):
            return self.foldings[layer.node.name].simd
        return 1 if isinstance(layer.node.op, ig.Softmax) else None

    def _demand(self, tensor: str) -> int:
        """Most lanes that a reader of a tensor wants, seen through layers that take any; or 1."""
        if tensor not in self.demands:
            readers = [layer for layer in self.layers if tensor in layer.inputs]
            self.demands[tensor] = max(
                (self._wanted_lanes(layer) or self._demand(layer.name) for layer in readers),
                default=1,
            )
        return self.demands[tensor]

    def _unique(self, hint: str) -> str:
        """A name that is legal everywhere, whatever the model calls its nodes."""
        word = re.sub(r"[^a-z0-9]+", "_", hint.lower()).strip("_") or "stage"
        base = name = f"n_{word}"[:40]
        count = 1
        while name in self.names:
            count += 1
            name = f"{base}_{count}"
        self.names.add(name)
        return name

    def _read(self, tensor: str, reader: Layer, lanes: int | None) -> tuple[str, StreamType]:
        """The stream of a tensor, converted to the lanes that its reader needs."""
        name, kind = self.streams[tensor]
        wanted = lanes or kind.lanes
        for target in (gcd(kind.lanes, wanted), wanted):
            if kind.lanes != target:
                result = StreamType(kind.type, target, kind.beats * kind.lanes // target)
                stage = WidthStage(
                    self._unique(f"{reader.node.name}_in"), reader.node.source, (name,), result,
                    4, kind,
                )
                self.stages.append(stage)
                name, kind = stage.name, result
        return name, kind

    def _fork(self, tensor: str) -> None:
        """Give each of several readers a FIFO of its own."""
        readers = [layer for layer in self.layers for name in layer.inputs if name == tensor]
        if len(readers) < 2:
            return
        name, kind = self.streams[tensor]
        stage = ForkStage(self._unique(f"{tensor}_fork"), tensor, (name,), kind, 0, ())
        self.stages.append(stage)
        self.streams[tensor] = (stage.name, kind)

    def _add(self, layer: Layer) -> None:
        op = layer.node.op
        stage: AnyStage
        if isinstance(op, ig.Conv | ig.MaxPool | ig.SumPool):
            stage = self._windowed(layer, op)
        elif isinstance(op, ig.WeightedSum | ig.Product):
            stage = self._pair(layer, op)
        elif isinstance(op, ig.Gather):
            stage = self._gather(layer, op)
        elif isinstance(op, ig.Concat):
            stage = self._concat(layer, op)
        elif isinstance(op, ig.Softmax):
            stage = self._softmax(layer, op)
        else:
            stage = self._plain(layer)
        self.stages.append(stage)
        self.streams[layer.name] = (stage.name, stage.result)

    def _windowed(self, layer: Layer, op: ig.Conv | ig.MaxPool | ig.SumPool) -> AnyStage:
        node, folding = layer.node, self.foldings[layer.node.name]
        stream, kind = self._read(layer.inputs[0], layer, folding.simd)
        geometry = layer_geometry(op, self.graph.types[node.inputs[0]], folding)
        parts: dict[str, Any] = {
            "name": self._unique(node.name),
            "source": node.source,
            "inputs": (stream,),
            "result": tensor_stream(self.graph.types[layer.name], folding.pe),
            "depth": MIN_DEPTH,
            "operand": kind,
            "op": op,
            "geometry": geometry,
            "capacity": line_buffer_capacity(geometry),
            "accumulator": self.graph.types[node.name].type,
            "epilogue": layer.epilogue.op if layer.epilogue else None,
            "use_dsp": folding.use_dsp,
        }
        if not isinstance(op, ig.Conv):
            return PoolStage(**parts)
        result = parts["result"]
        lanes = output_lanes(
            parts["epilogue"], parts["accumulator"], result.type, folding.pe, op.weight.shape[0],
            folding.use_dsp, geometry.group_steps, self._demand(layer.name),
        )
        parts["result"] = tensor_stream(self.graph.types[layer.name], lanes)
        parts["depth"] = max(MIN_DEPTH, folding.pe // lanes)
        return ConvStage(pe=folding.pe, **parts)

    def _pair(self, layer: Layer, op: ig.WeightedSum | ig.Product) -> PairStage:
        node = layer.node
        lanes = min(self.streams[name][1].lanes for name in layer.inputs)
        (a, kind_a), (b, kind_b) = (self._read(name, layer, lanes) for name in layer.inputs)
        epilogue: Any = layer.epilogue.op if layer.epilogue else None
        return PairStage(
            self._unique(node.name), node.source, (a, b),
            tensor_stream(self.graph.types[layer.name], lanes), 2, (kind_a, kind_b), op,
            self.graph.types[node.name].type, epilogue, False,
        )

    def _gather(self, layer: Layer, op: ig.Gather) -> GatherStage:
        node = layer.node
        operand, result = self.graph.types[node.inputs[0]], self.graph.types[node.name]
        lanes = choose_lanes(
            gather_lanes(op, operand, result),
            [(operand.size, self.streams[layer.inputs[0]][1].lanes)],
            result.size, self._demand(layer.name), result.type.width,
        )
        stream, kind = self._read(layer.inputs[0], layer, lanes)
        program = read_program(op, operand, result, lanes, node.source)
        return GatherStage(
            self._unique(node.name), node.source, (stream,), tensor_stream(result, lanes), 2,
            kind, op, program, gather_capacity(program, kind.bits),
            op.fill if (op.index < 0).any() else 0,
        )

    def _concat(self, layer: Layer, op: ig.Concat) -> ConcatStage:
        node = layer.node
        operands = [self.graph.types[name] for name in node.inputs]
        result = self.graph.types[node.name]
        own = [self.streams[name][1].lanes for name in layer.inputs]
        lanes = concat_lanes(
            op, list(zip(operands, own, strict=True)), result, self._demand(layer.name)
        )
        chunks = concat_chunks(op, operands, lanes)
        streams: list[tuple[str, StreamType]] = []
        for tensor, at_once in zip(layer.inputs, lanes, strict=True):
            stream, kind = self._read(tensor, layer, at_once)
            if stream in [name for name, _ in streams]:
                # A stream that is read twice: each branch of a fork has a reader of its own.
                program = copy_program(kind.beats)
                copy = GatherStage(
                    self._unique(f"{node.name}_in"), node.source, (stream,), kind, 2, kind,
                    None, program, gather_capacity(program, kind.bits), 0,
                )
                self.stages.append(copy)
                stream = copy.name
            streams.append((stream, kind))
        return ConcatStage(
            self._unique(node.name), node.source, tuple(name for name, _ in streams),
            tensor_stream(result, lanes[0] if chunks else result.channels), 2,
            tuple(kind for _, kind in streams), op, chunks,
        )

    def _softmax(self, layer: Layer, op: ig.Softmax) -> SoftmaxStage:
        stream, kind = self._read(layer.inputs[0], layer, 1)
        tensor = self.graph.types[layer.name]
        result = tensor_stream(tensor, 1)
        return SoftmaxStage(
            self._unique(layer.node.name), layer.node.source, (stream,), result, 2, kind, op,
            tensor.channels, softmax_slots(op, kind, tensor.channels, result),
        )

    def _plain(self, layer: Layer) -> ApplyStage | ArgMaxStage:
        node, op = layer.node, layer.node.op
        stream, kind = self._read(layer.inputs[0], layer, None)
        result = self.graph.types[layer.name]
        name = self._unique(node.name)
        if isinstance(op, EPILOGUES):
            return ApplyStage(
                name, node.source, (stream,), StreamType(result.type, kind.lanes, kind.beats), 2,
                kind, op, result.channels, False,
            )
        if isinstance(op, ig.ArgMax):
            one = StreamType(result.type, 1, 1)
            return ArgMaxStage(name, node.source, (stream,), one, 2, kind)
        raise TypeError(f"no hardware for {type(op).__name__}")


def complete_forks(plan: Plan, depth: int) -> Plan:
    """Fill in the readers of each fork, with FIFOs of the given depth."""
    stages: list[AnyStage] = []
    for stage in plan.stages:
        if isinstance(stage, ForkStage):
            readers = [s.name for s in plan.stages for i in s.inputs if i == stage.name]
            stage = replace(stage, branches=tuple((name, depth) for name in readers))
        stages.append(stage)
    return replace(plan, stages=tuple(stages))
