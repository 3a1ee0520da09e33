# amaranth: UnusedElaboratable=no
"""Line buffer against a model of its timing rule, cycle by cycle."""

import random

import pytest
from amaranth.hdl import ResetInserter, Signal, Value
from amaranth.sim import Simulator

from nn2rtl.primitives.geometry import WindowGeometry
from nn2rtl.primitives.line_buffer import LineBuffer, merge_loops
from nn2rtl.primitives.ring import ring_memory

WIDTH = 12


def power_of_two(n):
    return 1 << (n - 1).bit_length()


def random_geometry(seed):
    rng = random.Random(seed)
    while True:
        blocks = rng.randint(1, 3)
        try:
            return WindowGeometry(
                height=rng.randint(1, 6),
                width=rng.randint(1, 6),
                words=blocks * rng.randint(1, 2),
                kernel=(rng.randint(1, 4), rng.randint(1, 4)),
                stride=(rng.randint(1, 4), rng.randint(1, 4)),
                pads=tuple(rng.choice([0, 0, 1, 1, 2, 3]) for _ in range(4)),
                dilation=(rng.choice([1, 1, 1, 2]), rng.choice([1, 1, 1, 2])),
                outer=rng.randint(1, 3),
                blocks=blocks,
            )
        except ValueError:
            pass


class Model:
    """The timing rule of LineBuffer's docstring, in plain Python."""

    def __init__(self, g, capacity, pad_word, images, latency):
        n_reads = [*g.reads()]
        self.reads = [None if r is None else r + n * g.image_words
                      for n in range(images) for r in n_reads]
        self.flags = [*g.flags()] * images
        self.freed = [*g.freed(images)]
        self.g, self.capacity, self.pad_word = g, capacity, pad_word
        self.words = []
        self.k = 0
        self.pipe = [None] * latency

    @property
    def done(self):
        return self.k == len(self.reads)

    def cycle(self, credit):
        """Ready, step, take, beat on o in this cycle; advances the reader."""
        ready = len(self.words) < self.freed[self.k // self.g.release_steps] + self.capacity
        read, (first, last) = self.reads[self.k], self.flags[self.k]
        step = (read is None or read < len(self.words)) and (not last or credit)
        beat = None
        if step:
            word = self.pad_word if read is None else self.words[read]
            beat = word | first << WIDTH | last << WIDTH + 1
            self.k += 1
        self.pipe.append(beat)
        return ready, step, step and last, self.pipe.pop(0)


def check(g, capacity, *, idle=0.0, starve=0.0, images=3, seed=0, reset_at=None, **options):
    """Compare `images` images with the model, cycle by cycle."""
    rng = random.Random(seed)
    pad_word = rng.getrandbits(WIDTH)
    dut = LineBuffer(g, WIDTH, capacity, pad_word, **options)
    reset = Signal()
    model = Model(g, capacity, pad_word, images + 1, dut.latency)
    outputs = [dut.i.ready, dut.step, dut.take, dut.o.valid, Value.cast(dut.o.payload)]
    cycles = 0

    async def bench(ctx):
        nonlocal model, cycles
        valid = False
        while model.k < images * g.steps:
            if not valid and rng.random() >= idle:
                valid = True
                ctx.set(dut.i.payload, rng.getrandbits(WIDTH))
            word, credit = ctx.get(dut.i.payload), rng.random() >= starve
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.credit, credit)
            ctx.set(reset, cycles == reset_at)
            _, _, ready, step, take, o_valid, payload = await ctx.tick().sample(*outputs)
            expected = model.cycle(credit)
            seen = (ready, step, take, payload if o_valid else None)
            assert seen == expected, f"cycle {cycles}"
            if cycles == reset_at:
                model = Model(g, capacity, pad_word, images + 1, dut.latency)
                valid = False
            elif valid and ready:
                model.words.append(word)
                valid = False
            cycles += 1
            assert cycles < 20 * (images + 1) * (g.steps + g.image_words) + 100, "stuck"

    simulator = Simulator(ResetInserter(reset)(dut))
    simulator.add_clock(1e-6)
    simulator.add_testbench(bench)
    simulator.run()
    return cycles


@pytest.mark.parametrize("seed", range(60))
def test_random_geometry(seed):
    g = random_geometry(seed)
    capacity = power_of_two(g.minimum_capacity) << (seed % 5 == 4)
    idle, starve = [(0, 0), (0, 0.5), (0.5, 0), (0.3, 0.3)][seed % 4]
    check(g, capacity, idle=idle, starve=starve, seed=seed, output_register=seed % 7 == 0)


NAMED = {
    "same_3x3": WindowGeometry(5, 6, 2, (3, 3), pads=(1, 1, 1, 1)),
    "same_3x3_folded": WindowGeometry(5, 4, 2, (3, 3), pads=(1, 1, 1, 1), outer=3),
    "stride_beyond_kernel": WindowGeometry(9, 9, 1, (1, 1), stride=(4, 4)),
    "stride_beyond_kernel_2": WindowGeometry(9, 7, 2, (2, 2), stride=(4, 3), outer=2),
    "pointwise": WindowGeometry(3, 4, 3),
    "pointwise_folded": WindowGeometry(3, 4, 3, outer=2),
    "dense": WindowGeometry(1, 1, 6, outer=4),
    "dense_fifo": WindowGeometry(1, 1, 6),
    "dense_one": WindowGeometry(1, 1, 1),
    "max_pool": WindowGeometry(6, 6, 2, (2, 2), stride=(2, 2), blocks=2),
    "max_pool_odd": WindowGeometry(7, 7, 2, (2, 2), stride=(2, 2), blocks=2),
    "global_pool": WindowGeometry(4, 4, 3, (4, 4), blocks=3),
    "grouped": WindowGeometry(5, 4, 4, (3, 3), pads=(1, 1, 1, 1), outer=2, blocks=2),
    "grouped_pointwise": WindowGeometry(3, 4, 6, blocks=3),
    "asymmetric": WindowGeometry(4, 4, 2, (3, 3), stride=(2, 2), pads=(0, 0, 1, 1)),
    "full_padding": WindowGeometry(4, 4, 1, (3, 3), pads=(2, 2, 2, 2)),
    "full_padding_rows": WindowGeometry(1, 5, 2, (1, 4), pads=(0, 3, 0, 3), outer=2),
    "row": WindowGeometry(1, 12, 2, (1, 4), stride=(1, 2), pads=(0, 1, 0, 2)),
    "column": WindowGeometry(12, 1, 2, (4, 1), pads=(2, 0, 1, 0), dilation=(2, 1)),
}


@pytest.mark.parametrize("name", NAMED)
@pytest.mark.parametrize(("idle", "starve"), [(0, 0), (0.4, 0), (0, 0.4), (0.4, 0.4)])
def test_named_geometry(name, idle, starve):
    g = NAMED[name]
    check(g, power_of_two(g.minimum_capacity), idle=idle, starve=starve, seed=1)


@pytest.mark.parametrize("name", ["same_3x3", "full_padding", "dense", "max_pool", "grouped"])
@pytest.mark.parametrize("reset_at", [1, 7, 23])
def test_reset_in_the_middle(name, reset_at):
    g = NAMED[name]
    check(g, power_of_two(g.minimum_capacity), idle=0.2, starve=0.2, reset_at=reset_at, images=2)


def test_no_bubble_between_images():
    """A folded layer that reads more than it takes in issues a step in every cycle."""
    g = NAMED["same_3x3_folded"]
    capacity = 2 * power_of_two(g.minimum_capacity)
    start = g.image_words  # at most: the first window waits for its words
    assert check(g, capacity, images=3) <= 3 * g.steps + start


def test_capacity_two_sustains_a_word_a_cycle():
    assert check(NAMED["dense_fifo"], 2, images=5) == 5 * 6 + 1


def test_block_memory():
    check(NAMED["same_3x3"], power_of_two(NAMED["same_3x3"].minimum_capacity), memory="block",
          idle=0.3, starve=0.3)


def test_merged_loops():
    assert merge_loops(NAMED["dense_fifo"]) == ([], [], [("w", 6, 1)], 6)
    assert merge_loops(NAMED["pointwise"]) == ([], [], [("w", 3, 1)], 3)
    assert merge_loops(NAMED["global_pool"]) == ([], [("b", 3, 1)], [("kx", 16, 3)], 48)
    position, _, inner, _ = merge_loops(NAMED["same_3x3"])
    assert [name for name, _, _ in position] == ["oy", "ox"]
    assert [name for name, _, _ in inner] == ["ky", "kx", "w"]
    assert merge_loops(NAMED["grouped_pointwise"]) == ([], [("b", 3, 2)], [("w", 2, 1)], 6)
    unpadded = WindowGeometry(5, 6, 2, (3, 3))
    assert merge_loops(unpadded)[2] == [("ky", 3, 12), ("w", 6, 1)]


def test_memory_choice():
    assert ring_memory(64, 100) == "distributed"
    assert ring_memory(128, 8) == "distributed"
    assert ring_memory(128, 9) == "block"
    assert ring_memory(2, 9, "block") == "block"
    with pytest.raises(ValueError, match="memory"):
        ring_memory(2, 9, "bram")


@pytest.mark.parametrize(("capacity", "pad_word"), [(3, 0), (8, 0), (32, 1 << WIDTH), (0, 0)])
def test_refusals(capacity, pad_word):
    with pytest.raises(ValueError, match=r"capacity|pad_word"):
        LineBuffer(NAMED["same_3x3"], WIDTH, capacity, pad_word)


def test_geometry_type():
    with pytest.raises(TypeError, match="WindowGeometry"):
        LineBuffer((3, 3), WIDTH, 4)
