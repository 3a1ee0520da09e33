"""Load damaged copies of a model file, within bounds of memory and time.

Run as a script, in a process of its own: ``damage.py FILE COUNT SEED SCRATCH [INPUT_TYPE]``. It
prints a line of JSON: how many files were read and how many refused, and what went wrong otherwise.
"""

from __future__ import annotations

import json
import resource
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np

MEMORY = 3 << 30  # of address space; importing the libraries takes a part of it
SECONDS = 20  # for a file


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """A copy with a few bytes changed, removed, repeated, or cut off."""
    copy = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        place, kind = int(rng.integers(len(copy))), int(rng.integers(12))
        if kind < 4:
            copy[place] = int(rng.integers(256))
        elif kind < 8:
            copy[place] ^= 1 << int(rng.integers(8))
        elif kind == 8:
            del copy[place : place + int(rng.integers(1, 9))]
        elif kind == 9:
            copy[place:place] = copy[place : place + int(rng.integers(1, 9))]
        elif kind == 10:
            copy[place : place + 4] = bytes([255] * 4)
        else:
            del copy[max(place, 8) :]
        if not copy:
            break
    return bytes(copy)


def attempt(path: Path, input_type: str | None) -> str:
    """``read`` or ``refused``; raises anything that may not happen."""
    import nn2rtl
    from nn2rtl.design import Emulator, integer_graph
    from nn2rtl.errors import Nn2RtlError
    from nn2rtl.options import InputType
    from nn2rtl.trace import executor, trace
    from nn2rtl.trace.inputs import model_input
    from nn2rtl.trace.references import FLOAT64, Run

    try:
        net = nn2rtl.load(path)
        graph = integer_graph(net, input_type and InputType.parse(input_type))
    except Nn2RtlError:
        return "refused"
    if sum(kind.size for kind in net.types.values()) > 100_000:
        return "read"
    emulator = Emulator(graph)
    shape = graph.spec()[0].shape
    x = np.random.default_rng(1).normal(scale=2, size=(2, *shape))
    stream = emulator.stream(x)
    real = model_input(net, graph, x, stream)
    with np.errstate(all="ignore"):
        reference = Run("float64", dict(executor.run(net, real)), FLOAT64)
        found = trace(net, graph, stream, real, reference)
    if found.first_unexplained is not None:
        raise AssertionError(f"wrong numbers from {found.first_unexplained}")
    return "read"


def main(
    source: Path, count: int, seed: int, scratch: Path, input_type: str | None = None
) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    data = source.read_bytes()
    counts = {"read": 0, "refused": 0}
    failures = []
    slowest = 0.0
    for number in range(seed, seed + count):
        path = scratch / f"damaged{source.suffix}"
        path.write_bytes(damaged(data, np.random.default_rng(number)))
        signal.alarm(SECONDS)
        start = time.monotonic()
        try:
            counts[attempt(path, input_type)] += 1
        except BaseException as error:
            frames = [f"{f.name}:{f.lineno}" for f in traceback.extract_tb(error.__traceback__)]
            failures.append([number, f"{type(error).__name__}: {error}"[:200], frames[-3:]])
        signal.alarm(0)
        slowest = max(slowest, time.monotonic() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(json.dumps({**counts, "failures": failures, "seconds": slowest, "MiB": peak}))


if __name__ == "__main__":

    def late(*_: object) -> None:
        raise TimeoutError(f"more than {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]), *sys.argv[5:])
