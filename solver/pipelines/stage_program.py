"""Which groups of machines form the stages of a pipeline that carries a given flow: a program over counts of groups.

Identical machines of a region are counted, not named. A pipeline visits every region once at most; between regions the
tokens pass from one stage to one other, whose links must carry them.
"""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from solver.errors import BadInput, SolverDefect
from solver.pipelines.groups import MachineGroup, minimal_groups
from solver.pipelines.machines import SINK, SOURCE
from solver.pipelines.regions import Regions


@dataclass(frozen=True)
class RegionGroup:
    """A group in a region, all of its machines loose or none."""

    region: int
    group: MachineGroup
    loose: bool = False


@dataclass(frozen=True)
class SearchLimits:
    """What a search may cost and what its pipelines may be.

    Attributes
    ----------
    depth: most stages.
    solve_s: wall time of one program [s]; with ``seed`` a deterministic time instead.
    """

    depth: int | None = None
    solve_s: float = 10.0
    workers: int = 2
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.depth is not None and self.depth < 1:
            raise BadInput(f"a pipeline has at least one stage; at most {self.depth} were allowed")


def choose_stages(
    regions: Regions,
    tokens_per_s: float,
    limits: SearchLimits,
    refused: frozenset[tuple[RegionGroup, RegionGroup]] = frozenset(),
    slender: bool = False,
) -> list[RegionGroup] | None:
    """Stages in pipeline order, as few as the search finds, or None if there are none (or none were found in time).

    Parameters
    ----------
    slender: prefer stages of few machines, which need fewer links, to few stages.
    refused: pairs of stages that are not to follow each other across regions.
    """
    from ortools.sat.python import cp_model

    fleet = regions.fleet
    model = cp_model.CpModel()
    stages: dict[RegionGroup, Any] = {}
    for region in range(len(regions.members)):
        for loose in (False, True):
            there = {kind: len(machines) for kind, machines in regions.available(region, loose).items()}
            found = {
                RegionGroup(region, group, loose): model.new_int_var(
                    0, min(there[kind] // n for kind, n in group.machines), ""
                )
                for group in minimal_groups(fleet, there, tokens_per_s)
            }
            for kind, number in there.items():
                model.add(sum(s.group.counts.get(kind, 0) * count for s, count in found.items()) <= number)
            stages |= found
    if not stages:
        return None
    model.add(sum(stage.group.held * number for stage, number in stages.items()) == fleet.layers)
    _between_others(model, regions, stages)
    depth = sum(stages.values())
    if limits.depth is not None:
        model.add(depth <= limits.depth)
    order = _Order(model, regions, stages, tokens_per_s, refused) if len(regions.members) > 1 else None
    links = sum(sum(n for _, n in stage.group.machines) ** 2 * number for stage, number in stages.items())
    model.minimize(links if slender else depth)
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1 if limits.seed is not None else limits.workers
    solver.parameters.relative_gap_limit = 0.05
    if limits.seed is None:
        solver.parameters.max_time_in_seconds = limits.solve_s
    else:
        solver.parameters.random_seed = limits.seed
        solver.parameters.max_deterministic_time = limits.solve_s
    status: object = solver.solve(model)
    if status == cp_model.MODEL_INVALID:
        raise SolverDefect("the program of pipeline stages is invalid")
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return None
    chosen = [stage for stage, number in stages.items() for _ in range(solver.value(number))]
    return _alternating(regions, chosen) if order is None else order.arranged(solver, chosen)


def _between_others(model: Any, regions: Regions, stages: dict[RegionGroup, Any]) -> None:
    """Stages of loose machines do not follow each other, and begin or end the pipeline only if requests reach them."""
    ends = 2 if len(regions.members) > 1 else sum(_reached(regions, end) for end in (SOURCE, SINK))
    for region in range(len(regions.members)):
        there = [(stage, number) for stage, number in stages.items() if stage.region == region]
        if any(stage.loose for stage, _ in there):
            model.add(sum(number if stage.loose else -number for stage, number in there) <= ends - 1)


def _alternating(regions: Regions, chosen: list[RegionGroup]) -> list[RegionGroup]:
    """Stages of loose machines between others."""
    loose = [stage for stage in chosen if stage.loose]
    others = [stage for stage in chosen if not stage.loose]
    one, other = (loose, others) if loose and _reached(regions, SOURCE) else (others, loose)
    return [stage for pair in itertools.zip_longest(one, other) for stage in pair if stage is not None]


def _reached(regions: Regions, end: int) -> bool:
    """Whether requests enter or leave at a loose machine."""
    return any((end, m) in regions.fleet.links or (m, end) in regions.fleet.links for m in regions.loose)


class _Order:
    """The order in which regions are visited, and the stages at which tokens enter and leave them."""

    def __init__(
        self,
        model: Any,
        regions: Regions,
        stages: dict[RegionGroup, Any],
        tokens_per_s: float,
        refused: frozenset[tuple[RegionGroup, RegionGroup]],
    ) -> None:
        self._count = len(regions.members)
        self._entry = {stage: model.new_bool_var("") for stage in stages}
        self._exit = {stage: model.new_bool_var("") for stage in stages}
        self._arcs: dict[tuple[int, int], Any] = {}
        by_region: dict[int, list[RegionGroup]] = defaultdict(list)
        for stage in stages:
            by_region[stage.region].append(stage)
        circuit = []
        for one in range(self._count + 1):
            for other in range(self._count + 1):
                if one != other or one > 0:
                    literal = model.new_bool_var("")
                    circuit.append((one, other, literal))
                    self._arcs[one - 1, other - 1] = literal
        model.add_circuit(circuit)
        for region in range(self._count):
            self._visit(model, region, by_region[region], stages)
        for one in range(self._count):
            for other in range(self._count):
                if one != other:
                    self._cross(model, regions, by_region[one], by_region[other], tokens_per_s, refused)

    def _visit(self, model: Any, region: int, there: list[RegionGroup], stages: dict[RegionGroup, Any]) -> None:
        """A region that is passed has an entry and an exit, two stages unless it has but one; others have no stage."""
        passed_by, lone = self._arcs[region, region], model.new_bool_var("")
        number = sum(stages[stage] for stage in there)
        model.add(number == 0).only_enforce_if(passed_by)
        model.add(number == 1).only_enforce_if(lone)
        model.add_implication(lone, ~passed_by)
        model.add(sum(self._entry[stage] for stage in there) + passed_by == 1)
        model.add(sum(self._exit[stage] for stage in there) + passed_by == 1)
        for stage in there:
            model.add(self._entry[stage] + self._exit[stage] <= stages[stage] + lone)
            model.add(self._entry[stage] <= stages[stage])
            model.add(self._exit[stage] <= stages[stage])

    def _cross(
        self,
        model: Any,
        regions: Regions,
        senders: list[RegionGroup],
        receivers: list[RegionGroup],
        tokens_per_s: float,
        refused: frozenset[tuple[RegionGroup, RegionGroup]],
    ) -> None:
        """Tokens pass from an exit to an entry only over links that carry them."""
        if not senders or not receivers:
            return
        arc = self._arcs[senders[0].region, receivers[0].region]
        for sender in senders:
            able = [
                self._entry[receiver]
                for receiver in receivers
                if (sender, receiver) not in refused
                and regions.crossing(sender.region, sender.group.counts, receiver.region, receiver.group.counts)
                >= tokens_per_s
            ]
            model.add_bool_or([*able, ~self._exit[sender], ~arc])

    def arranged(self, solver: Any, chosen: list[RegionGroup]) -> list[RegionGroup]:
        """The stages in the order in which tokens pass them."""
        arranged: list[RegionGroup] = []
        region = -1
        while True:
            region = next(
                other for (one, other), literal in self._arcs.items() if one == region and solver.value(literal)
            )
            if region < 0:
                return arranged
            there = [stage for stage in chosen if stage.region == region]
            first = next(stage for stage in there if solver.value(self._entry[stage]))
            there.remove(first)
            if there:
                last = next(stage for stage in there if solver.value(self._exit[stage]))
                there.remove(last)
                there.append(last)
            arranged += [first, *there]
