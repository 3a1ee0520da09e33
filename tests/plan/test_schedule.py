"""The schedule against small systems with known times."""

import numpy as np
import pytest

from nn2rtl.plan.schedule import (
    DeadlockError,
    Dependence,
    Process,
    connect,
    solve,
    solve_late,
)
from nn2rtl.plan.serial import covered_depth


def chain(depth, latency, rate, tokens=20):
    """A producer of a token every cycle, and a consumer that takes one every `rate` cycles."""
    producer, consumer = Process("producer", tokens), Process("consumer", tokens * rate)
    take = np.arange(tokens) * rate
    connect(
        producer, np.arange(tokens), consumer, take, latency=latency, depth=depth
    )
    return solve([producer, consumer]), take


def test_an_unlimited_fifo_delays_by_its_latency():
    times, take = chain(None, 3, 1)
    assert times["producer"].tolist() == list(range(20))
    assert times["consumer"][take].tolist() == [k + 3 for k in range(20)]


def test_a_shallow_fifo_limits_the_rate_to_its_round_trip():
    times, take = chain(2, 3, 1)
    # Two places, each free again latency + 1 cycles after its use.
    assert times["consumer"][take][-1] == 3 + 9 * 4 + 1


def test_a_slow_consumer_holds_the_producer():
    times, take = chain(2, 1, 5)
    assert (np.diff(times["consumer"][take]) == 5).all()
    produced = times["producer"]
    assert (produced[2:] == times["consumer"][take][:-2] + 1).all()


def burst(depth, latency, words, spacing, groups=30):
    """A producer that issues `words` tokens at once every `spacing` cycles; they leave in turn."""
    producer, consumer = Process("producer", groups * spacing), Process("consumer", groups * words)
    ends = np.arange(groups) * spacing + spacing - 1
    delays = latency + np.tile(np.arange(words), groups)
    connect(
        producer, np.repeat(ends, words), consumer, np.arange(groups * words), latency=delays,
        depth=depth,
    )
    return [producer, consumer], ends


def test_tokens_of_one_step_leave_one_after_the_other():
    processes, ends = burst(None, 5, 3, 4)
    times = solve(processes)
    assert times["consumer"].tolist() == [end + 5 + j for end in ends for j in range(3)]
    late = solve_late(processes, "consumer", times["consumer"] + 2)
    assert (late["producer"][ends] == ends + 2).all()


def test_a_step_waits_for_the_places_of_all_its_tokens():
    processes, ends = burst(4, 5, 3, 4)
    times = solve(processes)
    # The first token of a group has a place left; the others wait for two of the group before.
    taken = times["consumer"].reshape(-1, 3)
    assert (times["producer"][ends][1:] == taken[:-1, 1] + 1).all()
    with pytest.raises(DeadlockError):
        solve(burst(2, 5, 3, 4)[0])


@pytest.mark.parametrize(("words", "spacing"), [(1, 1), (1, 4), (3, 3), (3, 5), (8, 9), (8, 40)])
@pytest.mark.parametrize("latency", [1, 7, 12])
def test_covered_depth_never_holds_up_the_array(words, spacing, latency):
    def held_up(depth):
        processes, ends = burst(depth, latency, words, spacing)
        return bool((solve(processes)["producer"][ends] != ends).any())

    spare = words  # for a reader that hesitates
    depth = covered_depth(latency, spacing, words) - spare
    assert not held_up(depth)
    assert depth == words or held_up(depth - 1)


def test_covered_depth_spares_block_ram():
    assert covered_depth(10, 100, 32) == 64
    assert covered_depth(10, 40, 32) == 64
    assert covered_depth(10, 100, 65) == 130


def test_a_cycle_without_tokens_deadlocks():
    a, b = Process("a", 5), Process("b", 5)
    every = np.arange(5)
    a.waits.append(Dependence(every, "b", every, 1))
    b.waits.append(Dependence(every, "a", every, 1))
    with pytest.raises(DeadlockError, match="deadlocks"):
        solve([a, b])


def test_the_latest_times_that_keep_to_deadlines():
    """A fork of which one branch is slow: the other one need not start before its end."""
    source, slow, quick, sink = (Process(n, 6) for n in ("source", "slow", "quick", "sink"))
    every = np.arange(6)
    processes = [source, slow, quick, sink]
    connect(source, every, slow, every, latency=1, depth=None)
    connect(source, every, quick, every, latency=1, depth=None)
    connect(slow, every, sink, every, latency=9, depth=None)
    connect(quick, every, sink, every, latency=2, depth=None)
    early = solve(processes)
    assert early["sink"].tolist() == [10 + k for k in range(6)]
    late = solve_late(processes, "sink", early["sink"])
    assert late["sink"].tolist() == early["sink"].tolist()
    assert late["slow"].tolist() == early["slow"].tolist()
    assert late["source"].tolist() == early["source"].tolist()
    assert late["quick"].tolist() == [8 + k for k in range(6)]
    relaxed = solve_late(processes, "sink", early["sink"] + 3)
    assert relaxed["source"].tolist() == [3 + k for k in range(6)]


def test_the_latest_times_of_words_that_are_read_again():
    """The earliest of several reads bounds the write; what is never read is written last."""
    write, read = Process("write", 4), Process("read", 6)
    read.waits.append(Dependence(np.arange(6), "write", np.array([1, 0, 1, 2, 2, 1]), 1))
    early = solve([write, read])
    assert early["read"].tolist() == [2, 3, 4, 5, 6, 7]
    late = solve_late([write, read], "read", early["read"])
    assert late["write"].tolist() == [0, 1, 4, 7]
