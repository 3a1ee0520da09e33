"""The schedule against small systems with known times."""

import numpy as np
import pytest

from nn2rtl.plan.schedule import DeadlockError, Dependence, Process, connect, solve


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
