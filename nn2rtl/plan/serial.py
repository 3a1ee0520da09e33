"""Outputs of a convolution that pass its epilogue at a time.

A group of PE outputs is done every `group_steps` cycles. In between a few lanes of requantization
serve them all, one word after the other; only the sums have to be kept meanwhile.
"""

from __future__ import annotations

from functools import lru_cache

from nn2rtl.ir.types import IntType
from nn2rtl.plan import cost_parts as parts
from nn2rtl.plan import cost_pipes as pipes
from nn2rtl.plan.cost_parts import Area, price
from nn2rtl.plan.lanes import divisors, rate
from nn2rtl.plan.stages import Epilogue
from nn2rtl.primitives.fifo import MAX_DISTRIBUTED, fifo_memory

PIPE_CYCLES = 12
"""Latency of an engine as the search assumes it, for the depth of its output FIFO."""


def covered_depth(latency: int, spacing: int, words: int = 1) -> int:
    """Places of an output FIFO with which a group of `words` never waits for credit.

    Parameters
    ----------
    latency : int
        Cycles from the step that ends a group until its first word can be taken; one more and
        its place can be taken again.
    spacing : int
        Cycles between groups, at least `words`.
    words : int
        Words of a group, which leave one a cycle, and whose places are taken together.
    """
    places, since = 0, 0
    while since < latency + words:
        # Words of a group that ended so long ago, whose places are still taken.
        places += words - max(0, since - latency)
        since += spacing
    # A reader may hesitate: places of one more group, though not if they make it a block RAM.
    least, wanted = places + 1, places + words
    return wanted if fifo_memory(least) == fifo_memory(wanted) else MAX_DISTRIBUTED


def output_area(
    epilogue: Epilogue | None,
    accumulator: IntType,
    result: IntType,
    pe: int,
    lanes: int,
    channels: int,
    use_dsp: bool,
    depth: int,
) -> Area:
    """What is behind the sums of a convolution with `channels` outputs, `lanes` at a time."""
    words = pe // lanes
    return (
        parts.serializer(accumulator.width * lanes, words)
        + pipes.epilogue(epilogue, accumulator, result.width, lanes, channels, use_dsp)
        + parts.credits(depth, words)
        + parts.fifo(depth, result.width * lanes)
    )


@lru_cache(maxsize=65536)
def output_lanes(
    epilogue: Epilogue | None,
    accumulator: IntType,
    result: IntType,
    pe: int,
    channels: int,
    use_dsp: bool,
    group_steps: int,
    wanted: int | None = None,
) -> int:
    """The number of lanes that is cheapest, of those with which the array never waits.

    Parameters
    ----------
    epilogue : Requantize, Thresholds, Lookup or None
        What the sums pass.
    accumulator, result : IntType
        Of the sums, and of what leaves.
    pe : int
        Outputs of a group.
    channels : int
        Outputs of all groups of a position.
    use_dsp : bool
        Multiplications in DSP slices.
    group_steps : int
        Cycles between groups.
    wanted : int or None
        Lanes that the reader wants, if they are known: converters to them keep up, too.
    """

    def cost(lanes: int) -> float:
        depth = covered_depth(PIPE_CYCLES, group_steps, pe // lanes)
        return price(
            output_area(epilogue, accumulator, result, pe, lanes, channels, use_dsp, depth)
        )

    def keeps_up(lanes: int) -> bool:
        needed = pe if wanted is None else min(pe, rate(pe, wanted) * group_steps)
        given = lanes if wanted is None else rate(lanes, wanted)
        return given * group_steps >= needed and lanes * group_steps >= pe

    return min(filter(keeps_up, divisors(pe)), key=lambda lanes: (cost(lanes), -lanes))
