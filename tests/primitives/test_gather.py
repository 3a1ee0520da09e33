# amaranth: UnusedElaboratable=no
"""Gather: programs against numpy, hardware against a model of its timing rule, cycle by cycle."""

import random

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal, Value, signed
from amaranth.lib.data import ArrayLayout
from amaranth.sim import Simulator

from nn2rtl.primitives.gather import GatherEngine
from nn2rtl.primitives.read_program import NestProgram, TableEntry, TableProgram

WIDTH, LANES, FILL = 5, 2, -19


def table(image, reads, releases):
    """A table of one image; `releases` are the steps that release."""
    places = [step for step, read in enumerate(reads) if read is not None]
    words = [reads[step] for step in places]
    following = dict(zip(places, [*words[1:], words[0] + image]))
    return TableProgram(image, words[0], tuple(
        TableEntry(0, True) if read is None
        else TableEntry(following[step] - read, False, step in releases)
        for step, read in enumerate(reads)
    ))


IMAGE = np.arange(24).reshape(4, 6)
COPY = NestProgram(24, 0)
CASES = {
    "copy": (COPY, IMAGE),
    "slice": (NestProgram(24, 7, ((2, 12), (3, 2)), 24, 2), IMAGE[1::2, 1::2]),
    "columns": (NestProgram(24, 2, ((2, 3),), 6, 1), IMAGE[:, 2::3]),
    "resize": (NestProgram(24, 0, ((2, 0), (6, 1), (3, 0)), 6),
               IMAGE.repeat(2, 0).repeat(3, 1)),
    "wider": (NestProgram(24, 0, ((2, 0),), 1, 1), IMAGE.repeat(2, 1)),
    "transpose": (NestProgram(24, 0, ((6, 1), (4, 6)), 24), IMAGE.T),
    "mirrored": (NestProgram(24, 5, ((6, -1),), 6, 0, 5), IMAGE[:, ::-1]),
    "turned": (NestProgram(24, 23, ((24, -1),), 24, 0, 23), IMAGE[::-1, ::-1]),
    "broadcast": (NestProgram(4, 0, ((5, 0), (4, 1)), 4), np.tile(np.arange(4), 5)),
    "repeated": (NestProgram(1, 0, ((7, 0),)), np.zeros(7, int)),
    "padded": (NestProgram(24, 0, mask=((8, 0b00111100), (9, 0b011111100))),
               np.pad(IMAGE, ((2, 2), (2, 1)), constant_values=-1)),
    "padded left": (NestProgram(24, 0, mask=((8, 0b11111100),)),
                    np.pad(IMAGE, ((0, 0), (2, 0)), constant_values=-1)),
    "padded right": (NestProgram(24, 0, mask=((8, 0b00111111),)),
                     np.pad(IMAGE, ((0, 0), (0, 2)), constant_values=-1)),
    "spread": (NestProgram(24, 0, mask=((2, 1), (6, None), (2, 1))),
               np.insert(np.insert(IMAGE, range(1, 7), -1, 1), range(1, 5), -1, 0)),
    "cut and padded": (NestProgram(24, 8, ((2, 6), (3, 1)), 24, 2, mask=((3, 6), (4, 14))),
                       np.pad(IMAGE[1:3, 2:5], ((1, 0), (1, 0)), constant_values=-1)),
    "table": (table(9, [4, 4, 2, 8, 6], [1]), np.array([4, 4, 2, 8, 6])),
    "table of rows": (table(3, [None, 1, None, 2, 1, 0, None], [4]),
                      np.array([-1, 1, -1, 2, 1, 0, -1])),
    "long table": (table(80, [None, *range(79, -1, -1)], [79]),
                   np.array([-1, *range(79, -1, -1)])),
}  # fmt: skip
CASES["table of rows"] = (
    TableProgram(12, 1, CASES["table of rows"][0].entries),
    np.array([-1 if w < 0 else w + 3 * row for row in range(4) for w in [-1, 1, -1, 2, 1, 0, -1]]),
)


@pytest.mark.parametrize("name", CASES)
def test_reads(name):
    program, expected = CASES[name]
    reads = [-1 if read is None else read for read in program.reads]
    assert reads == expected.ravel().tolist()
    assert program.steps == expected.size


class Model:
    """The timing rule of GatherEngine's docstring, in plain Python."""

    def __init__(self, program, capacity, depth, latency, images):
        size = program.image_words

        def all_images(words):
            return [None if w is None else w + n * size for n in range(images) for w in words]

        self.reads, self.needs = all_images(program.reads), all_images(program.needs)
        self.releases = {
            step + n * program.steps: freed + n * size
            for n in range(images) for step, freed in program.releases
        }
        self.freed, self.capacity, self.latency = program.first_freed, capacity, latency
        self.words, self.outputs, self.times = [], [], []
        self.step = self.popped = self.now = 0
        self.credits, self.last_pop = depth, -1

    def cycle(self, offered, taken):
        """Ready, and the word on o, in this cycle."""
        ready = len(self.words) < self.freed + self.capacity
        visible = None
        if self.popped < len(self.outputs):
            when = max(self.times[self.popped] + self.latency, self.last_pop + 1)
            visible = self.outputs[self.popped] if self.now >= when else None
        need = self.needs[self.step]
        if self.credits and (need is None or need < len(self.words)):
            read = self.reads[self.step]
            self.outputs.append([FILL] * LANES if read is None else self.words[read])
            self.times.append(self.now)
            self.freed = self.releases.get(self.step, self.freed)
            self.step += 1
            self.credits -= 1
        if visible is not None and taken:
            self.popped += 1
            self.last_pop = self.now
            self.credits += 1
        if ready and offered is not None:
            self.words.append(offered)
        self.now += 1
        return ready, visible


def check(program, capacity, *, depth=4, idle=0.0, stall=0.0, images=3, reset_at=None, **options):
    """Compare `images` images with the model, cycle by cycle."""
    rng = random.Random(1)
    shape = ArrayLayout(signed(WIDTH), LANES)
    dut = GatherEngine(
        program, shape, signed(WIDTH + 1), FILL, depth=depth, capacity=capacity, **options
    )
    reset = Signal()
    latency = dut.pipe_latency + dut.fifo_latency

    def model_now():
        return Model(program, capacity, depth, latency, images + 1)

    model = model_now()
    cycles = 0

    def lanes(pattern):
        mask, sign = (2 << WIDTH) - 1, 1 << WIDTH
        return [((pattern >> k * (WIDTH + 1) & mask) ^ sign) - sign for k in range(LANES)]

    async def bench(ctx):
        nonlocal model, cycles
        offered = None
        while model.popped < images * program.steps:
            if offered is None and rng.random() >= idle:
                offered = [rng.randint(-16, 15) for _ in range(LANES)]
                ctx.set(Value.cast(dut.i.payload), sum((v & 31) << 5 * k for k, v in
                                                       enumerate(offered)))
            taken = rng.random() >= stall
            ctx.set(dut.i.valid, offered is not None)
            ctx.set(dut.o.ready, taken)
            ctx.set(reset, cycles == reset_at)
            _, _, ready, valid, payload = await ctx.tick().sample(
                dut.i.ready, dut.o.valid, Value.cast(dut.o.payload)
            )
            expected = model.cycle(offered, taken)
            assert (ready, lanes(payload) if valid else None) == expected, f"cycle {cycles}"
            if cycles == reset_at:
                model = model_now()
                offered = None
            elif ready:
                offered = None
            cycles += 1
            assert cycles < 20 * (images + 1) * (program.steps + program.image_words) + 100, "stuck"

    simulator = Simulator(ResetInserter(reset)(dut))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return cycles


def power_of_two(n):
    return 1 << (n - 1).bit_length()


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("idle", "stall", "double"), [(0, 0, 1), (0.5, 0, 2), (0.2, 0.5, 1)])
def test_hardware(name, idle, stall, double):
    program, _ = CASES[name]
    capacity = power_of_two(program.minimum_capacity) * double
    check(program, capacity, idle=idle, stall=stall)


@pytest.mark.parametrize("name", ["padded", "slice", "resize", "table of rows", "long table"])
@pytest.mark.parametrize("reset_at", [1, 17, 60])
def test_reset_in_the_middle(name, reset_at):
    program, _ = CASES[name]
    capacity = power_of_two(program.minimum_capacity)
    check(program, capacity, idle=0.1, stall=0.1, reset_at=reset_at, images=2)


def test_block_memory():
    for name in ("transpose", "slice", "padded"):
        program, _ = CASES[name]
        check(program, 32, idle=0.2, stall=0.2, memory="block")


def test_a_step_in_each_cycle():
    program, _ = CASES["resize"]
    cycles = check(program, 16, images=3)
    # Two rows of the image fit in: the writer is ahead, and the reader never waits for it.
    assert cycles == 3 * program.steps + 1 + 2
    assert check(COPY, 2, images=3) == 3 * 24 + 1 + 2


@pytest.mark.parametrize(("arguments", "message"), [
    ((24, 0, ((1, 1),)), "extents"),
    ((24, 0, ((2, 1),), 24, 2), "release"),
    ((24, 0, (), 5), "divide"),
    ((24, 0, (), 1, 0, 0, ((3, 0),)), "mask"),
    ((24, 0, (), 1, 0, 0, ((9, 0b11111),)), "mask"),
    ((24, 20, ((6, 1),), 24), "words of the image"),
    ((24, 0, ((6, 1), (4, 6)), 24, 2), "releases must ascend"),
    ((24, 5, ((2, 6), (6, -1)), 24, 1, 4), "after its release"),
])  # fmt: skip
def test_wrong_nests(arguments, message):
    with pytest.raises(ValueError, match=message):
        NestProgram(*arguments)


def test_wrong_tables():
    with pytest.raises(ValueError, match="divisor"):
        TableProgram(4, 0, (TableEntry(3),))
    with pytest.raises(ValueError, match="filled"):
        TableProgram(4, 0, (TableEntry(4, True),))
    with pytest.raises(ValueError, match="after its release"):
        TableProgram(4, 0, (TableEntry(2, release=True), TableEntry(-1), TableEntry(3)))


def test_refusals():
    program, shape = CASES["transpose"][0], ArrayLayout(signed(WIDTH), LANES)
    with pytest.raises(ValueError, match="at least 24, not 16"):
        GatherEngine(program, shape, signed(6), depth=2, capacity=16)
    with pytest.raises(ValueError, match="40 does not fit"):
        GatherEngine(program, shape, signed(6), 40, depth=2, capacity=32)
    with pytest.raises(TypeError, match="ArrayLayout"):
        GatherEngine(program, signed(3), signed(6), depth=2, capacity=32)
    with pytest.raises(TypeError, match="read program"):
        GatherEngine((3,), shape, signed(6), depth=2, capacity=32)
