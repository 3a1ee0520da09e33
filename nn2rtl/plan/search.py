"""Choice of a folding for each layer: least latency within a budget, or least area for a speed.

Prices turn resources into one figure; what is scarce becomes dear. From the cheapest choice on,
the step that saves most latency for its price is taken, again and again, as long as something
fits: near the optimum, because the latency of a network is close to a sum over its layers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nn2rtl.boards.resources import Resources
from nn2rtl.plan.folding import Candidate, Candidates, intervals, within

Chosen = dict[str, Candidate]
Latency = Callable[[Chosen], float]

_NAMES = ("lut", "ff", "bram36", "dsp")
_BALANCE = 0.02
"""What a cycle of a layer counts that does not shorten the latency: it shortens the interval."""
_WORTH = 0.05
"""Share of the latency that a step must save for its share of the scarcest resource's room."""
_SLACK = 0.03
"""The last steps save little and cost much: a latency this near the least one is enough."""
_BALANCED, _STARTS = 12, 3
"""Balanced choices that are looked at, and of these the quickest that are improved."""
_ROUNDS = 40
_LEAST_PRICE = 1e-6


@dataclass(frozen=True)
class Room:
    """How much of each resource the layers may take.

    Parameters
    ----------
    amounts : mapping of str to float
        By name.
    """

    amounts: Mapping[str, float]

    @classmethod
    def of(cls, budget: Resources) -> Room:
        """All of a budget."""
        return cls({name: float(budget[name]) for name in _NAMES})

    def without(self, extra: Mapping[str, float]) -> Room:
        """What is left beside other parts."""
        return Room({name: self.amounts[name] - extra[name] for name in _NAMES})

    def holds(self, used: Mapping[str, float]) -> bool:
        """Whether an amount fits."""
        return all(used[name] <= self.amounts[name] for name in _NAMES)


def used_by(chosen: Chosen) -> dict[str, float]:
    """Resources of a choice."""
    return {name: sum(c.cost[name] for c in chosen.values()) for name in _NAMES}


def cheapest(candidates: Candidates, room: Room) -> Chosen:
    """The choice of least price that fits; if none is found, the one that exceeds the room least.

    Prices of resources that run short are raised until they no longer do.
    """
    prices = {name: 1.0 / max(room.amounts[name], 1.0) for name in _NAMES}
    tried: list[tuple[float, Chosen]] = []
    for _ in range(_ROUNDS):
        chosen = {
            layer: min(options, key=lambda c: sum(prices[n] * c.cost[n] for n in _NAMES))
            for layer, options in candidates.items()
        }
        used = used_by(chosen)
        tried.append((max(used[n] / max(room.amounts[n], 1.0) for n in _NAMES), chosen))
        short = [n for n in _NAMES if used[n] > room.amounts[n]]
        if not short:
            return chosen
        for name in short:
            prices[name] *= 1.5
    return min(tried, key=lambda entry: entry[0])[1]


def fastest(
    candidates: Candidates,
    room: Room,
    latency: Latency,
    target: float = 0.0,
) -> Chosen:
    """The choice of least latency that fits, or the first on the way there that meets a target.

    Parameters
    ----------
    candidates : mapping of str to list of Candidate
        For each layer.
    room : Room
        What they may take.
    latency : callable
        Cycles of a choice.
    target : float
        Latency that is enough.
    """
    steps = [
        step
        for start in _starts(candidates, room, latency)
        for step in _improved(start, candidates, room, latency, target)
    ]
    least = max(min(reached for reached, _ in steps) * (1 + _SLACK), target)
    enough = [chosen for reached, chosen in steps if reached <= least]
    return min(enough, key=lambda chosen: _share(used_by(chosen), room))


def _starts(candidates: Candidates, room: Room, latency: Latency) -> list[Chosen]:
    """Choices to start from: the cheapest, and of those with balanced intervals the quickest.

    A single step from the cheapest one saves nothing where several layers are equally slow.
    """
    balanced: list[tuple[float, Chosen]] = []
    for cycles in intervals(candidates):
        chosen = cheapest(within(candidates, cycles), room)
        if room.holds(used_by(chosen)):
            balanced.append((latency(chosen), chosen))
            if len(balanced) == _BALANCED:
                break
    balanced.sort(key=lambda entry: entry[0])
    return [cheapest(candidates, room), *(chosen for _, chosen in balanced[:_STARTS])]


def _improved(
    chosen: Chosen,
    candidates: Candidates,
    room: Room,
    latency: Latency,
    target: float,
) -> list[tuple[float, Chosen]]:
    """The steps to the choice of least latency, or to the first that meets the target."""
    used, now = used_by(chosen), latency(chosen)
    steps = [(now, chosen)]
    while now > target:
        best: tuple[float, str, Candidate, float] | None = None
        for layer, current in chosen.items():
            for option in candidates[layer]:
                if option.cycles >= current.cycles:
                    continue
                growth = {n: option.cost[n] - current.cost[n] for n in _NAMES}
                if any(growth[n] > 0 and used[n] + growth[n] > room.amounts[n] for n in _NAMES):
                    continue
                after = latency({**chosen, layer: option})
                gain = now - after + _BALANCE * (current.cycles - option.cycles)
                worth = gain / max(_price(growth, used, room), _LEAST_PRICE)
                share = max(growth[n] / max(room.amounts[n], 1.0) for n in _NAMES)
                if gain <= max(0.0, _WORTH * share * now):
                    continue
                if best is None or worth > best[0]:
                    best = worth, layer, option, after
        if best is None:
            break
        _, layer, option, now = best
        chosen = {**chosen, layer: option}
        used = used_by(chosen)
        steps.append((now, chosen))
    return steps


def _share(used: Mapping[str, float], room: Room) -> float:
    """How much of the room is taken, over all resources."""
    return sum(used[name] / max(room.amounts[name], 1.0) for name in _NAMES)


def _price(growth: Mapping[str, float], used: Mapping[str, float], room: Room) -> float:
    """Price of more resources: the fuller one is, the dearer."""
    total = 0.0
    for name in _NAMES:
        amount = max(room.amounts[name], 1.0)
        total += growth[name] / amount * (0.05 + (used[name] / amount) ** 2)
    return total
