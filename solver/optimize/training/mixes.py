"""The fastest mix of activation policies for the layers of a device, exactly.

What layers keep and what they take add up whatever their order, so all that matters of a device's layers is how many there
are of each kind. Every way to give policies to so many is a point (bytes kept of a micro-batch, seconds); those that no
other point beats in both are a front, and a device takes the fastest point that its memory holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.training.network import Tally
from solver.training.stages import StageCosts

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
#: Layers of each kind (rows of a plan) with each policy, in the order of the costs' policies.
Counts = tuple[tuple[int, ...], ...]


class PolicyMix(NamedTuple):
    """Policies of the layers of a device: how many layers of each kind have each, and seconds of a micro-batch."""

    counts: Counts
    seconds: float


class _Front(NamedTuple):
    """Undominated points, by bytes kept: bytes, seconds, and counts of each policy by kind."""

    kept: Floats
    seconds: Floats
    counts: Integers


@dataclass
class Mixes:
    """Fronts of a layout, each made when it is first asked for."""

    costs: StageCosts
    _fronts: dict[tuple[Tally, bool, bool], _Front | None] = field(default_factory=dict)
    _grown: dict[tuple[int, bool, bool], list[_Front]] = field(default_factory=dict)

    def fastest(self, tally: Tally, device: int, first: bool, last: bool) -> PolicyMix | None:
        """The fastest mix that fits onto a device of the pipeline; None where none does.

        Parameters
        ----------
        first, last: whether the device has the embedding, and the head.
        """
        costs = self.costs
        state = costs.fixed_state(first, last).total + costs.fixed_kept_bytes(last)
        state += sum(count * costs.layer_state[kind].total for kind, count in enumerate(tally))
        held = costs.held(device)
        best: PolicyMix | None = None
        for again in (False, True):
            for reversible in (False, True) if "reversible" in costs.policies else (False,):
                front = self._front(tally, again, reversible)
                if front is None:
                    continue
                room = costs.machine.room_bytes - state - costs.working_bytes(again)
                room -= held * costs.boundary_bytes * reversible
                # bytes kept grow along the front and seconds fall
                point = int(np.searchsorted(front.kept * held, room * (1 + 1e-12), side="right")) - 1
                if room < 0 or point < 0:
                    continue
                if best is None or front.seconds[point] < best.seconds:
                    best = PolicyMix(tuple(map(tuple, front.counts[point].tolist())), float(front.seconds[point]))
        return best and PolicyMix(best.counts, best.seconds + costs.fixed_s(last))

    def _front(self, tally: Tally, again: bool, reversible: bool) -> _Front | None:
        """The front of so many layers; with ``again`` some may be recomputed as a whole, with ``reversible`` reversed."""
        key = tally, again, reversible
        if key not in self._fronts:
            front: _Front | None = _Front(
                np.zeros(1), np.zeros(1), np.zeros((1, 0, len(self.costs.policies)), np.int64)
            )
            for kind, count in enumerate(tally):
                more = self._of_kind(kind, count, again, reversible)
                front = None if front is None or more is None else _joined(front, more)
            self._fronts[key] = front
        return self._fronts[key]

    def _of_kind(self, kind: int, count: int, again: bool, reversible: bool) -> _Front | None:
        """The front of so many layers of one kind: that of one fewer, and one more layer under each policy."""
        costs = self.costs
        heavy = {"full": again, "reversible": again and reversible}
        allowed = [number for number, policy in enumerate(costs.policies) if heavy.get(policy, True)]
        if not allowed:
            return None if count else self._nothing(1)
        grown = self._grown.setdefault((kind, again, reversible), [self._nothing(1)])
        kept = np.array([costs.kept[kind][policy] for policy in costs.policies])
        seconds = np.array([costs.layer_s[kind][policy] for policy in costs.policies])
        while len(grown) <= count:
            before = grown[-1].counts
            more = np.concatenate([before + np.eye(len(kept), dtype=np.int64)[number] for number in allowed])
            grown.append(_undominated(_Front(more[:, 0] @ kept, more[:, 0] @ seconds, more)))
        return grown[count]

    def _nothing(self, kinds: int) -> _Front:
        """The front of no layers of so many kinds."""
        return _Front(np.zeros(1), np.zeros(1), np.zeros((1, kinds, len(self.costs.policies)), np.int64))


def _joined(one: _Front, other: _Front) -> _Front:
    """The front of the layers of both."""
    kept = (one.kept[:, None] + other.kept[None, :]).ravel()
    seconds = (one.seconds[:, None] + other.seconds[None, :]).ravel()
    pairs = np.indices((len(one.kept), len(other.kept))).reshape(2, -1)
    counts = np.concatenate([one.counts[pairs[0]], other.counts[pairs[1]]], axis=1)
    return _undominated(_Front(kept, seconds, counts))


def _undominated(front: _Front) -> _Front:
    """The points that no other beats in both, by bytes kept."""
    order = np.lexsort((front.seconds, front.kept))
    seconds = front.seconds[order]
    better = np.concatenate([[True], seconds[1:] < np.minimum.accumulate(seconds)[:-1]])
    chosen = order[better]
    return _Front(front.kept[chosen], front.seconds[chosen], front.counts[chosen])
