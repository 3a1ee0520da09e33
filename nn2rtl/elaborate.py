"""From a plan to one Amaranth component with AXI4-Stream ports."""

from __future__ import annotations

from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.data import ArrayLayout
from amaranth.lib.wiring import In, Out

from nn2rtl.plan.components import component, shape_of
from nn2rtl.plan.stages import ConcatStage, ForkStage, PairStage, Plan, StreamType
from nn2rtl.primitives.fifo import Fifo
from nn2rtl.primitives.fork import Fork
from nn2rtl.primitives.technology import Technology

TOP = "nn2rtl_core"


def port_bytes(kind: StreamType) -> int:
    """Width of a stream's AXI4-Stream port in bytes: the beat's bits, rounded up."""
    return (kind.bits + 7) // 8


class Core(wiring.Component):
    """A network as hardware.

    Parameters
    ----------
    plan : Plan
        What to build.

    Members
    -------
    s_axis_tdata, s_axis_tvalid, s_axis_tready, s_axis_tlast
        Input beats. Element i of a beat is at bits ``[i * width +: width]``. ``tlast`` is not
        needed: the length of an inference is fixed.
    m_axis_tdata, m_axis_tvalid, m_axis_tready, m_axis_tlast
        Output beats; ``tlast`` marks the last of an inference. Bits beyond the elements are 0.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        super().__init__(
            {
                "s_axis_tdata": In(8 * port_bytes(plan.input.result)),
                "s_axis_tvalid": In(1),
                "s_axis_tready": Out(1),
                "s_axis_tlast": In(1),
                "m_axis_tdata": Out(8 * port_bytes(plan.output.result)),
                "m_axis_tvalid": Out(1),
                "m_axis_tready": In(1),
                "m_axis_tlast": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        plan = self.plan
        start = stream.Signature(_layout(plan.input.result)).create()
        m.d.comb += [
            start.payload.as_value().eq(self.s_axis_tdata),
            start.valid.eq(self.s_axis_tvalid),
            self.s_axis_tready.eq(start.ready),
        ]
        # By (producer, consumer); the consumer is "" for a stream with one reader.
        streams: dict[tuple[str, str], Any] = {(plan.input.name, ""): start}

        def read(producer: str, consumer: str) -> Any:
            return streams.get((producer, consumer)) or streams[producer, ""]

        for stage in plan.stages:
            operands = [read(name, stage.name) for name in stage.inputs]
            if isinstance(stage, ForkStage):
                for reader, branch in self._fork(m, stage, operands[0]).items():
                    streams[stage.name, reader] = branch
                continue
            part: Any = component(stage)
            m.submodules[stage.name] = part
            if isinstance(stage, PairStage):
                _join(m, part, *operands)
            elif isinstance(stage, ConcatStage):
                for sink, operand in zip(part.inputs, operands, strict=True):
                    _connect(m, sink, operand)
            else:
                _connect(m, part.i, operands[0])
            streams[stage.name, ""] = part.o
        self._output(m, streams[plan.output.name, ""])
        return m

    def _fork(self, m: Module, stage: ForkStage, operand: Any) -> dict[str, Any]:
        layout = _layout(stage.result)
        m.submodules[stage.name] = fork = Fork(layout, len(stage.branches))
        _connect(m, fork.i, operand)
        result = {}
        for index, (reader, depth) in enumerate(stage.branches):
            m.submodules[f"{stage.name}_{index}"] = fifo = Fifo(layout, depth)
            _connect(m, fifo.i, fork.o[index])
            result[reader] = fifo.o
        return result

    def _output(self, m: Module, result: Any) -> None:
        beats = self.plan.output.result.beats
        m.d.comb += [
            self.m_axis_tdata.eq(result.payload.as_value()),
            self.m_axis_tvalid.eq(result.valid),
            result.ready.eq(self.m_axis_tready),
        ]
        if beats == 1:
            m.d.comb += self.m_axis_tlast.eq(1)
            return
        count = Signal(range(beats))
        m.d.comb += self.m_axis_tlast.eq(count == beats - 1)
        with m.If(self.m_axis_tvalid & self.m_axis_tready):
            m.d.sync += count.eq(count + 1)
            with m.If(self.m_axis_tlast):
                m.d.sync += count.eq(0)


def to_rtlil(plan: Plan, technology: Technology = Technology.GENERIC) -> str:
    """RTLIL of the planned network: module `nn2rtl_core`, with ports `clk` and `rst` besides."""
    return str(rtlil.convert(Core(plan), name=TOP, platform=technology, emit_src=False))


def _layout(kind: StreamType) -> ArrayLayout:
    return ArrayLayout(shape_of(kind.type), kind.lanes)


def _connect(m: Module, sink: Any, source: Any) -> None:
    m.d.comb += [
        sink.payload.as_value().eq(source.payload.as_value()),
        sink.valid.eq(source.valid),
        source.ready.eq(sink.ready),
    ]


def _join(m: Module, part: Any, a: Any, b: Any) -> None:
    """Take a beat of each of two streams in the same cycle."""
    m.d.comb += [
        part.i.payload.a.as_value().eq(a.payload.as_value()),
        part.i.payload.b.as_value().eq(b.payload.as_value()),
        part.i.valid.eq(a.valid & b.valid),
        a.ready.eq(part.i.ready & b.valid),
        b.ready.eq(part.i.ready & a.valid),
    ]
