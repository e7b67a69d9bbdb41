"""A training scenario to its plan: the search on every ground, and the best one placed and written down."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

from solver.errors import NoPlan
from solver.optimize.layout.losses import lost
from solver.optimize.training.deal import Dealt
from solver.optimize.training.place import placed
from solver.optimize.training.search import TrainingAnswer, TrainingSite, search
from solver.training.account import micro_batch_s, prediction, rank_ledger
from solver.training.activations import Policy
from solver.training.efficiency import borrowed
from solver.training.instance import Ground, TrainingInstance
from solver.training.job import TrainingLayout
from solver.training.links import Slowdowns
from solver.training.plan import (
    TRAINING_SCHEMA_VERSION,
    PatternTraffic,
    PolicyRun,
    TrainingDegrees,
    TrainingObjective,
    TrainingPlan,
    TrainingProvenance,
    TrainingStage,
)
from solver.training.scenario import TrainingScenario

#: The space over which bounds hold; the modules say more.
BOUND_OVER = (
    "tp that divides heads and domains, cp in powers of two, every pp, the most copies that fit (for cost: every number), "
    "every expert degree and micro-batch of up to 16 sequences, ZeRO 1 to 3, the schedules, exchanges and policies of {}, and "
    "every way to deal layers and policies that the schedule's space has"
)


def solve_training(
    scenario: TrainingScenario,
    folder: Path = Path("."),
    time_limit_s: float = 60.0,
    running: TrainingPlan | None = None,
) -> TrainingPlan:
    """The layout with the fewest USD per training token, on the kind of device that is best.

    Parameters
    ----------
    running: a plan in force; blocks of its ranks whose devices all survive stay where they are.

    Raises
    ------
    BadInput: an unknown name, or a device without price. NoPlan: nothing fits.
    """
    instance = TrainingInstance.of(scenario, folder)
    found, reasons = [], []
    for ground in instance.grounds:
        site = site_of(instance, ground)
        try:
            result = search(
                instance.network,
                instance.job(ground.machine),
                site,
                instance.framework,
                scenario.options.gap,
                time_limit_s / len(instance.grounds),
                pinned=scenario.layout,
            )
            found.append((result, ground))
        except NoPlan as none:
            reasons.append(str(none))
    if not found:
        raise NoPlan(" ".join(dict.fromkeys(reasons)) or "The cluster has no healthy device")
    best, ground = min(found, key=lambda pair: pair[0].usd_per_million_tokens)
    bound = min(result.bound for result, _ in found)
    considered = sum(result.considered for result, _ in found)
    return written(instance, ground, replace(best, bound=bound, considered=considered), running)


def site_of(instance: TrainingInstance, ground: Ground) -> TrainingSite:
    """A ground as the search sees it."""
    devices = placed(ground, len(ground.devices))

    def slowdowns(layout: TrainingLayout) -> Slowdowns:
        return instance.fabric.slowdowns(layout, ground.machine, devices[: layout.devices])

    return TrainingSite(
        ground.machine,
        len(ground.devices),
        instance.price(ground),
        instance.unit(ground),
        instance.whole,
        ground.all_devices,
        slowdowns,
    )


def written(
    instance: TrainingInstance, ground: Ground, found: TrainingAnswer, running: TrainingPlan | None = None
) -> TrainingPlan:
    """A result as a plan, its ranks placed."""
    layout, job = found.costs.layout, found.costs.job
    same = running is not None and running.device == ground.machine.device.name
    devices = placed(ground, layout.devices, running.placement if running and same else ())
    patterns = instance.fabric.patterns(layout, ground.machine, devices)
    slow = Slowdowns(**{name: pattern.slowdown for name, pattern in patterns.items()})
    costs = replace(found.costs, rates=ground.machine.rates(layout, slow))
    stages = []
    for number, dealt in enumerate(found.dealt):
        layers = policies_of(found, dealt)
        stages.append(
            TrainingStage(
                parts=tuple((a, b - 1) for a, b in dealt.parts if b > a),
                policies=policy_runs(layers),
                micro_batch_s=micro_batch_s(costs, number, layers),
                held_micro_batches=costs.held(number),
                memory=rank_ledger(costs, number, layers),
            )
        )
    step = prediction(costs, [stage.micro_batch_s for stage in stages])
    usd = found.usd_per_hour / 3600 * step.step_s / job.tokens_per_step * 1e6
    bound = min(found.bound, usd)
    return TrainingPlan(
        schema_version=TRAINING_SCHEMA_VERSION,
        scenario=instance.scenario,
        device=ground.machine.device.name,
        domain=ground.machine.domain,
        precision=job.precision,
        degrees=TrainingDegrees.of(layout),
        micro_batches=costs.micro_batches,
        stages=tuple(stages),
        placement=devices,
        traffic=tuple(
            PatternTraffic(pattern=name, slowdown=one.slowdown, busiest=one.busiest) for name, one in patterns.items()
        ),
        prediction=step,
        objective=TrainingObjective(
            usd_per_million_tokens=usd,
            usd_per_hour=found.usd_per_hour,
            usd=usd * job.total_tokens / 1e6,
            bound=bound,
            gap=(usd - bound) / usd if usd else 0.0,
        ),
        caveats=tuple(filter(None, [borrowed(ground.machine.device)])),
        provenance=TrainingProvenance(
            versions={"rackplan": metadata.version("rackplan")},
            kernels=ground.machine.efficiency.generation,
            layouts=found.considered,
            bound_over=BOUND_OVER.format(instance.framework.name),
        ),
    )


def policies_of(found: TrainingAnswer, dealt: Dealt) -> dict[int, Policy]:
    """The policy of each layer of a device: of each kind the first layers keep least."""
    costs = found.costs
    left = [list(row) for row in dealt.mix.counts]
    order = sorted(
        range(len(costs.policies)), key=lambda p: -["store", "selective", "full", "reversible"].index(costs.policies[p])
    )
    found_policies: dict[int, Policy] = {}
    for part in dealt.parts:
        for layer in range(*part):
            row = left[costs.kind_of[layer]]
            number = next(p for p in order if row[p])
            row[number] -= 1
            found_policies[layer] = costs.policies[number]
    return found_policies


def policy_runs(layers: dict[int, Policy]) -> tuple[PolicyRun, ...]:
    """Neighbouring layers of one policy together."""
    runs: list[tuple[int, int, Policy]] = []
    for layer, policy in sorted(layers.items()):
        if runs and runs[-1][1] == layer - 1 and runs[-1][2] == policy:
            runs[-1] = (runs[-1][0], layer, policy)
        else:
            runs.append((layer, layer, policy))
    return tuple(PolicyRun(layers=(a, b), policy=policy) for a, b, policy in runs)


def without_training(scenario: TrainingScenario, vertices: list[str], folder: Path = Path(".")) -> TrainingScenario:
    """The scenario with some devices, hosts or racks marked as lost.

    Raises
    ------
    BadInput: no device is, or is in, one of them.
    """
    return scenario.model_copy(update={"cluster": lost(scenario.cluster, vertices, folder)})
