"""Gathers: programs for regular and irregular indices, and their hardware in whole networks."""

import numpy as np
import pytest
from integer_networks import IntegerNetwork, check_integer_hardware

from nn2rtl.errors import UnsupportedError
from nn2rtl.ir import integer as ig
from nn2rtl.ir.types import IntTensor, IntType
from nn2rtl.plan.cost import stage_cost
from nn2rtl.plan.gather import (
    gather_capacity,
    gather_lanes,
    loop_nest,
    program_frees,
    program_needs,
    read_program,
)
from nn2rtl.plan.stages import GatherStage
from nn2rtl.primitives.read_program import NestProgram, TableProgram

SHAPE = (4, 6, 4)


def resize(y, x):
    return lambda image: image.repeat(y, 0).repeat(x, 1)


def pad(y, x, c=(0, 0)):
    return lambda image: np.pad(image, (y, x, c), constant_values=-1)


def depth_to_space(order):
    def rearrange(image):
        height, width, channels = image.shape
        if order == "DCR":
            parts = image.reshape(height, width, 2, 2, channels // 4).transpose(0, 2, 1, 3, 4)
        else:
            parts = image.reshape(height, width, channels // 4, 2, 2).transpose(0, 3, 1, 4, 2)
        return parts.reshape(2 * height, 2 * width, channels // 4)

    return rearrange


def space_to_depth(image):
    height, width, channels = image.shape
    parts = image.reshape(height // 2, 2, width // 2, 2, channels).transpose(0, 2, 1, 3, 4)
    return parts.reshape(height // 2, width // 2, 4 * channels)


def shuffle(image):
    height, width, channels = image.shape
    return image.reshape(height, width, 2, channels // 2).swapaxes(2, 3).reshape(image.shape)


def spread(image):
    """Zeros between the pixels, as ahead of a transposed convolution."""
    height, width, channels = image.shape
    result = np.full((2 * height + 1, 2 * width + 1, channels), -1)
    result[1::2, 1::2] = image
    return result


def nearest(image):
    """Nearest neighbours of a size that is no multiple."""
    return image[np.arange(7) * 4 // 7][:, np.arange(9) * 6 // 9]


def mixed(image):
    """Pixels in no regular order, from the middle on."""
    order = np.array([5, 1, 0, 3, 2, 4])
    return image.reshape(-1, 6, image.shape[2])[:, order].reshape(image.shape)


CASES = {  # rearrangement, lanes, words of buffer that it needs, loops (None: a table)
    "all": (lambda x: x, 4, 1, 0),
    "rows": (lambda x: x[1:3], 4, 1, 1),
    "columns with a step": (lambda x: x[:, 1:6:2], 4, 1, 0),
    "channels": (lambda x: x[..., 2:], 2, 1, 0),
    "some of each": (lambda x: x[::2, 1:5, 1:3], 1, 1, 2),
    "rows doubled": (resize(2, 1), 4, 6, 2),
    "columns doubled": (resize(1, 2), 4, 1, 1),
    "resize": (resize(3, 2), 4, 6, 3),
    "nearest": (nearest, 4, 6, None),
    "transposed": (lambda x: x.swapaxes(0, 1), 4, 19, 2),
    "channels first": (lambda x: x.transpose(2, 0, 1), 1, 93, 2),
    "mirrored": (lambda x: x[:, ::-1], 4, 6, 1),
    "upside down": (lambda x: x[::-1], 4, 24, 2),
    "depth to space": (depth_to_space("DCR"), 1, 22, 3),
    "pixel shuffle": (depth_to_space("CRD"), 1, 22, 3),
    "space to depth": (space_to_depth, 4, 8, 3),
    "channel shuffle": (shuffle, 1, 3, 2),
    "padding": (pad((1, 2), (2, 1)), 4, 1, 0),
    "padded channels": (pad((0, 0), (0, 0), (0, 4)), 4, 1, 0),
    "padded rows": (pad((0, 1), (0, 0)), 4, 1, 0),
    "resized and padded": (lambda x: pad((1, 1), (1, 1))(resize(2, 2)(x)), 4, 6, 3),
    "spread": (spread, 4, 1, 0),
    "reflected": (lambda x: np.pad(x, ((0, 0), (2, 2), (0, 0)), mode="reflect"), 4, 6, None),
    "mixed": (mixed, 4, 8, None),
    "two corners": (lambda x: np.where(np.eye(4, 6)[..., None], x, -1), 4, 1, None),
}  # fmt: skip


def operation(rearrange, shape=SHAPE):
    tensor = IntTensor(shape, IntType(-8, 7))
    index = rearrange(np.arange(tensor.size).reshape(shape))
    return ig.Gather(index.ravel()), tensor, IntTensor(index.shape, tensor.type)


@pytest.mark.parametrize("name", CASES)
def test_programs(name):
    rearrange, lanes, capacity, loops = CASES[name]
    op, operand, result = operation(rearrange)
    assert gather_lanes(op, operand, result)[-1] == lanes
    for count in gather_lanes(op, operand, result):
        program = read_program(op, operand, result, count, name)
        words = [-1 if read is None else read * count for read in program.reads]
        assert words == op.index[::count].tolist()
    program = read_program(op, operand, result, lanes, name)
    assert program.minimum_capacity == capacity
    if loops is None:
        assert isinstance(program, TableProgram)
    else:
        assert isinstance(program, NestProgram)
        assert len(program.loops) == loops


def test_loop_nests_of_random_loops():
    rng = np.random.default_rng(5)
    for _ in range(50):
        loops = [(int(e), int(s)) for e, s in zip(rng.integers(2, 5, 4), rng.integers(-9, 9, 4))]
        words = np.zeros(1, dtype=np.int64)
        for extent, stride in loops:
            words = (words[:, None] + np.arange(extent) * stride).ravel()
        again = np.zeros(1, dtype=np.int64)
        found = loop_nest(words)
        assert len(found) <= 4
        for extent, stride in found:
            again = (again[:, None] + np.arange(extent) * stride).ravel()
        np.testing.assert_array_equal(again, words)


def test_irregular_sequences_are_no_nest():
    assert loop_nest(np.array([0, 1, 2, 4, 5])) is None
    assert loop_nest(np.array([0, 1, 3, 2])) is None
    assert loop_nest(np.array([3])) == []


def test_a_table_is_as_long_as_its_period():
    op, operand, result = operation(CASES["reflected"][0])
    assert len(read_program(op, operand, result, 4, "").entries) == 10
    op, operand, result = operation(CASES["nearest"][0])
    assert len(read_program(op, operand, result, 4, "").entries) == 63


def test_random_order_of_many_words():
    rng = np.random.default_rng(1)
    index = rng.permutation(20000)
    tensor = IntTensor((1, 1, 20000), IntType(0, 1))
    with pytest.raises(UnsupportedError, match="mix: its 20000 words are in no regular order"):
        read_program(ig.Gather(index), tensor, tensor, 1, "mix")


def test_nothing_is_used():
    op, operand, result = operation(lambda x: np.full_like(x, -1))
    with pytest.raises(UnsupportedError, match="none of its operand's elements"):
        read_program(op, operand, result, 1, "gather")


def test_capacity():
    op, operand, result = operation(CASES["transposed"][0])
    program = read_program(op, operand, result, 4, "")
    assert gather_capacity(program, 16) == 64  # an image is read while the next one is written
    assert gather_capacity(program, 1 << 14) == 32  # too wide for that


def test_what_the_schedule_takes():
    """One word after the other of an image of 3, of which the last is not read."""
    program = NestProgram(3, 0, ((2, 1),), 3, 1)
    steps, words = program_needs(program, 2)
    assert (steps.tolist(), words.tolist()) == ([0, 1, 2, 3], [0, 1, 3, 4])
    words, steps = program_frees(program, 2, 2)
    # Word 2 has room once word 0 is read; 3 and 4, of the next image, once word 1 is.
    assert (words.tolist(), steps.tolist()) == ([2, 3, 4, 5], [0, 1, 1, 2])


def rearranged(*names, shape=SHAPE, options=None):
    """The rearrangements one after the other."""
    net = IntegerNetwork(shape)
    for name in names:
        net.gather(CASES[name][0], -9)
    return net.done(**(options or {}))


@pytest.mark.parametrize("names", [
    ["padding", "some of each", "resize"],
    ["spread", "mirrored", "columns with a step", "rows doubled", "padded channels"],
    ["channel shuffle", "depth to space", "transposed", "space to depth"],
    ["nearest", "upside down", "reflected", "channels first"],
    ["channels"],
    ["two corners"],
    ["mixed"],
], ids=lambda names: names[0])  # fmt: skip
def test_hardware(names):
    check_integer_hardware(rearranged(*names))


def test_cost_against_yosys():
    """Yosys 0.70, ``synth_xilinx -abc9``."""
    net = IntegerNetwork((8, 10, 4))
    for name in ("padding", "some of each", "resize"):
        net.gather(CASES[name][0], -9)
    plan = net.done().planned.plan
    costs = [stage_cost(stage) for stage in plan.stages if isinstance(stage, GatherStage)]
    assert [cost.lut for cost in costs] == pytest.approx([60, 57, 47], rel=0.15)
    assert [cost.ff for cost in costs] == pytest.approx([34, 40, 39], abs=1)
    net = IntegerNetwork((6, 7, 4))
    net.gather(lambda x: x[np.arange(9) * 6 // 9][:, np.arange(9) * 7 // 9])
    (cost,) = [stage_cost(stage) for stage in net.done().planned.plan.stages]
    assert cost.lut == pytest.approx(57, rel=0.15)
    assert cost.ff == pytest.approx(42, abs=1)
    assert cost.bram36 == 0.5
