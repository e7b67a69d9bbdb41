"""What the rules look at: a training plan, and what its scenario stands for, derived once and only when asked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from solver.training.activations import Policy
from solver.training.fabric import Pattern
from solver.training.instance import Ground, TrainingInstance
from solver.training.job import TrainingJob, TrainingLayout
from solver.training.links import Slowdowns
from solver.training.plan import TrainingPlan
from solver.training.stages import StageCosts


@dataclass(frozen=True)
class TrainingEvidence:
    """A plan beside its instance."""

    plan: TrainingPlan
    instance: TrainingInstance

    @cached_property
    def ground(self) -> Ground | None:
        """Where the plan says that it runs; None where the cluster has no such devices."""
        return self.instance.ground(self.plan.device, self.plan.domain)

    @property
    def sure_ground(self) -> Ground:
        """The ground, once its rule has passed."""
        assert self.ground is not None
        return self.ground

    @cached_property
    def layout(self) -> TrainingLayout:
        """Its layout."""
        return self.plan.degrees.layout()

    @cached_property
    def job(self) -> TrainingJob:
        """Its job."""
        return self.instance.job(self.sure_ground.machine)

    @cached_property
    def policies(self) -> tuple[dict[int, Policy], ...]:
        """The policy of every layer of every stage."""
        return tuple(
            {layer: run.policy for run in stage.policies for layer in range(run.layers[0], run.layers[1] + 1)}
            for stage in self.plan.stages
        )

    @cached_property
    def patterns(self) -> dict[str, Pattern]:
        """What the cluster leaves to each kind of traffic, from the placement."""
        return self.instance.fabric.patterns(self.layout, self.sure_ground.machine, self.plan.placement)

    @cached_property
    def costs(self) -> StageCosts:
        """Costs of the layout on this placement."""
        slow = Slowdowns(**{name: pattern.slowdown for name, pattern in self.patterns.items()})
        machine = self.sure_ground.machine
        policy_sets = self.instance.framework.policy_sets(self.job)
        used = {policy for policies in self.policies for policy in policies.values()}
        policies = next((one for one in policy_sets if used <= set(one)), policy_sets[0])
        return StageCosts(
            self.instance.network, self.job, self.layout, machine, machine.rates(self.layout, slow), policies
        )


def apart(claimed: float, derived: float, tolerance: float = 1e-6) -> bool:
    """Whether two figures differ by more than rounding."""
    return abs(claimed - derived) > tolerance * max(abs(claimed), abs(derived), 1e-12)
