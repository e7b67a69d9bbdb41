"""Every figure of a training plan, derived again: memory, traffic, seconds, money."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from solver.check.training.evidence import TrainingEvidence, apart
from solver.training.account import micro_batch_s, prediction, rank_ledger
from solver.training.efficiency import borrowed
from solver.training.plan import PatternTraffic
from topologies.units import show_bytes


def ledgers_hold(evidence: TrainingEvidence) -> Iterator[str]:
    """What each rank of each stage holds is what its layers come to."""
    for number, (stage, layers) in enumerate(zip(evidence.plan.stages, evidence.policies, strict=True)):
        yield from _differences(f"stage {number}: memory.", stage.memory, rank_ledger(evidence.costs, number, layers))
        held = evidence.costs.held(number)
        if apart(stage.held_micro_batches, held):
            yield f"stage {number} holds {held:g} micro-batches at most; the plan says {stage.held_micro_batches:g}"


def memory_fits(evidence: TrainingEvidence) -> Iterator[str]:
    """No rank holds more than its HBM."""
    for number, stage in enumerate(evidence.plan.stages):
        memory = stage.memory
        if memory.used_bytes > memory.capacity_bytes * (1 + 1e-9):
            used, capacity = show_bytes(memory.used_bytes), show_bytes(memory.capacity_bytes)
            yield f"a rank of stage {number} needs {used} of {evidence.plan.device}'s {capacity}"


def traffic_is_right(evidence: TrainingEvidence) -> Iterator[str]:
    """What the cluster leaves to each kind of traffic follows from the placement."""
    claimed: dict[str, PatternTraffic] = {traffic.pattern: traffic for traffic in evidence.plan.traffic}
    if len(claimed) < len(evidence.plan.traffic) or set(claimed) != set(evidence.patterns):
        yield f"traffic between domains: {', '.join(sorted(evidence.patterns)) or 'none'}, not {', '.join(claimed) or 'none'}"
        return
    for name, pattern in evidence.patterns.items():
        if apart(claimed[name].slowdown, pattern.slowdown):
            yield f"{name} gets {pattern.slowdown:.6g} of a NIC; the plan says {claimed[name].slowdown:.6g}"
        if claimed[name].busiest != pattern.busiest:
            yield f"the busiest link of {name} is {pattern.busiest}, not {claimed[name].busiest}"


def paces_are_right(evidence: TrainingEvidence) -> Iterator[str]:
    """Seconds of a micro-batch on every stage."""
    for number, (stage, layers) in enumerate(zip(evidence.plan.stages, evidence.policies, strict=True)):
        seconds = micro_batch_s(evidence.costs, number, layers)
        if apart(stage.micro_batch_s, seconds):
            yield f"stage {number} takes {seconds:.6g} s for a micro-batch; the plan says {stage.micro_batch_s:.6g}"


def prediction_holds(evidence: TrainingEvidence) -> Iterator[str]:
    """What a step and the run take."""
    derived = prediction(evidence.costs, [micro_batch_s(evidence.costs, n, p) for n, p in enumerate(evidence.policies)])
    yield from _differences("prediction.", evidence.plan.prediction, derived)


def money_adds_up(evidence: TrainingEvidence) -> Iterator[str]:
    """Rent, cost and gap; the bound is no dearer than the plan."""
    plan, objective = evidence.plan, evidence.plan.objective
    rent = evidence.instance.rent(evidence.sure_ground, len(plan.placement))
    if apart(objective.usd_per_hour, rent):
        yield f"the rent is {rent:.6g} USD/h; the plan says {objective.usd_per_hour:.6g}"
    usd = rent / 3600 / plan.prediction.tokens_per_s * 1e6
    if apart(objective.usd_per_million_tokens, usd):
        yield f"a million tokens cost {usd:.6g} USD; the plan says {objective.usd_per_million_tokens:.6g}"
    whole = usd * plan.scenario.training.total_tokens / 1e6
    if apart(objective.usd, whole):
        yield f"the run costs {whole:.6g} USD; the plan says {objective.usd:.6g}"
    if objective.bound > objective.usd_per_million_tokens * (1 + 1e-9):
        yield f"the bound of {objective.bound:.6g} USD is dearer than the plan, which is a layout of the space"
    if abs(objective.gap - (usd - objective.bound) / usd) > 1e-9:
        yield f"the gap is not (cost - bound) / cost: {objective.gap:.6g}"


def provenance_tells_truth(evidence: TrainingEvidence) -> Iterator[str]:
    """Where efficiencies come from, and what must be said of them."""
    machine = evidence.sure_ground.machine
    if evidence.plan.provenance.kernels != machine.efficiency.generation:
        yield f"kernels were measured on {machine.efficiency.generation}, not {evidence.plan.provenance.kernels}"
    told = borrowed(machine.device)
    if told and told not in evidence.plan.caveats:
        yield f"a caveat is missing: {told}"


def _differences(where: str, claimed: BaseModel, derived: BaseModel) -> Iterator[str]:
    for name in type(claimed).model_fields:
        one, other = getattr(claimed, name), getattr(derived, name)
        if apart(one, other):
            yield f"{where}{name} is {other:.6g}; the plan says {one:.6g}"
