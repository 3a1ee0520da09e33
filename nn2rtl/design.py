"""The main objects of the Python interface: load a model, compile it, use the design."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from nn2rtl import frontend
from nn2rtl.boards.board import Board, load_board
from nn2rtl.boards.yosys import rtlil_to_verilog
from nn2rtl.cache import root as cache_root
from nn2rtl.elaborate import Core, to_rtlil
from nn2rtl.errors import InputError, OutputError
from nn2rtl.files import write_whole
from nn2rtl.ir import functions as fn
from nn2rtl.ir import integer as ig
from nn2rtl.ir.graph import Graph
from nn2rtl.ir.model import ModelGraph, Rounding
from nn2rtl.ir.types import IntArray, IntType
from nn2rtl.ir.verify import verify
from nn2rtl.options import InputType, Options, options_from
from nn2rtl.passes.lower import lower
from nn2rtl.passes.requantize import choose_requantizers
from nn2rtl.passes.tail import with_softmax
from nn2rtl.plan.planner import Planned, make_plan, retimed
from nn2rtl.plan.timing import Timing
from nn2rtl.primitives.technology import Technology
from nn2rtl.quantities import dequantize_output, quantize_input, raw_output
from nn2rtl.reference import Reference
from nn2rtl.simulation import Simulation, Stalls, run_stream

if TYPE_CHECKING:
    from nn2rtl.build import BuildResult


def load(path: str | Path) -> ModelGraph:
    """Read a quantized model.

    Parameters
    ----------
    path : str or Path
        A quantized ONNX file of any supported dialect, or an int8 TensorFlow Lite file.

    Returns
    -------
    ModelGraph
        The network as the file means it; ``summary()`` lists its nodes.

    Raises
    ------
    ModelError, UnsupportedError
        If the file is no such model; the message says what to do.
    """
    net = frontend.load(path)
    net.name = Path(path).stem  # exporters call every graph the same
    return net


def integer_graph(net: ModelGraph, input_type: InputType | None = None) -> ig.IntegerGraph:
    """The exact integer graph of a model, with the cheapest equal requantizers."""
    graph = lower(net, None if input_type is None else _input_quantizer(input_type))
    verify(graph, "lower")
    graph = choose_requantizers(graph)
    verify(graph, "choose_requantizers")
    return graph


class Emulator:
    """The exact integer model of a network, for real inputs and outputs.

    Parameters
    ----------
    graph : IntegerGraph
        What to compute.
    """

    def __init__(self, graph: ig.IntegerGraph) -> None:
        self.graph = graph
        self.reference = Reference(graph)

    def stream(self, x: npt.NDArray[Any]) -> IntArray:
        """Input streams [samples, elements] of real or integer inputs; see `emulate`."""
        spec, _ = self.graph.spec()
        return quantize_input(spec, self.graph.types[self.reference.source], x)

    def results(self, stream: IntArray, *, raw: bool = False) -> npt.NDArray[Any]:
        """The model's outputs of output streams [samples, elements]: real, or raw integers."""
        _, spec = self.graph.spec()
        return raw_output(spec, stream) if raw else dequantize_output(spec, stream)

    def emulate(self, x: npt.NDArray[Any], *, raw: bool = False) -> npt.NDArray[Any]:
        """What the hardware computes, by the exact integer model in numpy.

        Parameters
        ----------
        x : array [samples, ...]
            Real inputs as the model takes them (floating point), or the integers of the input
            stream in the model's axis order (integer type).
        raw : bool
            Return the integers of the output stream, in the model's axis order.

        Returns
        -------
        array [samples, ...]
            Of the model's output shape.

        Raises
        ------
        InputError
            If the array does not fit the model.
        """
        return self.results(self.reference.run(self.stream(x)), raw=raw)


def compile(
    net: ModelGraph, board: str | None = None, options: Options | Mapping[str, Any] | None = None
) -> Design:
    """Plan a network for a board.

    Parameters
    ----------
    net : ModelGraph
        From `load`.
    board : str, optional
        Name of a board, or path of a board's YAML file; overrides the options' board.
    options : Options or mapping, optional
        See `nn2rtl.options.Options`; a mapping has the same keys as a configuration file.

    Returns
    -------
    Design
        The planned design.

    Raises
    ------
    UnsupportedError
        If the network cannot be computed on integers.
    OptionsError
        If an option is wrong.
    """
    if not isinstance(net, Graph):
        raise InputError(
            f"{net!r} is not a loaded network", remedy="load it first: nn2rtl.load(path)"
        )
    if options is None:
        options = Options()
    elif not isinstance(options, Options):
        options = options_from(dict(options))
    if board is not None:
        options = replace(options, board=board)
    target = load_board(options.board)
    net = with_softmax(net, options.softmax)
    graph = integer_graph(net, options.input_type)
    return Design(net, graph, target, options, make_plan(graph, target.resources, options))


class Design(Emulator):
    """A network, planned for a board.

    Attributes
    ----------
    model : ModelGraph
        What the model file means, with the end that `Options.softmax` says.
    graph : IntegerGraph
        What the hardware computes.
    board : Board
        What it is planned for.
    options : Options
        What the user decided.
    planned : Planned
        Stages, exact timing and predicted resources.
    """

    def __init__(
        self,
        model: ModelGraph,
        graph: ig.IntegerGraph,
        board: Board,
        options: Options,
        planned: Planned,
    ) -> None:
        super().__init__(graph)
        self.model = model
        self.board = board
        self.options = options
        self.planned = planned

    @property
    def component(self) -> Core:
        """A new Amaranth component of the design, in the `sync` domain."""
        return Core(self.planned.plan)

    @property
    def clock_hz(self) -> int:
        """Clock that is asked for, in Hz."""
        if self.options.clock_mhz is not None:
            return round(self.options.clock_mhz * 1e6)
        return self.board.clock.frequency_hz

    @cached_property
    def rtlil(self) -> str:
        """The design as RTLIL, with primitives of the board's part where it has any."""
        of_7_series = self.board.part.startswith("xc7")
        return to_rtlil(
            self.planned.plan, Technology.XILINX7 if of_7_series else Technology.GENERIC
        )

    @cached_property
    def verilog(self) -> str:
        """The design as Verilog, top module `nn2rtl_core`; see `rtlil`."""
        folder = cache_root()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(
                f"cache folder cannot be made: {error.strerror}",
                node=str(folder),
                remedy="set NN2RTL_CACHE to a folder that you may write to",
            ) from None
        return rtlil_to_verilog(self.rtlil, folder)

    def simulate(
        self,
        x: npt.NDArray[Any],
        *,
        engine: str = "verilator",
        raw: bool = False,
        waves: str | Path | None = None,
        stalls: Stalls | None = None,
        progress: Callable[[int, int, int], None] | None = None,
    ) -> Simulation:
        """Run the emitted Verilog, cycle by cycle, and compare it with the integer model.

        Parameters
        ----------
        x : array [samples, ...]
            As for `emulate`; the inferences follow each other without a gap.
        engine : str
            ``verilator``, or ``cocotb`` (slower; a testbench that one can copy).
        raw : bool
            Return integers, as `emulate` does.
        waves : path, optional
            VCD file to record.
        stalls : Stalls, optional
            Random idle cycles and backpressure.
        progress : callable, optional
            Called with cycle, input beats and output beats now and then.

        Raises
        ------
        InputError, ToolError, SimulationError
            If the array does not fit, a tool is missing, or the hardware stalls. A difference
            from the integer model is not an error here: see `Simulation.mismatches`.
        """
        stream = self.stream(x)
        if not len(stream):
            raise InputError("there are no samples to simulate", remedy="give at least one")
        outputs, entered, left = run_stream(
            self.planned.plan, self.verilog, stream, engine=engine,
            waves=None if waves is None else Path(waves), stalls=stalls, progress=progress,
        )
        expected = self.reference.run(stream)
        beats = self.planned.plan.output.result.beats
        ends = left[beats - 1 :: beats]
        return Simulation(
            self.results(outputs, raw=raw),
            len(stream),
            int((outputs != expected).any(axis=1).sum()),
            int(ends[0] - entered[0]),
            int(ends[-1] - ends[-2]) if len(ends) > 1 else None,
            entered,
            left,
        )

    def timing(self, inferences: int) -> Timing:
        """Exact predicted timing of back-to-back inferences."""
        return retimed(self.planned, inferences)

    def write_verilog(self, path: str | Path) -> Path:
        """Write the Verilog to a file.

        Raises
        ------
        ToolError
            If Yosys is missing or fails.
        OutputError
            If the file cannot be written.
        """
        return write_whole(Path(path), self.verilog)

    def build(
        self,
        folder: str | Path,
        *,
        until: str | None = None,
        toolchain: str = "auto",
        on_stage: Callable[[str], None] | None = None,
    ) -> BuildResult:
        """Build for the board; see `nn2rtl.build.build`."""
        from nn2rtl.build import build

        return build(self, Path(folder), until=until, toolchain=toolchain, on_stage=on_stage)


def _input_quantizer(kind: InputType) -> fn.Quantizer:
    span = IntType.of_width(kind.width, kind.signed)
    zero = (Fraction(0),)
    return fn.Quantizer((kind.scale,), zero, span.low, span.high, Rounding.HALF_EVEN)
