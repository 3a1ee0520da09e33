"""Grouped and depthwise convolutions: hardware equals the model, to the cycle, in every folding."""

import pytest
from networks import Network, check_hardware

from nn2rtl.boards.resources import Resources
from nn2rtl.boards.synthesis import synthesize
from nn2rtl.design import integer_graph
from nn2rtl.elaborate import TOP
from nn2rtl.errors import OptionsError
from nn2rtl.ir import integer as ig
from nn2rtl.options import LayerOptions
from nn2rtl.plan.cost import layer_cost, stage_cost
from nn2rtl.plan.folding import choices, layer_cycles
from nn2rtl.plan.streams import StreamBuilder, layers


def convolution(shape, outputs, groups, kernel=3, **window):
    """A single convolution; its input is of 4 bits, its result too."""
    net = Network(shape, 5).conv(outputs, kernel, groups=groups, **window)
    return net.norm().quantize(4, signed=True)


LAYERS = {
    "depthwise": lambda: convolution((6, 6, 5), 6, 6, pad=1),
    "depthwise, stride 2": lambda: convolution((4, 7, 6), 4, 4, stride=2, pad=1),
    "depthwise, multiplier 2": lambda: convolution((4, 5, 5), 8, 4, pad=1),
    "two groups": lambda: convolution((8, 4, 5), 12, 2, pad=1),
    "two groups, dilated": lambda: convolution((4, 6, 5), 4, 2, dilation=2),
    "pointwise": lambda: convolution((12, 4, 3), 6, 3, kernel=1),
}
FOLDINGS = [
    ("depthwise", {"pe": 1}, (6, 1, 6)),
    ("depthwise", {"pe": 6}, (1, 1, 1)),
    ("depthwise", {"simd": 3, "dsp": True}, (2, 1, 2)),
    ("depthwise, stride 2", {"pe": 2}, (2, 1, 2)),
    ("depthwise, multiplier 2", {"pe": 1}, (4, 2, 4)),
    ("depthwise, multiplier 2", {"pe": 4}, (2, 1, 2)),
    ("two groups", {"pe": 3, "simd": 2}, (4, 2, 2)),
    ("two groups", {"pe": 6, "simd": 4}, (2, 1, 2)),
    ("two groups", {"pe": 12}, (1, 1, 1)),
    ("two groups, dilated", {"pe": 1, "simd": 2}, (2, 2, 2)),
    ("pointwise", {"pe": 1, "simd": 2}, (6, 2, 3)),
    ("pointwise", {"simd": 12}, (1, 1, 1)),
]


@pytest.mark.parametrize(("name", "wanted", "folds"), FOLDINGS)
def test_folded(name, wanted, folds):
    design = LAYERS[name]().done({"layers": {"conv": wanted}})
    (stage,) = (s for s in design.planned.plan.stages if s.name == "n_conv")
    g = stage.geometry
    assert (g.words, g.outer, g.blocks) == folds
    check_hardware(design, samples=3)


@pytest.mark.parametrize("cycles", [120, 4000])
def test_between_other_layers(cycles):
    """Depthwise and pointwise layers in turn, as in mobile networks."""
    net = Network((3, 7, 6), 2).conv(4, 3, stride=2, pad=1).quantize(4, signed=False)
    for stride, outputs in ((1, 6), (2, 8)):
        channels = net.shape[0]
        net.conv(channels, 3, stride=stride, pad=1, groups=channels).quantize(4, signed=False)
        net.conv(outputs, 1).norm().quantize(4, signed=False)
    design = net.flatten().dense(5).done({"interval_cycles": cycles})
    assert design.planned.timing.interval_cycles <= cycles
    check_hardware(design, samples=8)


@pytest.fixture(scope="module")
def layer(graph):
    return next(each for each in layers(graph) if isinstance(each.node.op, ig.Conv))


@pytest.fixture(scope="module")
def graph():
    """Two groups of 4 inputs and 6 outputs."""
    net = LAYERS["two groups"]()
    net.graph.outputs = [net.name]
    return integer_graph(net.graph)


def test_choices(graph, layer):
    found = {
        (f.pe, f.simd): layer_cycles(graph, layer, f)
        for f in choices(graph, layer, LayerOptions(), False)
    }
    assert found == {
        (12, 8): 180,
        **{(pe, simd): 20 * 9 * 2 * (6 // pe) * (4 // simd)
           for pe in (1, 2, 3, 6) for simd in (1, 2, 4)},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"pe": 5}, "pe 5 does not divide its 12 channels; the nearest that does is 4"),
        ({"pe": 4}, "pe 4 cannot keep to its 2 groups of 4 inputs and 6 outputs; .* is pe 3: pe"),
        ({"pe": 12, "simd": 4}, "pe 12 and simd 4 cannot keep .* is pe 12 and simd 8: pe"),
        ({"pe": 2, "simd": 8}, "pe 2 and simd 8 cannot keep .* is pe 2 and simd 4: pe"),
    ],
)  # fmt: skip
def test_refused_foldings(graph, layer, wanted, message):
    with pytest.raises(OptionsError, match=message):
        choices(graph, layer, LayerOptions(**wanted), False)


def test_cost_of_layer_and_stage(graph, layer):
    for use_dsp in (False, True):
        for folding in choices(graph, layer, LayerOptions(), use_dsp):
            plan = StreamBuilder(graph, {layer.node.name: folding}).build()
            stage = next(each for each in plan.stages if each.name == "n_conv")
            before, after = layer_cost(graph, layer, folding), stage_cost(stage)
            assert (before.dsp, before.bram36) == (after.dsp, after.bram36)
            # The search does not know the depth of the output FIFO.
            assert before.lut == pytest.approx(after.lut, abs=2 * stage.result.bits + 16)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "outputs", "groups", "wanted"),
    [
        ((32, 16, 16), 32, 32, {"pe": 32, "dsp": False}),
        ((16, 12, 12), 32, 16, {"pe": 8, "dsp": False}),
        ((32, 10, 10), 32, 4, {"pe": 4, "simd": 4, "dsp": False}),
    ],
)
def test_cost_within_15_percent_of_yosys(shape, outputs, groups, wanted, tmp_path_factory):
    design = convolution(shape, outputs, groups, pad=1).done({"layers": {"conv": wanted}})
    folder = tmp_path_factory.mktemp("grouped")
    source = folder / "design.il"
    source.write_text(design.rtlil, encoding="utf-8")
    actual = synthesize(source, TOP, design.board, folder).by_instance["n_conv"]
    for name in Resources.names():
        predicted = design.planned.costs["n_conv"][name]
        assert predicted == pytest.approx(actual[name], rel=0.15, abs=1), name
