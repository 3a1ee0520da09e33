"""Small networks of every kind of layer, built here: hardware equals the model, to the cycle."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from model_executor import run_graph
from networks import Network, check_hardware

from nn2rtl.build import check_simulation
from nn2rtl.design import Emulator, integer_graph
from nn2rtl.errors import OptionsError, UnsupportedError
from nn2rtl.ir import model
from nn2rtl.ir.types import exact_array
from nn2rtl.plan.schedule import DeadlockError
from nn2rtl.plan.stages import ForkStage
from nn2rtl.plan.timing import Schedule


def residual():
    """Two convolutions around which the input of the first is added."""
    net = Network((4, 7, 6)).conv(4, 3, pad=1).quantize(4, signed=False)
    skip = net.name
    net.conv(6, 3, pad=1).norm().quantize(3, signed=True, scale=Fraction(1, 2))
    net.conv(4, 3, pad=1).quantize(4, signed=True, scale=Fraction(3, 4))
    net.add(skip).quantize(5, signed=True)
    return net.pool(model.AveragePool, 2, 2).quantize(4, signed=True).flatten().dense(3)


NETWORKS = {
    "strides and odd pads": lambda: (
        Network((3, 9, 8), 1).conv(4, 3, stride=2, pad=1).norm().quantize(4, signed=True)
        .conv(5, 2, dilation=2).quantize(5, signed=True).flatten().dense(4)
    ),
    "pooling": lambda: (
        Network((4, 8, 8), 2).pool(model.MaxPool, 3, 2, pad=1).conv(6, 1).apply(model.Function.RELU)
        .quantize(5, signed=False).pool(model.MaxPool, 2, 2).conv(3, 2).quantize(9, signed=True)
    ),
    "activations": lambda: (
        Network((6,), 3).dense(8).apply(model.Function.TANH)
        .quantize(6, signed=True, scale=Fraction(1, 32)).dense(5).norm()
        .apply(model.Function.SIGMOID).quantize(8, signed=False, scale=Fraction(1, 256))
        .dense(4).quantize(6, signed=True, scale=Fraction(1, 8)).apply(model.Function.TANH)
        .quantize(7, signed=True, scale=Fraction(1, 64)).dense(4)
        .quantize(16, signed=True, scale=Fraction(1, 1000))
    ),
    "argmax": lambda: Network((12,), 4).dense(6).quantize(6, signed=True).append(
        "best", model.ArgMax(0, False), ()
    ),
    "residual": residual,
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_network(name):
    check_hardware(NETWORKS[name]().done())


@pytest.mark.parametrize("signed", [True, False])
def test_products_in_slices(signed, monkeypatch):
    """Pairs of 8-bit weights in DSP48E1 cells, an odd output, grouped layers; and without them."""
    def network():
        net = Network((4, 5, 5), 6).quantize(8, signed=signed)
        narrow = net.weight
        monkeypatch.setattr(net, "weight", lambda shape: narrow(shape, bits=8))
        net.conv(6, 3, pad=1).norm().quantize(8, signed=signed)
        net.conv(6, 3, groups=6).norm().quantize(8, signed=signed)
        return net.conv(5, 1).norm().quantize(6, signed=True)

    layers = {
        "conv": {"pe": 3, "simd": 4, "dsp": True},  # a pair and one
        "conv_2": {"pe": 2, "dsp": True},
        "conv_3": {"pe": 5, "simd": 6, "dsp": True},
    }
    design = network().done({"layers": layers})
    assert design.verilog.count("DSP48E1 #(") == 2 * 4 + 2 + 3 * 6
    check_hardware(design, samples=4)
    without = network().done({"layers": layers, "dsp": False})
    assert "DSP48E1" not in without.verilog and without.planned.total.dsp == 0


def test_a_smaller_skip_fifo_slows_the_network_or_deadlocks_it():
    plan = residual().done().planned.plan
    (fork,) = (stage for stage in plan.stages if isinstance(stage, ForkStage))
    reader, depth = max(fork.branches, key=lambda branch: branch[1])
    assert depth > 2
    before = Schedule(plan, 4).solve()

    def with_depth(places):
        branches = tuple((r, places if r == reader else d) for r, d in fork.branches)
        smaller = replace(fork, branches=branches)
        stages = tuple(smaller if stage is fork else stage for stage in plan.stages)
        return Schedule(replace(plan, stages=stages), 4).solve()

    same = with_depth(depth + 5)
    assert np.array_equal(same.output_cycles, before.output_cycles)
    slower = with_depth(depth - 1)
    assert slower.output_cycles[-1] > before.output_cycles[-1]
    with pytest.raises(DeadlockError):
        with_depth(max(2, depth // 4))


def test_hardware_of_a_larger_and_of_the_planned_skip_fifo_agree():
    """The prediction holds in simulation: the planned depth is enough."""
    design = residual().done()
    x = np.random.default_rng(1).normal(size=(6, 4, 7, 6))
    check_simulation(design, design.simulate(x))


def check_emulation(graph, output, samples=20):
    """Emulation equals the model, on inputs of which many meet ties."""
    graph.outputs = [output]
    design = Emulator(integer_graph(graph))
    rng = np.random.default_rng(3)
    x = rng.integers(-16, 16, (samples, *design.graph.spec()[0].shape)) / 8
    np.testing.assert_array_equal(design.emulate(x), run_graph(graph, x))
    return design


@pytest.mark.parametrize("after", ["conv", "dense", "max pool", "average pool"])
def test_offsets_of_the_inputs_channels(after):
    """The input is a stream of one position; a layer behind it knows its channels again."""
    net = Network((3, 5, 4))
    offset = exact_array(np.array([3, -2, 5]).reshape(3, 1, 1)) / 8
    net.append("mean", model.Affine(exact_array(Fraction(1)), offset), net.shape)
    if after == "conv":
        net.conv(4, 3)
    elif after == "dense":
        net.flatten().dense(3)
    else:
        net.pool(model.MaxPool if after == "max pool" else model.AveragePool, 2, 1)
    net.norm().quantize(5, signed=True)
    check_emulation(net.graph, net.name)


@pytest.mark.parametrize("axes", [(0, 1), (1, 0), (0, 0)])
def test_argmax_behind_softmax(axes):
    """A softmax over another axis changes the order that argmax sees."""
    net = Network((4, 5)).append("softmax", model.Softmax(axes[0]), (4, 5))
    net.append("best", model.ArgMax(axes[1], True), [(1, 5), (4, 1)][axes[1]])
    check_emulation(net.graph, net.name)


def test_an_interval_of_a_network_without_foldable_layers():
    net = Network((6,)).append("best", model.ArgMax(0, False), ())
    assert net.done().planned.timing.interval_cycles == 6
    with pytest.raises(OptionsError, match="an interval of 5 cycles .* allow 6 cycles"):
        net.done({"interval_cycles": 5})


@pytest.mark.parametrize("layer", ["conv", "pool"])
def test_a_folding_with_too_wide_a_stream(layer):
    net = Network((512, 2, 2))
    net = net.conv(512, 1) if layer == "conv" else net.pool(model.MaxPool, 2, 2)
    with pytest.raises(OptionsError, match=f"{layer}: pe or simd .* more than 1024 bits"):
        net.done({"layers": {layer: {"pe": 512}}})


@pytest.mark.parametrize("kind", ["conv", "average pool"])
def test_padding_with_a_zero_that_the_operand_does_not_reach(kind):
    net = Network((3, 5, 4))
    net.append("up", model.Affine(exact_array(Fraction(1)), exact_array(Fraction(9, 2))), net.shape)
    net.quantize(5, signed=True)
    if kind == "conv":
        net.conv(3, 3, pad=1)
    else:
        net.pool(model.AveragePool, 2, 1, pad=1)
    net.quantize(6, signed=True)
    check_emulation(net.graph, net.name)


@pytest.mark.parametrize("kind", ["conv", "average pool"])
def test_padding_with_a_zero_that_the_quantizer_does_not_have(kind):
    net = Network((3, 5, 4)).quantize(4, signed=False, zero=-3)
    if kind == "conv":
        net.conv(3, 3, pad=1)
    else:
        net.pool(model.AveragePool, 2, 1, pad=1)
    with pytest.raises(UnsupportedError, match="zero padding is -3"):
        net.done()


def test_sum_with_the_networks_input():
    net = Network((3, 4, 5))
    skip = net.name
    net.conv(3, 3, pad=1).quantize(4, signed=True).add(skip).norm().quantize(4, signed=True)
    check_emulation(net.graph, net.name)


def test_sum_of_a_tensor_and_its_reshaped_self():
    net = Network((3, 4, 5)).conv(3, 1).quantize(4, signed=True)
    skip = net.name
    net.flatten().append("back", model.Reshape(), (3, 4, 5)).add(skip).quantize(4, signed=True)
    design = check_emulation(net.graph, net.name)
    assert "WeightedSum" not in design.graph.summary()


def test_sum_of_tensors_without_weight():
    zero = model.Affine(exact_array(Fraction(0)), exact_array(Fraction(3, 4)))
    net = Network((6,)).append("nothing", zero, (6,))
    left = net.name
    net.name = left.replace("nothing", "quant")
    net.dense(6).quantize(4, signed=True).append("nothing", zero, (6,)).add(left)
    check_emulation(net.graph, net.quantize(4, signed=True).name)


def test_an_input_that_is_quantized_twice():
    def network(bits):
        net = Network((4, 5))
        first, net.name = net.name, "image"
        return net.quantize(bits, signed=True).add(first)

    net = network(4)
    check_emulation(net.graph, net.name)
    with pytest.raises(UnsupportedError, match="quantized in two ways"):
        network(5).done()


def test_a_pooling_has_one_number_of_lanes():
    with pytest.raises(OptionsError, match="pool: pe 2 and simd 4 of a pooling differ"):
        NETWORKS["pooling"]().done({"layers": {"pool": {"pe": 2, "simd": 4}}})
