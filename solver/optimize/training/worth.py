"""Why a training plan costs what it costs: where its step goes, what binds, and what more of each thing is worth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from solver.errors import NoPlan
from solver.optimize.training.deal import deal
from solver.optimize.training.search import TrainingSite, search
from solver.optimize.training.solve import site_of
from solver.training.instance import Ground, TrainingInstance
from solver.training.links import RankMachine
from solver.training.plan import TrainingPlan
from solver.training.stages import StageCosts
from topologies import Device
from topologies.units import show_bytes, show_seconds

#: How much more of each thing is asked for.
MORE = 1.1
#: Share of its HBM from which a rank counts as full.
FULL = 0.95


@dataclass(frozen=True)
class ResourceWorth:
    """What more of one thing would change.

    Attributes
    ----------
    usd_per_million_tokens: with it; None where no layout exists. searched: whether another layout might take its place.
    """

    what: str
    step_s: float | None
    usd_per_million_tokens: float | None
    searched: bool

    def told(self, plan: TrainingPlan) -> str:
        """In words."""
        if self.usd_per_million_tokens is None or self.step_s is None:
            return f"{self.what}: no layout"
        change = self.usd_per_million_tokens / plan.objective.usd_per_million_tokens - 1
        again = "" if self.searched else ", the layout kept"
        return f"{self.what}: {show_seconds(self.step_s)} a step, {change:+.1%} USD per token{again}"


@dataclass(frozen=True)
class Explained:
    """The explanation of a plan."""

    plan: TrainingPlan
    shares: dict[str, float]
    binds: tuple[str, ...]
    worths: tuple[ResourceWorth, ...]

    def __str__(self) -> str:
        parts = ", ".join(f"{share:.1%} {name}" for name, share in self.shares.items() if share > 5e-4)
        lines = [f"of a step: {parts}", "what binds:", *(f"  {one}" for one in self.binds), "what more is worth:"]
        return "\n".join([*lines, *(f"  {worth.told(self.plan)}" for worth in self.worths)])

    def to_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {"shares": self.shares, "binds": list(self.binds), "worths": [vars(worth) for worth in self.worths]}


def explain_training(
    plan: TrainingPlan, time_limit_s: float = 10.0, report: Callable[[str], None] = lambda _: None
) -> Explained:
    """Explain a plan.

    Parameters
    ----------
    time_limit_s: of each search. report: told what is priced.
    """
    instance = TrainingInstance.of(plan.scenario)
    ground = instance.ground(plan.device, plan.domain)
    assert ground is not None
    site = site_of(instance, ground)
    costs = _costs(plan, instance, ground)
    worths = []
    for what, change in _RESOURCES.items():
        report(what)
        worths.append(_kept(plan, costs, instance, ground, f"10 % more {what}", change))
    for what, other in _other_sites(instance, ground, site).items():
        report(what)
        worths.append(_searched(plan, instance, other, what, time_limit_s))
    return Explained(plan, _shares(plan, costs), tuple(_binds(plan)), tuple(worths))


def _costs(
    plan: TrainingPlan, instance: TrainingInstance, ground: Ground, machine: RankMachine | None = None
) -> StageCosts:
    layout, where = plan.degrees.layout(), machine or ground.machine
    slow = instance.fabric.slowdowns(layout, ground.machine, plan.placement)
    used = {run.policy for stage in plan.stages for run in stage.policies}
    policies = next(one for one in instance.framework.policy_sets(instance.job(where)) if used <= set(one))
    return StageCosts(instance.network, instance.job(where), layout, where, where.rates(layout, slow), policies)


def _shares(plan: TrainingPlan, costs: StageCosts) -> dict[str, float]:
    """Where the step of the slowest stage goes; the shares add up to one."""
    step, m = plan.prediction, costs.micro_batches / costs.layout.schedule.copies
    stage = plan.stages[plan.slowest]
    layers = [(costs.kind_of[n], run.policy) for run in stage.policies for n in range(run.layers[0], run.layers[1] + 1)]
    parts = {
        "forward": sum(costs.times[kind].forward for kind, _ in layers),
        "backward": sum(costs.times[kind].backward for kind, _ in layers),
        "recomputation": sum(costs.times[kind].again(policy) for kind, policy in layers),
    }
    work = stage.micro_batch_s * costs.micro_batches
    found = {name: seconds * m / step.step_s for name, seconds in parts.items()}
    rest = (work / step.step_s) - sum(found.values())
    return found | {
        "head, hops and exchange of tokens": rest,
        "bubbles": step.bubble_s / step.step_s,
        "gradients, weights and optimiser outside of the pipeline": step.outside_s / step.step_s,
    }


def _binds(plan: TrainingPlan) -> list[str]:
    """What is tight."""
    memory, slowest = plan.stages[plan.fullest].memory, plan.slowest
    found = []
    share = memory.used_bytes / memory.capacity_bytes
    if share >= FULL:
        largest = max(memory.parts, key=lambda part: memory.parts[part])
        used, capacity = show_bytes(memory.used_bytes), show_bytes(memory.capacity_bytes)
        found.append(f"HBM: a rank of stage {plan.fullest} takes {used} of {capacity}, most of it {largest}")
    paces = [stage.micro_batch_s for stage in plan.stages]
    mean = sum(paces) / len(paces)
    if max(paces) > mean * 1.01:
        found.append(f"stage {slowest} is {max(paces) / mean - 1:.1%} slower than the mean: layers come whole")
    found += [
        f"the fabric: {traffic.pattern} gets {traffic.slowdown:.0%} of a NIC at {' -> '.join(traffic.busiest)}"
        for traffic in plan.traffic
        if traffic.slowdown < 0.99 and traffic.busiest
    ]
    return found or ["nothing but work: no memory is full and no link is shared"]


def _kept(
    plan: TrainingPlan,
    costs: StageCosts,
    instance: TrainingInstance,
    ground: Ground,
    what: str,
    change: Callable[[Device], Device],
) -> ResourceWorth:
    """The same layout on a better device, its layers dealt again."""
    machine = replace(ground.machine, device=change(ground.machine.device))
    better = replace(_costs(plan, instance, ground, machine), policies=costs.policies)
    dealt = deal(better)
    if dealt is None:
        return ResourceWorth(what, None, None, False)
    seconds = better.iteration_s([device.mix.seconds for device in dealt])
    usd = plan.objective.usd_per_hour / 3600 * seconds / better.job.tokens_per_step * 1e6
    return ResourceWorth(what, seconds, usd, False)


def _other_sites(instance: TrainingInstance, ground: Ground, site: TrainingSite) -> dict[str, TrainingSite]:
    """Sites with more memory, and with one more rack of what they have."""
    device = ground.machine.device
    roomy = replace(ground.machine, device=replace(device, hbm_usable_bytes=MORE * device.hbm_usable_bytes))
    racks: Counter[str] = Counter()
    for domain in ground.domains:
        racks[next(iter(domain.racks), domain.name)] += ground.machine.domain
    rack = max(racks.values())
    wider = replace(site, devices=site.devices + rack, paid=ground.all_devices + rack, slowdowns=None)
    return {"10 % more HBM": replace(site, machine=roomy), f"one more rack of {rack} devices": wider}


def _searched(
    plan: TrainingPlan, instance: TrainingInstance, site: TrainingSite, what: str, time_limit_s: float
) -> ResourceWorth:
    job, scenario = instance.job(site.machine), plan.scenario
    pins = scenario.layout if site.paid <= len(plan.placement) else scenario.layout.model_copy(update={"dp": None})
    try:
        found = search(instance.network, job, site, instance.framework, scenario.options.gap, time_limit_s, pinned=pins)
    except NoPlan:
        return ResourceWorth(what, None, None, True)
    return ResourceWorth(what, found.iteration_s, found.usd_per_million_tokens, True)


def _flops(device: Device) -> Device:
    return replace(device, flops={name: MORE * rate for name, rate in device.flops.items()})


_RESOURCES: dict[str, Callable[[Device], Device]] = {
    "FLOP/s": _flops,
    "HBM bandwidth": lambda device: replace(device, hbm_bytes_per_s=MORE * device.hbm_bytes_per_s),
    "scale-up bandwidth": lambda device: replace(device, scale_up_bytes_per_s=MORE * device.scale_up_bytes_per_s),
    "scale-out bandwidth": lambda device: replace(device, scale_out_bytes_per_s=MORE * device.scale_out_bytes_per_s),
}
