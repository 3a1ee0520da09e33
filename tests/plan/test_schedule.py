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
