"""Layers between the network's real input and its quantizer."""

from fractions import Fraction

import numpy as np
from model_executor import run_graph
from networks import Network

from nn2rtl.design import Emulator, integer_graph
from nn2rtl.ir import model
from nn2rtl.ir.types import exact_array


def test_repeated_and_left_out_elements_ahead_of_the_input_quantizer():
    net = Network((3, 4, 4))
    net.name = "image"
    index = np.arange(48).reshape(3, 4, 4)[:, 1:, :].repeat(2, axis=2)
    net.append("pick", model.Gather(np.ascontiguousarray(index)), index.shape)
    offset = exact_array(np.array([3, -2, 5]).reshape(3, 1, 1)) / 8
    net.append("mean", model.Affine(exact_array(Fraction(1)), offset), net.shape)
    net.quantize(5, signed=True).conv(4, 3).quantize(5, signed=True)
    net.graph.outputs = [net.name]
    x = np.random.default_rng(0).integers(-16, 16, (9, 3, 4, 4)) / 8
    found = Emulator(integer_graph(net.graph)).emulate(x)
    np.testing.assert_array_equal(found, run_graph(net.graph, x))
