# amaranth: UnusedElaboratable=no
"""Engines: exact sums under idle and backpressure, exact timing."""

import random

import pytest
from amaranth.hdl import signed, unsigned
from amaranth.lib.data import ArrayLayout

from nn2rtl.primitives.engine import ConvEngine, WindowReduceEngine
from nn2rtl.primitives.geometry import WindowGeometry
from nn2rtl.primitives.reduce import LaneReduce
from nn2rtl.primitives.requantize import Requantizer

ACC = 20
IMAGES = 2

GEOMETRIES = {
    "same": WindowGeometry(3, 4, 2, (3, 3), pads=(1, 1, 1, 1), outer=2),
    "strided": WindowGeometry(5, 5, 1, (2, 2), stride=(2, 2), pads=(0, 0, 1, 1)),
    "sparse": WindowGeometry(6, 6, 2, (1, 1), stride=(3, 3), outer=3),
    "dense": WindowGeometry(1, 1, 6, outer=3),
    "dense_one": WindowGeometry(1, 1, 4),
    "one_step": WindowGeometry(3, 3, 1),
    "grouped": WindowGeometry(4, 3, 4, (3, 2), (2, 1), (1, 1, 1, 0), outer=2, blocks=2),
    "grouped_pointwise": WindowGeometry(3, 2, 4, outer=3, blocks=2),
    "depthwise": WindowGeometry(4, 4, 3, (3, 3), pads=(1, 1, 1, 1), blocks=3),
}
BLOCKS = {"depthwise": 2}


def power_of_two(n):
    return 1 << (n - 1).bit_length()


class Conv:
    """A random layer with its exact result and, from streams of times, its exact schedule."""

    def __init__(self, g, *, depth, seed=0, pe=2, simd=2, blocks=1, pad_value=3, spare=1,
                 out_lanes=None, **options):
        rng = random.Random(seed)
        self.out_lanes = out_lanes or pe
        self.g, self.depth, self.pe, self.simd, self.pad = g, depth, pe, simd, pad_value
        self.lanes, self.pes = simd // blocks, pe // blocks
        self.capacity = spare * power_of_two(g.minimum_capacity)
        self.weights = [[[rng.randint(-8, 7) for _ in range(self.lanes)] for _ in range(pe)]
                        for _ in range(g.window_steps)]
        self.words = [[rng.randint(0, 15) for _ in range(simd)]
                      for _ in range(IMAGES * g.image_words)]
        self.dut = ConvEngine(g, unsigned(4), signed(4), signed(ACC), pe, simd, self.weights,
                              depth=depth, capacity=self.capacity, pad_value=pad_value,
                              blocks=blocks, out_lanes=out_lanes, **options)

    def words_out(self):
        """The sums as they leave, a few lanes at a time."""
        return [row[k : k + self.out_lanes] for row in self.sums()
                for k in range(0, self.pe, self.out_lanes)]

    def sums(self):
        """Convolution by its definition, not by the geometry's step order."""
        g = self.g
        out = []
        for n in range(IMAGES):
            image = self.words[n * g.image_words : (n + 1) * g.image_words]
            for oy in range(g.out_height):
                for ox in range(g.out_width):
                    for fold in range(g.blocks * g.outer):
                        out.append([self.sum(image, oy, ox, fold, p) for p in range(self.pe)])
        return out

    def sum(self, image, oy, ox, fold, p):
        g, total = self.g, 0
        for ky in range(g.kernel[0]):
            for kx in range(g.kernel[1]):
                y = oy * g.stride[0] + ky * g.dilation[0] - g.pads[0]
                x = ox * g.stride[1] + kx * g.dilation[1] - g.pads[1]
                inside = 0 <= y < g.height and 0 <= x < g.width
                size = g.words // g.blocks
                for w in range(size):
                    word = (y * g.width + x) * g.words + fold // g.outer * size + w
                    data = image[word] if inside else [self.pad] * self.simd
                    data = data[p // self.pes * self.lanes :][: self.lanes]
                    step = ((fold * g.kernel[0] + ky) * g.kernel[1] + kx) * size + w
                    weights = self.weights[step][p]
                    total += sum(a * b for a, b in zip(data, weights, strict=True))
        return total


def schedule(g, dut, capacity, depth, cycles):
    """Accept and pop times when the source offers and the sink takes a word in every cycle."""
    total = IMAGES * g.image_words
    reads = [r if r is None else r + n * g.image_words for n in range(IMAGES) for r in g.reads()]
    lasts = [last for _, last in g.flags()] * IMAGES
    freed = [*g.freed(IMAGES + 1)]
    words = getattr(dut, "group_words", 1)
    accepted, visible, popped = [], [], []
    step = in_flight = 0
    for t in range(cycles):
        ready = len(accepted) < min(total, freed[step // g.release_steps] + capacity)
        issue = step < len(reads) and (reads[step] is None or reads[step] < len(accepted)) and (
            not lasts[step] or in_flight + words <= depth)
        pop = len(popped) < len(visible) and visible[len(popped)] <= t
        if issue:
            if lasts[step]:
                first = t + dut.pipe_latency + dut.fifo_latency
                visible += range(first, first + words)
                in_flight += words
            step += 1
        if pop:
            popped.append(t)
            in_flight -= 1
        if ready:
            accepted.append(t)
    return accepted, popped


def pack_words(pack, words):
    return [pack(word, 4) for word in words]


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize(
    ("idle", "backpressure", "depth"), [(0, 0, 8), (0.4, 0, 2), (0, 0.6, 2), (0.3, 0.3, 1)]
)
def test_exact_sums(stream_bench, pack, unpack, name, idle, backpressure, depth):
    conv = Conv(GEOMETRIES[name], depth=depth, seed=depth, blocks=BLOCKS.get(name, 1))
    sums = conv.sums()
    run = stream_bench(conv.dut, {"i": pack_words(pack, conv.words)}, {"o": len(sums)},
                       idle=idle, backpressure=backpressure, seed=depth)
    assert [unpack(word, conv.pe, ACC, True) for word in run.data["o"]] == sums


@pytest.mark.parametrize("name", GEOMETRIES)
@pytest.mark.parametrize(
    ("depth", "memory_register"), [(1, False), (3, True), (16, False), (80, True)]
)
def test_exact_timing(stream_bench, pack, name, depth, memory_register):
    g = GEOMETRIES[name]
    conv = Conv(g, depth=depth, memory_register=memory_register, spare=1 + (depth == 16))
    run = stream_bench(conv.dut, {"i": pack_words(pack, conv.words)}, {"o": IMAGES * g.outputs})
    accepted, popped = schedule(g, conv.dut, conv.capacity, depth, run.cycles)
    assert run.time["i"] == accepted
    assert run.time["o"] == popped


# (geometry, PE, lanes that leave): the words of a group are fewer than its steps, or as many.
SERIAL = [("same", 2, 1), ("strided", 4, 1), ("dense", 6, 2), ("sparse", 6, 3), ("grouped", 12, 1)]


@pytest.mark.parametrize(("name", "pe", "out_lanes"), SERIAL)
@pytest.mark.parametrize(("idle", "backpressure", "spare"), [(0.4, 0, 7), (0, 0.6, 1)])
def test_serial_sums(stream_bench, pack, unpack, name, pe, out_lanes, idle, backpressure, spare):
    conv = Conv(GEOMETRIES[name], depth=pe // out_lanes + spare, pe=pe, out_lanes=out_lanes)
    words = conv.words_out()
    run = stream_bench(conv.dut, {"i": pack_words(pack, conv.words)}, {"o": len(words)},
                       idle=idle, backpressure=backpressure, seed=spare)
    assert [unpack(word, out_lanes, ACC, True) for word in run.data["o"]] == words


@pytest.mark.parametrize(("name", "pe", "out_lanes"), SERIAL)
@pytest.mark.parametrize(("spare", "memory_register"), [(0, False), (1, True), (70, False)])
def test_serial_timing(stream_bench, pack, name, pe, out_lanes, spare, memory_register):
    depth = pe // out_lanes + spare
    conv = Conv(GEOMETRIES[name], depth=depth, pe=pe, out_lanes=out_lanes,
                memory_register=memory_register)
    run = stream_bench(conv.dut, {"i": pack_words(pack, conv.words)},
                       {"o": len(conv.words_out())})
    accepted, popped = schedule(conv.g, conv.dut, conv.capacity, depth, run.cycles)
    assert run.time["i"] == accepted
    assert run.time["o"] == popped


def test_serial_requantizer(stream_bench, pack, unpack):
    """Each channel keeps its constants, whichever lane it leaves in."""
    g, channels = GEOMETRIES["grouped"], 16  # two blocks, two folds, PE
    factors = [3 * c - 20 for c in range(channels)]
    requantizer = Requantizer(signed(ACC), signed(8), 2, factors, range(channels), 4, -128, 127)
    conv = Conv(g, depth=9, pe=4, out_lanes=2, epilogue=[requantizer])
    sums = conv.sums()
    run = stream_bench(conv.dut, {"i": pack_words(pack, conv.words)}, {"o": 2 * len(sums)},
                       backpressure=0.2)
    wanted = [
        max(-128, min(127, (value * factors[c % channels] + c % channels) >> 4))
        for c, value in enumerate(value for row in sums for value in row)
    ]
    assert [x for word in run.data["o"] for x in unpack(word, 2, 8, True)] == wanted


@pytest.mark.parametrize(("pe", "simd", "blocks"), [(2, 2, 1), (4, 2, 2), (4, 4, 2), (3, 3, 3)])
@pytest.mark.parametrize("use_dsp", [False, True])
def test_groups_side_by_side(stream_bench, pack, unpack, pe, simd, blocks, use_dsp):
    g = GEOMETRIES["depthwise"]
    conv = Conv(g, depth=4, pe=pe, simd=simd, blocks=blocks, use_dsp=use_dsp)
    run = stream_bench(conv.dut, {"i": pack_words(pack, conv.words)}, {"o": IMAGES * g.outputs},
                       idle=0.2, backpressure=0.2)
    assert [unpack(word, pe, ACC, True) for word in run.data["o"]] == conv.sums()


def test_dsp_products(stream_bench, pack, unpack):
    conv = Conv(GEOMETRIES["same"], depth=4, use_dsp=True)
    run = stream_bench(conv.dut, {"i": pack_words(pack, conv.words)}, {"o": len(conv.sums())})
    assert [unpack(word, conv.pe, ACC, True) for word in run.data["o"]] == conv.sums()


@pytest.mark.parametrize("depth", [1, 6])
def test_max_pool(stream_bench, pack, unpack, depth):
    g = WindowGeometry(5, 7, 2, (3, 2), stride=(2, 2), pads=(1, 0, 1, 1), blocks=2)
    rng = random.Random(0)
    words = [[rng.randint(-8, 7) for _ in range(2)] for _ in range(IMAGES * g.image_words)]
    reduce = LaneReduce(signed(4), signed(4), 2, 6, "max")
    again = LaneReduce(signed(4), signed(4), 2, 1, "add")  # passes on, as an epilogue
    capacity = power_of_two(g.minimum_capacity)
    dut = WindowReduceEngine(g, ArrayLayout(signed(4), 2), reduce, depth=depth, capacity=capacity,
                             pad_value=-8, epilogue=[again])
    assert dut.pipe_latency == 3
    run = stream_bench(dut, {"i": pack_words(pack, words)}, {"o": IMAGES * g.outputs})
    wanted = []
    for n in range(IMAGES):
        for oy in range(g.out_height):
            for ox in range(g.out_width):
                for w in range(g.words):
                    taps = [words[n * g.image_words + (y * g.width + x) * g.words + w]
                            for y in range(oy * 2 - 1, oy * 2 + 2)
                            for x in range(ox * 2, ox * 2 + 2)
                            if 0 <= y < g.height and 0 <= x < g.width]
                    wanted.append([max(values) for values in zip(*taps, strict=True)])
    assert [unpack(word, 2, 4, True) for word in run.data["o"]] == wanted
    accepted, popped = schedule(g, dut, capacity, depth, run.cycles)
    assert (run.time["i"], run.time["o"]) == (accepted, popped)


def engine(g=GEOMETRIES["one_step"], weights=(((1,),),), pe=1, **options):
    settings = {"depth": 2, "capacity": 4, **options}
    return ConvEngine(g, unsigned(4), signed(4), signed(12), pe, 1, weights, **settings)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"blocks": 2}, "blocks must divide"),
        ({"weights": [[[1]], [[1]]]}, "1 x 1 x 1"),
        ({"weights": [[[1, 2]]]}, "1 x 1 x 1"),
        ({"weights": [[[8]]]}, "fit"),
        ({"pad_value": 16}, "fit"),
        ({"out_lanes": 2}, "out_lanes must divide"),
        ({"weights": [[[1], [1]]], "pe": 2, "out_lanes": 1}, "at most 1 words"),
        ({"g": GEOMETRIES["dense_one"], "weights": [[[1]] * 4] * 4, "pe": 4, "out_lanes": 1},
         "depth must be at least"),
        ({"epilogue": [LaneReduce(signed(11), signed(11), 1, 1, "add")]}, "12 bits"),
    ],
)
def test_conv_refusals(options, message):
    with pytest.raises(ValueError, match=message):
        engine(**options)


def test_reduce_refusals():
    reduce = LaneReduce(signed(4), signed(4), 2, 1, "max")
    with pytest.raises(ValueError, match="each word"):
        WindowReduceEngine(WindowGeometry(2, 2, 2), ArrayLayout(signed(4), 2), reduce,
                           depth=1, capacity=1)
    with pytest.raises(TypeError, match="ArrayLayout"):
        WindowReduceEngine(WindowGeometry(2, 2, 1), unsigned(8), reduce,
                           depth=1, capacity=1)
