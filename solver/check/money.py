"""Rent, cost per token, bound and gap."""

from __future__ import annotations

import math
from collections.abc import Iterator

from solver.check.evidence import Evidence, differs


def rent_is_right(evidence: Evidence) -> Iterator[str]:
    """The billing units that hold the placed devices cost what the plan says; an owned or filled cluster is paid whole."""
    scenario, cluster = evidence.plan.scenario, evidence.instance.cluster
    used = {placed.device for placed in evidence.plan.placement}
    devices = [vertex for vertex, data in cluster.nodes(data=True) if data["kind"] == "device"]
    if scenario.owned or scenario.objective == "throughput":
        paid = devices
    elif scenario.billing == "device":
        paid = [device for device in devices if device in used]
    elif scenario.billing == "host":
        hosts = {cluster.nodes[device]["host"] for device in used}
        paid = [device for device in devices if cluster.nodes[device]["host"] in hosts]
    else:
        domains = {evidence.instance.domain_of(device) for device in used}
        paid = [device for device in devices if evidence.instance.domain_of(device) in domains]
    usd = math.fsum(evidence.instance.usd_per_hour(cluster.nodes[device]["device"]) for device in paid)
    usd += math.fsum(price for tier in evidence.plan.kv_tiers for price in tier.usd_per_hour.values())
    if differs(usd, evidence.plan.objective.usd_per_hour):
        claimed = evidence.plan.objective.usd_per_hour
        yield f"the rented {scenario.billing}s and tiers cost {usd:.6g} USD/h; the plan says {claimed:.6g}"


def arithmetic_is_right(evidence: Evidence) -> Iterator[str]:
    """Cost per token follows from rent and tokens, the gap from cost and bound, the status from the gap."""
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
    if (plan.status == "optimal") != (o.gap <= plan.scenario.options.gap):
        yield f"status {plan.status} does not follow from a gap of {o.gap:.4g} with a target of {plan.scenario.options.gap:.4g}"
    for alternative in plan.alternatives:
        if alternative.usd_per_million_output_tokens < o.bound * (1 - 1e-9):
            yield "an alternative costs less than the bound"


def provenance_is_right(evidence: Evidence) -> Iterator[str]:
    """The calibrations that the plan names are those that its figures rest on."""
    plan = evidence.plan
    for pool in plan.pools:
        if plan.provenance.calibrations.get(pool.device) != evidence.calibration(pool).to_json():
            yield f"the calibration recorded for {pool.device} is not the one that pool {pool.name} is priced with"
