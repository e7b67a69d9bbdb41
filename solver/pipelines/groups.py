"""Machines that can be one stage together: all hold the same layers and share the tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from solver.pipelines.machines import UnlikeMachines


@dataclass(frozen=True)
class MachineGroup:
    """Machines of a stage.

    Attributes
    ----------
    held: layers of the stage.
    machines: how many of each type.
    """

    held: int
    machines: tuple[tuple[str, int], ...]

    @property
    def counts(self) -> dict[str, int]:
        """The machines as a dictionary."""
        return dict(self.machines)


def minimal_groups(fleet: UnlikeMachines, available: Mapping[str, int], tokens_per_s: float) -> list[MachineGroup]:
    """Groups that carry a flow and would not without any one of their machines.

    >>> fleet = UnlikeMachines.connected(4, ["a", "b", "b"], {"a": {2: 9.0}, "b": {2: 5.0}})
    >>> [group.counts for group in minimal_groups(fleet, fleet.count, 10.0)]
    [{'b': 1, 'a': 1}, {'b': 2}]
    """
    found = []
    for held in range(1, fleet.layers + 1):
        rates = [
            (fleet.tokens_per_s[kind][held], kind, number)
            for kind, number in sorted(available.items())
            if held in fleet.tokens_per_s[kind]
        ]
        rates.sort(key=lambda item: (item[0], item[1]))
        found += [MachineGroup(held, machines) for machines in _minimal(rates, tokens_per_s)]
    return found


def _minimal(rates: list[tuple[float, str, int]], wanted: float) -> list[tuple[tuple[str, int], ...]]:
    """Minimal multisets; slowest types first, so that a multiset is minimal if it needs its slowest machine."""
    found: list[tuple[tuple[str, int], ...]] = []
    ahead = [0.0]
    for rate, _, number in reversed(rates):
        ahead.append(ahead[-1] + rate * number)
    ahead.reverse()

    def extend(at: int, missing: float, slowest: float, chosen: tuple[tuple[str, int], ...]) -> None:
        if missing <= 0:
            found.append(chosen)
            return
        if at == len(rates) or ahead[at] < missing:
            return
        rate, kind, number = rates[at]
        for taken in range(number + 1):
            least = slowest if slowest else rate if taken else 0.0
            left = missing - taken * rate
            if least and left + least <= 0:
                break
            extend(at + 1, left, least, (*chosen, (kind, taken)) if taken else chosen)

    extend(0, wanted, 0.0, ())
    return found
