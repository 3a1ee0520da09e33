"""Command line: ``nn2rtl inspect | emulate | simulate | trace | build | boards | doctor``."""

from __future__ import annotations

import errno
import io
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click
from amaranth.hdl import UnusedElaboratable
from rich.console import Console

import nn2rtl
from nn2rtl.errors import Nn2RtlError, SimulationError
from nn2rtl.options import SOFTMAX_CHOICES, InputType, Options, load_options
from nn2rtl.report.text import clean

Command = Callable[..., Any]
_out = Console(width=None if sys.stdout.isatty() else 110)
_err = Console(stderr=True)


def _print_json(data: dict[str, Any]) -> None:
    click.echo(json.dumps(data, indent=1))


@contextmanager
def _progress(text: str, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show what is being done, on the terminal, while it is done."""
    if quiet or not _err.is_terminal:
        yield lambda line: None
        return
    with _err.status(text) as status:
        yield status.update


def _options(config: str | None, **changes: Any) -> Options:
    """Options of the configuration file, changed by those of the command line."""
    options = Options() if config is None else load_options(config)
    if changes.get("input_type") is not None:
        changes["input_type"] = InputType.parse(changes["input_type"])
    return options.merged(**changes)


def _model_argument(command: Command) -> Command:
    return click.argument("model", type=click.Path(path_type=Path))(command)


def _json_option(command: Command) -> Command:
    text = "Print one JSON object instead of text."
    return click.option("--json", "as_json", is_flag=True, help=text)(command)


def _input_type_option(command: Command) -> Command:
    text = "How to quantize an input that the model leaves real, e.g. int8:0.0078125."
    return click.option("--input-type", metavar="TYPE:SCALE", help=text)(command)


def _softmax_option(command: Command) -> Command:
    text = "What becomes of a softmax at the end: kept, left out, or the largest element's index."
    return click.option("--softmax", type=click.Choice(SOFTMAX_CHOICES), help=text)(command)


def _inputs_options(command: Command) -> Command:
    path = click.Path(path_type=Path)
    for option in (
        click.option("--raw", is_flag=True, help="Integers of the output stream, not reals."),
        click.option("-o", "--output", type=path, help="Write the outputs to this .npy file."),
        click.option("--inputs", type=path, required=True, help="Inputs, .npy or .npz (array x)."),
    ):
        command = option(command)
    return command


def _plan_options(command: Command) -> Command:
    for option in (
        click.option("--config", type=click.Path(), help="YAML file of options."),
        click.option("--board", help="Board to plan for (default arty_a7)."),
        click.option("--clock-mhz", type=click.FloatRange(1, 1000), help="Clock of the core."),
        *(
            click.option(
                f"--{name}-cycles", type=click.IntRange(1),
                help=f"Take the smallest design with this {name}, or less.",
            )
            for name in ("latency", "interval")
        ),
        click.option("--no-dsp", is_flag=True, help="Do without DSP slices."),
    ):
        command = option(command)
    return _softmax_option(_input_type_option(command))


def _plan_choices(config: str | None, *, no_dsp: bool, **changes: Any) -> Options:
    return _options(config, dsp=False if no_dsp else None, **changes)


def _planned(model: Path, **plan: Any) -> nn2rtl.Design:
    options = _plan_choices(**plan)
    return nn2rtl.compile(nn2rtl.load(model), options=options)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(nn2rtl.__version__, prog_name="nn2rtl")
def cli() -> None:
    """Compile quantized neural networks to FPGA hardware, verified bit for bit."""


@cli.command()
@_model_argument
@_plan_options
@_json_option
def inspect(model: Path, as_json: bool, **plan: Any) -> None:
    """Show layers, shapes, widths, work, and what each layer becomes in hardware."""
    from nn2rtl.report.data import Outcome, make_report
    from nn2rtl.report.terminal import layer_table, print_inspection

    with _progress("planning", as_json):
        design = _planned(model, **plan)
    report = make_report(design, Outcome(stage="plan", model_file=model.name))
    if as_json:
        _print_json(report)
    else:
        print_inspection(design.graph, report, _out)
        _out.print(layer_table(report))


@cli.command()
@_model_argument
@_inputs_options
@_softmax_option
@_input_type_option
@click.option("--config", type=click.Path(), help="YAML file of options.")
@_json_option
def emulate(
    model: Path, inputs: Path, output: Path | None, raw: bool, config: str | None,
    input_type: str | None, softmax: str | None, as_json: bool,
) -> None:
    """Compute outputs with the exact integer model, bit for bit as the hardware does."""
    from nn2rtl.arrays import read_array, write_array
    from nn2rtl.design import Emulator, integer_graph
    from nn2rtl.files import check_writable
    from nn2rtl.passes.tail import with_softmax

    if output is not None:
        check_writable(output)
    options = _options(config, input_type=input_type, softmax=softmax)
    net = with_softmax(nn2rtl.load(model), options.softmax)
    emulator = Emulator(integer_graph(net, options.input_type))
    y = emulator.emulate(read_array(inputs), raw=raw)
    if output is not None:
        write_array(output, y)
    if as_json:
        files = [] if output is None else [str(output)]
        _print_json({"samples": len(y), "output_shape": list(y.shape), "files": files})
    elif output is None:
        click.echo(str(y))
    else:
        click.echo(f"{len(y)} inferences -> {output}")


@cli.command()
@_model_argument
@_inputs_options
@_plan_options
@click.option("--engine", type=click.Choice(["verilator", "cocotb"]), default="verilator")
@click.option("--waves", type=click.Path(path_type=Path), help="Record waves to this VCD file.")
@click.option("--samples", type=click.IntRange(1), help="Only so many of the inputs.")
@_json_option
def simulate(
    model: Path, inputs: Path, output: Path | None, raw: bool, engine: str, waves: Path | None,
    samples: int | None, as_json: bool, **plan: Any,
) -> None:
    """Run the generated Verilog cycle by cycle and compare it with the integer model."""
    from nn2rtl.arrays import read_array, write_array
    from nn2rtl.files import check_writable

    for path in (output, waves):
        if path is not None:
            check_writable(path)
    x = read_array(inputs)
    with _progress("planning", as_json) as tell:
        design = _planned(model, **plan)
        design.stream(x)  # complain about the inputs before the long steps
        spec, _ = design.graph.spec()
        if x.shape != spec.shape:  # else it is one sample, without a batch axis
            x = x[:samples]
        tell("elaborating, writing Verilog")
        _ = design.verilog
        tell(f"simulating with {engine}")
        try:
            run = design.simulate(x, engine=engine, raw=raw, waves=waves)
        except KeyboardInterrupt:
            if waves is not None and waves.is_file():
                waves.unlink()  # it ends in the middle of a line
            raise
    files = [] if waves is None else [str(waves)]
    if output is not None:
        write_array(output, run.outputs)
        files.append(str(output))
    predicted = design.planned.timing
    result = {
        "samples": run.samples,
        "mismatches": run.mismatches,
        "latency_cycles": run.latency_cycles,
        "interval_cycles": run.interval_cycles,
        "predicted": {
            "latency_cycles": predicted.latency_cycles,
            "interval_cycles": predicted.interval_cycles,
        },
        "board": design.board.name,
        "clock_mhz": design.clock_hz / 1e6,
        "engine": engine,
        "files": files,
    }
    if as_json:
        _print_json(result)
    else:
        interval = "" if run.interval_cycles is None else f", interval {run.interval_cycles} cycles"
        click.echo(
            f"{run.samples - run.mismatches} of {run.samples} inferences bit-exact; latency "
            f"{run.latency_cycles} cycles (predicted {predicted.latency_cycles}){interval}"
        )
    if run.mismatches:
        raise SimulationError(
            f"{run.mismatches} of {run.samples} inferences differ from the integer model",
            remedy="please report this, with the model: it is a defect of nn2rtl",
        )


@cli.command()
@_model_argument
@click.option("--inputs", type=click.Path(path_type=Path), required=True,
              help="Inputs, .npy or .npz (array x).")
@click.option("--against", type=click.Path(path_type=Path),
              help="Compare with the arrays of this file, named like tensors of the model.")
@click.option("--samples", type=click.IntRange(1), default=16, show_default=True,
              help="Only so many of the inputs.")
@click.option("--simulate/--no-simulate", default=None,
              help="Whether to simulate the hardware too; by default if the tools are here.")
@_plan_options
@_json_option
def trace(
    model: Path, inputs: Path, against: Path | None, samples: int, simulate: bool | None,
    as_json: bool, **plan: Any,
) -> None:
    """Compare reference, integer model and hardware layer by layer; name what differs first."""
    from nn2rtl.arrays import read_array
    from nn2rtl.report.trace import print_trace, raise_difference, trace_data
    from nn2rtl.trace.command import compare

    options = _plan_choices(**plan)
    with _progress("reading the model", as_json) as tell:
        found, hardware = compare(
            model, nn2rtl.load(model), read_array(inputs), options,
            against=against, samples=samples, simulate=simulate, tell=tell,
        )
    if as_json:
        _print_json(trace_data(found, hardware))
    else:
        print_trace(found, hardware, _out)
    raise_difference(found, hardware)


@cli.command()
@_model_argument
@_plan_options
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("build"),
              show_default=True, help="Folder for the files.")
@click.option("--toolchain", type=click.Choice(["auto", "open", "vivado"]), default="auto")
@click.option("--until", type=click.Choice(["verilog", "sim", "synth", "pnr", "bitstream"]),
              help="Last stage; by default as far as the installed tools go.")
@_json_option
def build(
    model: Path, output: Path, toolchain: str, until: str | None, as_json: bool, **plan: Any
) -> None:
    """Build for a board: Verilog, simulation, synthesis, report."""
    from nn2rtl.build import build as run_build
    from nn2rtl.report.terminal import print_summary

    with _progress("planning", as_json) as tell:
        design = _planned(model, **plan)
        result = run_build(
            design, output, until=until, toolchain=toolchain, model_file=model, on_stage=tell
        )
    if as_json:
        _print_json(result.report)
    else:
        print_summary(result.report, _out)
        click.echo(f"\nfiles in {output}; start with {output / 'report.html'}")
    if result.error is not None:
        raise result.error


@cli.command()
@_json_option
def boards(as_json: bool) -> None:
    """List the boards, their parts, resources and flows, and which tools are here."""
    from nn2rtl.boards.board import board_names, load_board
    from nn2rtl.boards.flows import Stage, next_missing
    from nn2rtl.boards.resources import Resources
    from nn2rtl.report.listings import board_table

    rows = []
    for name in board_names():
        board = load_board(name)
        flows = {}
        for flow in board.flows:
            missing = next_missing(flow.name, Stage.BITSTREAM)
            flows[flow.name] = (
                "complete"
                if missing is None
                else f"stops before {missing.stage}: needs {missing.tool}"
            )
        rows.append(
            {
                "name": name,
                "title": board.title,
                "part": board.part,
                "clock_mhz": board.clock.frequency_hz / 1e6,
                "resources": {r: board.resources[r] for r in Resources.names()},
                "flows": flows,
            }
        )
    if as_json:
        _print_json({"boards": rows})
        return
    _out.print(board_table(rows))


@cli.command()
@_json_option
def doctor(as_json: bool) -> None:
    """List the external tools: found or not, version, what needs them, how to get them."""
    from nn2rtl.report.listings import tool_table
    from nn2rtl.tools import all_tools

    rows = []
    for tool in all_tools():
        found = tool.find()
        rows.append(
            {
                "name": tool.name,
                "found": found is not None,
                "version": None if found is None else found.version_text,
                "source": None if found is None else found.source,
                "purpose": tool.purpose,
                "how_to_get": tool.how_to_get,
            }
        )
    if as_json:
        _print_json({"tools": rows})
        return
    _out.print(tool_table(rows))


def main() -> None:
    """Run the command line; one line for each error, and its exit status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal may lack characters of a table
            stream.reconfigure(errors="replace")
    # An error or an interrupt in the middle of a design is no news to Amaranth's authors.
    warnings.simplefilter("ignore", UnusedElaboratable)
    # End child processes and remove temporary files after `kill` as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        cli(standalone_mode=False)
    except Nn2RtlError as error:
        # Names in it come from files: they must not act on the terminal.
        click.echo(f"nn2rtl: {clean(error.line())}", err=True)
        sys.exit(error.exit_status)
    except click.exceptions.Abort:
        click.echo("nn2rtl: interrupted", err=True)
        sys.exit(1)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("nn2rtl: interrupted", err=True)
        sys.exit(1)
    except Exception as error:
        if os.environ.get("NN2RTL_DEBUG"):
            raise
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            click.echo("nn2rtl: no space is left; free some on the disk written to", err=True)
            sys.exit(1)
        click.echo(
            f"nn2rtl: internal error: {type(error).__name__}: {error}; this is a defect, please "
            "report it (NN2RTL_DEBUG=1 shows where)",
            err=True,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
