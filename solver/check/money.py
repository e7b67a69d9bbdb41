"""Rent, cost per token, bound and gap."""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterator

from solver.check.evidence import Evidence, differs
from solver.cost.pool.margin import work_shares
from solver.workload import Scenario


def paid_devices(evidence: Evidence) -> list[str]:
    """The devices of the billing units that hold a placed one; all devices of an owned or filled cluster."""
    scenario, cluster = evidence.plan.scenario, evidence.instance.cluster
    used = {placed.device for placed in evidence.plan.placement}
    devices = [vertex for vertex, data in cluster.nodes(data=True) if data["kind"] == "device"]
    if scenario.owned or scenario.objective == "throughput":
        return devices
    if scenario.billing == "device":
        return [device for device in devices if device in used]
    if scenario.billing == "host":
        hosts = {cluster.nodes[device]["host"] for device in used}
        return [device for device in devices if cluster.nodes[device]["host"] in hosts]
    domains = {evidence.instance.domain_of(device) for device in used}
    return [device for device in devices if evidence.instance.domain_of(device) in domains]


def why_whole(scenario: Scenario) -> str:
    """Why devices are billed that run nothing."""
    if scenario.owned or scenario.objective == "throughput":
        return "the whole cluster is paid for"
    return f"a {scenario.billing} is rented whole"


def rent_is_right(evidence: Evidence) -> Iterator[str]:
    """What is paid for costs what the plan says."""
    scenario, cluster = evidence.plan.scenario, evidence.instance.cluster
    paid = paid_devices(evidence)
    usd = math.fsum(evidence.instance.usd_per_hour(cluster.nodes[device]["device"]) for device in paid)
    usd += math.fsum(price for tier in evidence.plan.kv_tiers for price in tier.usd_per_hour.values())
    if differs(usd, evidence.plan.objective.usd_per_hour):
        claimed = evidence.plan.objective.usd_per_hour
        yield f"the rented {scenario.billing}s and tiers cost {usd:.6g} USD/h; the plan says {claimed:.6g}"


def margins_are_right(evidence: Evidence) -> Iterator[str]:
    """Every class with a price has its margin: revenue by its tokens, cost by its part of the work of each pool."""
    plan = evidence.plan
    priced = {c.name: c.price_usd_per_million_output_tokens for c in plan.scenario.traffic.classes}
    wanted = sorted(name for name, price in priced.items() if price is not None)
    if sorted(m.request_class for m in plan.margins) != wanted:
        yield f"margins are stated for {sorted(m.request_class for m in plan.margins)}; classes with a price are {wanted}"
        return
    if not wanted:
        return
    cost = _cost_by_class(evidence)
    for margin in plan.margins:
        name = margin.request_class
        revenue = plan.prediction.classes[name].output_tokens_per_s * 3600 / 1e6 * (priced[name] or 0.0)
        left = 1 - cost[name] / revenue if revenue else 0.0
        for what, ours, theirs in (
            ("revenue", revenue, margin.revenue_usd_per_hour),
            ("cost", cost[name], margin.cost_usd_per_hour),
            ("margin", left, margin.margin),
        ):
            if differs(ours, theirs, 1e-3):
                yield f"the {what} of class {name!r} is {ours:.6g}; the plan says {theirs:.6g}"


def _cost_by_class(evidence: Evidence) -> dict[str, float]:
    plan, cluster = evidence.plan, evidence.instance.cluster
    tiers = math.fsum(price for tier in plan.kv_tiers for price in tier.usd_per_hour.values())
    worth: dict[str, float] = defaultdict(float)
    for placed in plan.placement:
        worth[placed.pool] += evidence.instance.usd_per_hour(cluster.nodes[placed.device]["device"])
    cost: dict[str, float] = defaultdict(float)
    for tier in plan.kv_tiers:
        cost[tier.request_class] += math.fsum(tier.usd_per_hour.values())
    for pool in plan.pools:
        part = (plan.objective.usd_per_hour - tiers) * worth[pool.name] / max(math.fsum(worth.values()), 1e-300)
        shares = work_shares(evidence.priced[pool.name], evidence.services[pool.name], len(pool.serves))
        for name, share in zip(pool.serves, shares.tolist(), strict=True):
            cost[name] += part * share
    return cost


def arithmetic_is_right(evidence: Evidence) -> Iterator[str]:
    """Cost per token follows from rent and tokens, the gap from cost and bound, the status from the least cost that was found;
    a simpler plan costs more than that by what is said, and by no more than what is allowed."""
    plan, o = evidence.plan, evidence.plan.objective
    output = plan.prediction.output_tokens_per_s
    prompt = math.fsum(
        plan.prediction.classes[c.name].requests_per_s * c.prompt_tokens for c in plan.scenario.traffic.classes
    )
    if differs(o.usd_per_million_output_tokens, o.usd_per_hour / (output * 3600) * 1e6):
        yield "usd_per_million_output_tokens is not the rent over the output tokens"
    if differs(o.usd_per_million_tokens, o.usd_per_hour / ((output + prompt) * 3600) * 1e6):
        yield "usd_per_million_tokens is not the rent over all tokens"
    if o.bound > o.usd_per_million_output_tokens * (1 + 1e-9):
        yield "the bound exceeds the cost"
    gap = 0.0 if not o.usd_per_million_output_tokens else 1 - o.bound / o.usd_per_million_output_tokens
    if abs(gap - o.gap) > 1e-9:
        yield f"the gap is {gap:.6g} by its definition; the plan says {o.gap:.6g}"
    cost, options = o.usd_per_million_output_tokens, plan.scenario.options
    if o.least > cost * (1 + 1e-9):
        yield f"the least cost found is {o.least:.6g}; the plan itself costs {cost:.6g}"
    if o.bound > o.least * (1 + 1e-9):
        yield "the bound exceeds the least cost found"
    if cost > o.least * (1 + options.simplicity) * (1 + 1e-9):
        yield f"the plan costs {cost:.6g}, more than options.simplicity allows over the {o.least:.6g} of the cheapest"
    if abs(o.simplicity_cost * o.least - (cost - o.least)) > 1e-9 * cost:
        yield f"simplicity costs {cost / o.least - 1 if o.least else 0:.6g}; the plan says {o.simplicity_cost:.6g}"
    left = o.least - o.bound
    if (plan.status == "optimal") != (left <= options.gap * o.least):
        yield f"status {plan.status} does not follow from a bound of {o.bound:.6g} and a least cost of {o.least:.6g}"
    for rival in plan.rivals:
        if (rival.usd_per_million_output_tokens or o.bound) < o.bound * (1 - 1e-9):
            yield f"the rival {rival.structure!r} costs less than the bound"
    odds = (plan.odds, *(rival.odds for rival in plan.rivals))
    best = [each.best for each in odds if each is not None]
    if best and differs(math.fsum(best), 1.0):
        yield f"plan and rivals are the cheapest in {math.fsum(best):.6g} of the draws together, not in each once"
    for alternative in plan.alternatives:
        if alternative.usd_per_million_output_tokens < o.bound * (1 - 1e-9):
            yield "an alternative costs less than the bound"


def provenance_is_right(evidence: Evidence) -> Iterator[str]:
    """The calibrations that the plan names are those that its figures rest on."""
    plan = evidence.plan
    content = plan.scenario.model_dump_json(by_alias=True).encode()
    if plan.provenance.inputs.get("scenario") != hashlib.sha256(content).hexdigest():
        yield "the hash of the scenario is not that of the plan's scenario"
    for pool in plan.pools:
        if plan.provenance.calibrations.get(pool.device) != evidence.calibration(pool).to_json():
            yield f"the calibration recorded for {pool.device} is not the one that pool {pool.name} is priced with"
