"""The witness of training plans: re-derives every claim from the scenario, knowing the physics but not the search.

>>> from solver.check.training import training_violations  # an empty list means that the plan holds
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from solver.check.training import figures, shares, where
from solver.check.training.evidence import TrainingEvidence
from solver.errors import BadInput
from solver.training.instance import TrainingInstance
from solver.training.plan import TrainingPlan

__all__ = ["training_violations"]

#: Later groups rely on what earlier ones establish, so a group runs only while nothing is broken.
TRAINING_GROUPS: tuple[tuple[Callable[[TrainingEvidence], Iterator[str]], ...], ...] = (
    (where.device_is_there, shares.degrees_divide, shares.batch_is_shared, shares.pins_hold),
    (shares.schedule_can_run, shares.every_layer_once, shares.policies_cover_layers, shares.framework_has_it),
    (where.every_rank_once, where.blocks_share_domains),
    (figures.ledgers_hold, figures.memory_fits, figures.traffic_is_right),
    (figures.paces_are_right, figures.prediction_holds, figures.money_adds_up, figures.provenance_tells_truth),
)


def training_violations(plan: TrainingPlan, instance: TrainingInstance | None = None) -> list[str]:
    """One sentence for every claim that does not hold; empty if the plan holds.

    Parameters
    ----------
    instance: the plan's scenario with its names looked up, where that was done already.
    """
    try:
        evidence = TrainingEvidence(plan, instance or TrainingInstance.of(plan.scenario))
        for group in TRAINING_GROUPS:
            found = [sentence for rule in group for sentence in rule(evidence)]
            if found:
                return found
    except BadInput as error:
        return [f"the plan's scenario cannot be used: {error}"]
    return []
