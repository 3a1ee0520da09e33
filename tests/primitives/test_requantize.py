# amaranth: UnusedElaboratable=no
"""Requantizer against its formula, and against numbers rounded as fractions."""

import random
import re
from collections import Counter
from fractions import Fraction

import pytest
from amaranth.back import rtlil
from amaranth.hdl import Module, Shape, Signal, Value, signed, unsigned

from nn2rtl.boards.yosys import run_yosys
from nn2rtl.primitives.credits import CreditedPipe
from nn2rtl.primitives.multiply import LutMultiplier, lut_multiplier_latency
from nn2rtl.primitives.pipe import shape_bounds
from nn2rtl.primitives.requantize import Requantizer
from nn2rtl.primitives.thresholds import Thresholds
from nn2rtl.primitives.weighted_sum import WeightedSum


def formula(acc, m, b, shift, low, high, half_even=False, split=0, step=0):
    total = acc * m + b
    if total >> shift >= split:
        total += step
    result = total >> shift
    if half_even and total % (1 << shift) == 0:
        result &= ~1
    return max(low, min(high, result))


def each(values, channel):
    return values[channel % len(values)]


def check(bench, pack, unpack, shapes, lanes, ms, bs, shift, low, high, accs=None, depth=None,
          **options):  # fmt: skip
    in_shape, out_shape = (Shape.cast(shape) for shape in shapes)
    pipe = Requantizer(in_shape, out_shape, lanes, ms, bs, shift, low, high, **options)
    if accs is None:
        least, greatest = options.get("in_range") or shape_bounds(in_shape)
        accs = [acc for acc in range(least, greatest + 1) for _ in range(max(len(ms), len(bs)))]
    accs = accs[: len(accs) // lanes * lanes]
    words = [pack(accs[k : k + lanes], in_shape.width) for k in range(0, len(accs), lanes)]
    dut = CreditedPipe(pipe, depth) if depth else pipe
    run = bench(dut, {"i": words}, {"o": len(words)}, idle=0.2,
                backpressure=0.3 if depth else 0, seed=lanes)  # fmt: skip
    got = [v for w in run.data["o"] for v in unpack(w, lanes, out_shape.width, out_shape.signed)]
    half, split = options.get("half_even", False), options.get("split", 0)
    steps = options.get("step", [0])
    assert got == [
        formula(acc, each(ms, k), each(bs, k), shift, low, high, half, split, each(steps, k))
        for k, acc in enumerate(accs)
    ]
    if not depth:
        assert run.time["o"] == [cycle + pipe.latency for cycle in run.time["i"]]
    return pipe


EXHAUSTIVE = [
    # in, out, lanes, multiplier, bias, shift, low, high, latency
    (signed(6), signed(4), 1, [1], [0], 0, -8, 7, 1),
    (signed(6), signed(6), 1, [1], [0], 0, -32, 31, 1),
    (signed(6), signed(3), 2, [1], [0], 3, -4, 3, 1),
    (signed(6), unsigned(4), 1, [1], [3], 2, 0, 8, 2),
    (signed(6), unsigned(4), 2, [3, 5], [-7, 9], 4, 0, 15, 3),
    (signed(6), signed(4), 1, [-3], [0], 3, -8, 7, 2),
    (signed(6), signed(4), 1, [-1], [0], 3, -4, 4, 1),
    (signed(6), signed(5), 1, [0], [-5], 0, -16, 15, 1),
    (unsigned(5), signed(5), 1, [16], [-9], 4, -16, 15, 2),
    (signed(6), signed(4), 1, [3, -5], [7, 1], 4, -8, 7, 3),
    (signed(6), signed(4), 2, [3, 5, 3, 5], [7, 1, 2, -3], 4, -8, 7, 3),
    (signed(6), signed(4), 1, [1, 1, 1], [7, 1, -9], 1, -5, 6, 2),
    (unsigned(5), unsigned(3), 2, [1, 2, 3, 0], [0], 3, 0, 7, 2),
    (unsigned(5), unsigned(8), 1, [3, 7], [5, 2], 0, 0, 255, 2),
]


@pytest.mark.parametrize(("i", "o", "lanes", "ms", "bs", "shift", "low", "high", "latency"),
                         EXHAUSTIVE)  # fmt: skip
def test_every_accumulator(
    stream_bench, pack, unpack, i, o, lanes, ms, bs, shift, low, high, latency
):
    pipe = check(stream_bench, pack, unpack, (i, o), lanes, ms, bs, shift, low, high)
    assert pipe.latency == latency


@pytest.mark.parametrize("use_dsp", [False, True])
@pytest.mark.parametrize("half_even", [False, True])
@pytest.mark.parametrize("lanes", [1, 2])
@pytest.mark.parametrize("limits", [(-7, 6), (-8, 7), (-3, 3), (-16, 15)])
def test_half_even_and_dsp(stream_bench, pack, unpack, use_dsp, half_even, lanes, limits):
    check(stream_bench, pack, unpack, (signed(6), signed(5)), lanes, [4, 12, 3, -4],
          [8, 8, 0, -8], 4, *limits, use_dsp=use_dsp, half_even=half_even)  # fmt: skip


@pytest.mark.parametrize(
    ("lanes", "ms", "bs", "step", "latency"),
    [(1, [1], [0], [0], 1), (1, [1], [8], [3], 2), (1, [1], [0], [15], 1), (2, [3], [7], [1, 9], 3),
     (2, [3, 5, -4, 7], [7, 1, 0, -3], [2, 0, 15, 8], 4)],
)  # fmt: skip
@pytest.mark.parametrize("split", [-20, -2, 0, 3, 99])
def test_two_pieces(stream_bench, pack, unpack, lanes, ms, bs, step, split, latency):
    pipe = check(stream_bench, pack, unpack, (signed(6), signed(4)), lanes, ms, bs, 4, -8, 7,
                 split=split, step=step)  # fmt: skip
    assert pipe.latency == latency


def test_two_pieces_round_half_away_from_zero(stream_bench, pack, unpack):
    check(stream_bench, pack, unpack, (signed(7), signed(5)), 1, [1], [3], 3, -9, 9, step=[1])
    for acc in range(-64, 64):
        away = (abs(acc) + 4) // 8 * (1 if acc > 0 else -1)
        assert formula(acc, 1, 3, 3, -9, 9, step=1) == max(-9, min(9, away))


@pytest.mark.parametrize("factor", [1, 6, -10])
def test_half_even_rounds_like_a_fraction(stream_bench, pack, unpack, factor):
    """Python rounds half to even."""
    check(stream_bench, pack, unpack, (signed(7), signed(5)), 1, [factor], [8], 4, -13, 11,
          half_even=True)  # fmt: skip
    for acc in range(-64, 64):
        wanted = max(-13, min(11, round(Fraction(acc * factor, 16))))
        assert formula(acc, factor, 8, 4, -13, 11, True) == wanted


@pytest.mark.parametrize("half_even", [False, True])
@pytest.mark.parametrize("in_range", [(-5, 30), (2, 9), (-20, -3), (4, 4)])
def test_shift_beyond_the_width(stream_bench, pack, unpack, in_range, half_even):
    check(stream_bench, pack, unpack, (signed(6), signed(4)), 1, [1], [0], 9, -8, 7,
          in_range=in_range, half_even=half_even)  # fmt: skip


@pytest.mark.parametrize("use_dsp", [False, True])
@pytest.mark.parametrize(("lanes", "channels"), [(4, 4), (4, 12), (1, 300)])
def test_wide(stream_bench, pack, unpack, lanes, channels, use_dsp):
    rng = random.Random(channels)
    in_range = (-700_001, 654_321)
    ms = [rng.randint(1 << 19, 1 << 20) for _ in range(channels)]
    bs = [rng.randint(-1 << 36, 1 << 36) for _ in range(channels)]
    accs = [rng.choice([*in_range, rng.randint(*in_range), rng.randint(-3000, 3000)])
            for _ in range(max(400, 3 * channels))]  # fmt: skip
    pipe = check(stream_bench, pack, unpack, (signed(22), signed(8)), lanes, ms, bs, 32, -128, 127,
                 accs, in_range=in_range, use_dsp=use_dsp)  # fmt: skip
    if channels > lanes:
        lut = lut_multiplier_latency(signed(21), unsigned(20))
        assert pipe.latency == (2 if use_dsp else lut) + 2  # bias, limits


def test_range_narrows_and_saves_the_clip_stage(stream_bench, pack, unpack):
    shapes = (signed(12), signed(8))
    wide = check(stream_bench, pack, unpack, shapes, 1, [3], [4], 2, -128, 127,
                 list(range(-500, 500, 7)))  # fmt: skip
    narrow = check(stream_bench, pack, unpack, shapes, 1, [3], [4], 2, -128, 127,
                   in_range=(-170, 167))  # fmt: skip
    assert (wide.latency, narrow.latency) == (3, 2)
    assert wide.sum_bounds != narrow.sum_bounds


@pytest.mark.parametrize("depth", [1, 3, 8])
def test_credited(stream_bench, pack, unpack, depth):
    check(stream_bench, pack, unpack, (signed(6), signed(4)), 2, [3, 5, 7, 1], [1, 2, 3, 4], 4,
          -8, 7, depth=depth)  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lanes": 0}, "lanes"),
        ({"multiplier": [1, 2, 3]}, "3 of 2"),
        ({"multiplier": []}, "1 or"),
        ({"bias": [1, 2, 3, 4], "multiplier": [1, 2]}, "1 or 4"),
        ({"shift": -1}, "at least 0, not -1"),
        ({"shift": 0, "half_even": True}, "at least 1, not 0"),
        ({"step": [2]}, "0 to 1, and 0 with half_even, not .2."),
        ({"step": [1], "half_even": True}, "0 with half_even"),
        ({"step": [1, 0, 1]}, "3 of 2"),
        ({"low": 8}, "8, 7"),
        ({"high": 8}, "-8, 8"),
        ({"in_range": (0, 32)}, "0, 32"),
    ],
)
def test_refusals(changes, message):
    settings = {"in_shape": signed(6), "out_shape": signed(4), "lanes": 2, "multiplier": [1],
                "bias": [0], "shift": 1, "low": -8, "high": 7, **changes}  # fmt: skip
    with pytest.raises(ValueError, match=message):
        Requantizer(**settings)


def synthesized(pipes, folder):
    """Map pipes to 7-series cells, each with ports of its own; return how many of each kind."""
    top = Module()
    ports = []
    for k, pipe in enumerate(pipes):
        top.submodules += pipe
        for name, port in (("i", pipe.i), ("o", pipe.o)):
            payload = Value.cast(port.payload)
            valid = Signal(name=f"{name}{k}_valid")
            data = Signal(len(payload), name=f"{name}{k}_data")
            pairs = [(port.valid, valid), (payload, data)]
            top.d.comb += [a.eq(b) if name == "i" else b.eq(a) for a, b in pairs]
            ports += [valid, data]
    design = folder / "design.il"
    design.write_text(rtlil.convert(top, ports=ports))
    run_yosys(
        "read_rtlil design.il\nrename -hide w:*\n"
        "synth_xilinx -family xc7 -top top -abc9 -flatten -noiopad -noclkbuf\n"
        "write_verilog -noattr netlist.v",
        folder, expect=["netlist.v"], inputs={"design.il": design},
    )  # fmt: skip
    netlist = (folder / "netlist.v").read_text()
    cells = Counter(re.findall(r"^  ([A-Z]\w+) (?:#\(|_|\\)", netlist, re.MULTILINE))
    assert cells["FDRE"]
    return cells


@pytest.mark.slow
def test_dsp_blocks_only_where_asked_for(tmp_path):
    rng = random.Random(0)
    ms = [rng.randint(1 << 14, 1 << 15) for _ in range(600)]
    shapes = (signed(20), signed(8))
    cells = synthesized(
        [
            LutMultiplier(signed(20), signed(16)),
            Requantizer(*shapes, 1, ms[:4], [5], 24, -128, 127),
            Requantizer(*shapes, 1, ms, [7], 24, -128, 127),
            Requantizer(*shapes, 2, ms[:2], [5], 24, -128, 127, use_dsp=True),
            Thresholds(signed(20), unsigned(2), 1, [sorted(ms[k : k + 3]) for k in range(40)], 0,
                       [False]),
            WeightedSum([signed(8), signed(8)], signed(28), 1, ms[:2]),
        ],
        tmp_path,
    )  # fmt: skip
    assert not cells["DSP48E1"]
    assert cells["RAMB18E1"] + cells["RAMB36E1"] >= 1  # the 600 factors
    cells = synthesized([Requantizer(*shapes, 1, ms[:4], [5], 24, -128, 127, use_dsp=True)],
                        tmp_path)  # fmt: skip
    assert cells["DSP48E1"] == 1


@pytest.mark.slow
def test_product_takes_a_lut_for_each_bit_of_a_row(tmp_path):
    cells = synthesized([LutMultiplier(signed(21), signed(20))], tmp_path)
    luts = sum(count for kind, count in cells.items() if kind.startswith("LUT"))
    assert luts <= 22 * 10 + 10
