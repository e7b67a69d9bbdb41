"""A training plan beside what its scenario stands for, as far as a drawing needs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from solver.check.training.evidence import TrainingEvidence
from solver.training.instance import TrainingInstance
from solver.training.plan import TrainingPlan
from solver.view.racks import Rack, racks


class RankPlace(NamedTuple):
    """What one rank is: its number in each group, counted from 0."""

    stage: int
    data: int
    context: int
    tensor: int
    expert: int


@dataclass(frozen=True)
class StageSet:
    """What is drawn."""

    plan: TrainingPlan
    instance: TrainingInstance

    @classmethod
    def of(cls, plan: TrainingPlan) -> StageSet:
        """Look up the names in a plan's scenario."""
        return cls(plan, TrainingInstance.of(plan.scenario))

    @cached_property
    def evidence(self) -> TrainingEvidence:
        """The plan as the witness sees it."""
        return TrainingEvidence(self.plan, self.instance)

    @cached_property
    def racks(self) -> tuple[Rack, ...]:
        """The cluster in the order in which it is drawn."""
        home = {d: domain.name for g in self.instance.grounds for domain in g.domains for d in domain.devices}
        return racks(self.instance.cluster, lambda device: home.get(device, device))

    @cached_property
    def places(self) -> Mapping[str, RankPlace]:
        """What runs on each device in use."""
        layout = self.evidence.layout
        found = {}
        for rank, device in enumerate(self.plan.placement):
            stage, within = divmod(rank, layout.stage)
            data, rest = divmod(within, layout.tp * layout.cp)
            context, tensor = divmod(rest, layout.tp)
            found[device] = RankPlace(stage, data, context, tensor, within % layout.ep)
        return found

    @property
    def ways(self) -> Iterator[tuple[str, int]]:
        """Ways to colour devices, with how many groups there are to tell apart; groups of one rank tell nothing."""
        layout = self.evidence.layout
        yield "stage", layout.pp
        yield from (
            (name, count)
            for name, count in (
                ("data", layout.dp),
                ("expert", layout.ep),
                ("context", layout.cp),
                ("tensor", layout.tp),
            )
            if count > 1
        )

    def healthy(self, device: str) -> bool:
        """Whether the cluster says that a device may be used."""
        return bool(self.instance.cluster.nodes[device]["healthy"])
