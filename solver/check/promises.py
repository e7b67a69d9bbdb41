"""Loads are served, predictions are those of the physics, promises are kept."""

from __future__ import annotations

import math
from collections.abc import Iterator

from solver.check.evidence import Evidence, differs
from solver.cost.instance import EVEN
from solver.cost.pool.prediction import Latencies, overall
from solver.cost.support import mean_prompt, support
from solver.cost.surprises import DRAWS
from solver.plan import Latency, Pool
from solver.replica import Role
from solver.workload.kv_tiers import HBM
from solver.workload.measures import Quantity

#: A promise may be missed by rounding, no more.
SLACK = 1e-6
#: Latencies that pools of a role bring about by themselves.
OWN: dict[Role, tuple[Quantity, ...]] = {
    "prefill": ("ttft",),
    "decode": ("tpot", "itl"),
    "unified": ("ttft", "tpot", "itl", "e2e"),
}
#: A promise at its very limit in a draw may fall on either side of it.
ONE_DRAW = 1.5 / DRAWS


def loads_are_served(evidence: Evidence) -> Iterator[str]:
    """Each pool gets its share of the traffic, can serve it, and its operating point is the one the physics gives."""
    plan = evidence.plan
    for pool in plan.pools:
        rates = [plan.prediction.classes[name].requests_per_s for name in pool.serves]
        share = evidence.share(pool)
        if differs(pool.requests_per_s_per_replica * pool.replicas, math.fsum(rates) * share):
            yield (
                f"pool {pool.name} is planned for {pool.requests_per_s_per_replica:.6g} requests/s a replica, "
                "which is not its share"
            )
        if pool.requests_per_s_per_replica > pool.capacity_requests_per_s_per_replica * (1 + 1e-4):
            yield f"pool {pool.name} is planned for more than it can serve"
        yield from _operating_point(evidence, pool)
    yield from _demand(evidence)


def _operating_point(evidence: Evidence, pool: Pool) -> Iterator[str]:
    service, priced = evidence.services[pool.name], evidence.priced[pool.name]
    mix = priced.mix
    tokens = float(mix.mean(mix.prompt)) if pool.role == "prefill" else mix.mean_output
    if differs(float(service.requests_per_s[0]), pool.requests_per_s_per_replica, 1e-4):
        yield f"pool {pool.name} cannot serve {pool.requests_per_s_per_replica:.6g} requests/s a replica"
    parts = dict(zip(("compute_s", "memory_s", "network_s", "overhead_s"), priced.parts_s(service), strict=True))
    derived = {
        "step_s": float(service.step_s[0]),
        "batch_per_rank": float(service.batch[0]),
        "utilisation": min(float(service.utilisation[0]), 1.0),
        "tokens_per_s_per_replica": pool.requests_per_s_per_replica * tokens,
    }
    claimed = {name: getattr(pool, name) for name in derived} | {name: getattr(pool.roofline, name) for name in parts}
    for name, value in (derived | parts).items():
        if differs(claimed[name], value, 1e-3):
            yield f"{name} of pool {pool.name} is {claimed[name]:.6g}; the physics gives {value:.6g}"
    if pool.roofline.bound_by != max(parts, key=lambda name: parts[name]).removesuffix("_s"):
        yield f"pool {pool.name} is not bound by {pool.roofline.bound_by}"


def capacities_keep_promises(evidence: Evidence) -> Iterator[str]:
    """At the most that each pool is said to serve, its own part of every promise still holds, and its sequences may run."""
    for pool in evidence.plan.pools:
        most, priced = pool.capacity_requests_per_s_per_replica, evidence.priced[pool.name]
        service = priced.at(most)
        if differs(float(service.requests_per_s[0]), most, 1e-4):
            yield f"pool {pool.name} cannot serve the {most:.6g} requests/s a replica that it is said to reach"
            continue
        running, allowed = float(service.full_batch[0]), pool.limits.max_sequences
        # What fits in memory is counted in whole sequences.
        if pool.role != "prefill" and running >= (allowed + 1) * (1 + 1e-3):
            yield (
                f"pool {pool.name} reaches {most:.6g} requests/s a replica only where a rank may run {running:.4g} sequences; "
                f"{allowed} are allowed"
            )
        for position, slo in enumerate(evidence.group(pool).slos):
            own = [entry for entry, member in enumerate(priced.mix.member) if member == position]
            for measure, limit in slo.promised:
                if measure.quantity not in OWN[pool.role]:
                    continue
                worst = float(service.latency(measure)[0, own].max())
                if worst > limit * (1 + 1e-3):
                    yield (
                        f"pool {pool.name} reaches {most:.6g} requests/s a replica only with a {measure} of {worst:.6g} s "
                        f"for class {pool.serves[position]!r}; {limit:.6g} s were promised"
                    )


def _demand(evidence: Evidence) -> Iterator[str]:
    """Objective ``cost``: all that arrives; ``throughput``: the mix in proportion."""
    scenario, prediction = evidence.plan.scenario, evidence.plan.prediction
    multiples = [prediction.classes[c.name].requests_per_s / c.requests_per_s for c in scenario.traffic.classes]
    wanted = 1.0 if scenario.objective == "cost" else multiples[0]
    for request_class, multiple in zip(scenario.traffic.classes, multiples, strict=True):
        if differs(multiple, wanted):
            yield f"class {request_class.name!r} is served {multiple:.6g} times what it asks for; it should be {wanted:.6g}"


def prediction_holds(evidence: Evidence) -> Iterator[str]:
    """Predicted figures and their intervals are the physics', per class and overall."""
    prediction = evidence.plan.prediction
    figures = evidence.class_latencies
    rates = {name: prediction.classes[name].requests_per_s for name in figures}
    outputs = {c.name: rates[c.name] * c.output_tokens for c in evidence.plan.scenario.traffic.classes}
    for name, derived in figures.items():
        yield from _latency(evidence, f"class {name!r}", prediction.classes[name], derived, outputs[name], name)
    whole = overall(figures, rates)
    if differs(prediction.requests_per_s, math.fsum(rates.values())):
        yield (
            f"the prediction serves {prediction.requests_per_s:.6g} requests/s; "
            f"its classes add up to {math.fsum(rates.values()):.6g}"
        )
    yield from _latency(evidence, "all classes", prediction, whole, math.fsum(outputs.values()))
    yield from _confidence(evidence)
    if len(set(prediction.extrapolated)) < len(prediction.extrapolated):
        yield "the prediction states a doubt twice"
    for pool in evidence.plan.pools:
        doubt = evidence.instance.calibration(pool.engine, pool.device)[1]
        if doubt and doubt not in prediction.extrapolated:
            yield f"the prediction does not say that {doubt}"
        yield from _support_is_told(evidence, pool)


def _support_is_told(evidence: Evidence, pool: Pool) -> Iterator[str]:
    """Measured runs are counted as they are, and a mechanism that none had is said."""
    llm, device = evidence.instance.llm, evidence.instance.devices[pool.device]
    prompt = mean_prompt(evidence.group(pool).classes)
    tiers = [tier for tier in evidence.plan.kv_tiers if tier.pool == pool.name]
    idle = any(name != HBM.name for tier in tiers for name in tier.bytes)
    derived = support(pool.setup(), llm, device, pool.batch_per_rank, prompt, idle)
    claimed = [(each.mechanism, each.runs, each.engine_runs) for each in pool.rests_on]
    if claimed != [(each.mechanism, each.runs, each.engine_runs) for each in derived]:
        yield f"the measured runs behind pool {pool.name} are not those that are known of"
    for each in derived:
        if not each.runs and f"pool {pool.name}: {each}" not in evidence.plan.prediction.extrapolated:
            yield f"the prediction does not say of pool {pool.name} that {each}"


def _confidence(evidence: Evidence) -> Iterator[str]:
    """All promises hold at once in the share of the draws that the plan says; the cost's range is theirs."""
    objective, drawn = evidence.plan.objective, evidence.worlds
    claimed = evidence.plan.prediction.confidence
    if abs(claimed - drawn.confidence) > ONE_DRAW:
        yield f"all promises hold in {claimed:.3f} of the draws by the plan; they do in {drawn.confidence:.3f}"
    derived = drawn.cost_80(objective.usd_per_million_output_tokens)
    if any(differs(a, b, 1e-3) for a, b in zip(objective.interval_80, derived, strict=True)):
        yield "the interval of the cost is not that of the draws"


def confidence_is_reached(evidence: Evidence) -> Iterator[str]:
    """All promises hold at once in as many draws as the scenario asks for."""
    asked, found = evidence.plan.scenario.options.slo_confidence, evidence.worlds.confidence
    if asked > EVEN and found < asked - ONE_DRAW:
        yield f"all promises hold at once in {found:.3f} of the draws; {asked:g} was asked for"


def _latency(
    evidence: Evidence, what: str, claimed: Latency, derived: Latencies, output: float, request_class: str | None = None
) -> Iterator[str]:
    # Plans tell fewer figures where they were made before there were so many.
    values = {name: value for name, value in derived.alone().items() if getattr(claimed, name) is not None}
    latencies = frozenset(values)
    values |= {"output_tokens_per_s": output, "output_tokens_per_s_per_device": output / evidence.plan.devices}
    for name, value in values.items():
        if differs(getattr(claimed, name), value, 1e-3 if name in latencies else 1e-6):
            yield f"{name} of {what} is {getattr(claimed, name):.6g}; the physics gives {value:.6g}"
    wanted = {*values, "requests_per_s"}
    if claimed.interval_80.keys() != wanted:
        yield f"the intervals of {what} cover {sorted(claimed.interval_80)}"
        return
    for name in sorted(wanted):
        expected = evidence.worlds.interval_80(name, getattr(claimed, name), request_class)
        if any(differs(a, b, 1e-3) for a, b in zip(claimed.interval_80[name], expected, strict=True)):
            yield f"the interval of {name} of {what} is not that of the draws"


def promises_are_kept(evidence: Evidence) -> Iterator[str]:
    """Every measure of every class is within its promise, whether the plan tells it or not."""
    figures = evidence.class_latencies
    for group in evidence.instance.groups:
        for request_class, slo in zip(group.classes, group.slos, strict=True):
            for measure, limit in slo.promised:
                value = float(figures[request_class.name][measure][0])
                if value > limit * (1 + SLACK):
                    yield f"{measure} of class {request_class.name!r} is {value:.6g} s; {limit:.6g} s were promised"
