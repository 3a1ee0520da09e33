"""What `nn2rtl trace` does: the model's file and arrays in, a comparison out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from nn2rtl.arrays import read_arrays
from nn2rtl.design import Design, Emulator, compile, integer_graph
from nn2rtl.errors import ResourceError, ToolError, UnsupportedError
from nn2rtl.ir.model import ModelGraph
from nn2rtl.options import Options
from nn2rtl.passes.tail import with_softmax
from nn2rtl.simulation import Simulation
from nn2rtl.trace.inputs import model_input
from nn2rtl.trace.references import executed, given
from nn2rtl.trace.result import Trace
from nn2rtl.trace.run import trace


def compare(
    path: Path,
    net: ModelGraph,
    x: npt.NDArray[Any],
    options: Options,
    *,
    against: Path | None,
    samples: int,
    simulate: bool | None,
    tell: Callable[[str], None],
) -> tuple[Trace, Simulation | None]:
    """Compare the stages of a network.

    Parameters
    ----------
    path : Path
        The model's file, for its reference executor.
    net : ModelGraph
        Loaded from it.
    x : array [samples, ...]
        Inputs.
    options : Options
        Input type and, for the hardware, plan.
    against : Path or None
        File of arrays to compare with, instead of an executor.
    samples : int
        Compare only so many of the inputs.
    simulate : bool or None
        Whether to simulate the hardware; None: if it can be.
    tell : callable
        Is told what is being done.

    Returns
    -------
    Trace
        Reference against integer graph.
    Simulation or None
        Hardware against integer graph.

    Raises
    ------
    InputError
        If arrays do not fit the model.
    """
    net = with_softmax(net, options.softmax)
    graph = integer_graph(net, options.input_type)
    emulator = Emulator(graph)
    stream = emulator.stream(x)[:samples]
    spec, _ = graph.spec()
    x = np.asarray(x)[None] if x.shape == spec.shape else np.asarray(x)[:samples]
    real = model_input(net, graph, x, stream)
    tell("running the reference")
    if against is not None:
        reference = given(against, read_arrays(against), net, len(stream))
    else:
        reference = executed(path, net, real)
    tell("comparing layers")
    found = trace(net, graph, stream, real, reference)
    if simulate is False:
        return found, None
    try:
        tell("planning")
        design: Design = compile(net, options=options)
        tell("simulating")
        return found, design.simulate(x)
    except (ToolError, ResourceError, UnsupportedError) as error:
        if simulate:
            raise
        note = f"hardware not simulated: {error.line()}"
        return replace(found, notes=(*found.notes, note)), None
