"""Loads of the links, routed afresh from the placement."""

from __future__ import annotations

from collections.abc import Iterator

from solver.check.evidence import Evidence, differs
from solver.cost.pool.flows import Running, Sending, idle_kv_flows, kept_flow, kv_flow, link_loads, pool_flows
from topologies.units import show_bandwidth


def loads_are_right(evidence: Evidence) -> Iterator[str]:
    """Every loaded link is listed with its load, bandwidth and utilisation, and no other."""
    plan, cluster = evidence.plan, evidence.instance.cluster
    derived = link_loads(evidence.routes, _flows(evidence))
    claimed = {(link.source, link.target): link for link in plan.links}
    if len(claimed) < len(plan.links):
        yield "a link is listed twice"
    for source, target in sorted(derived.keys() ^ claimed.keys())[:3]:
        yield f"the link from {source} to {target} {'carries nothing' if (source, target) in claimed else 'is not listed'}"
    for ends in sorted(derived.keys() & claimed.keys()):
        link, edge = claimed[ends], cluster.edges[ends]
        if differs(link.bytes_per_s, derived[ends], 1e-3):
            yield f"the link from {ends[0]} to {ends[1]} carries {derived[ends]:.6g} B/s; the plan says {link.bytes_per_s:.6g}"
        if differs(link.bandwidth_bytes_per_s, edge["bandwidth_bytes_per_s"]) or link.fabric != edge["fabric"]:
            yield f"the link from {ends[0]} to {ends[1]} is not described as the cluster has it"
        if differs(link.utilisation * link.bandwidth_bytes_per_s, link.bytes_per_s):
            yield f"the utilisation of the link from {ends[0]} to {ends[1]} is not its load over its bandwidth"
        if derived[ends] > edge["bandwidth_bytes_per_s"] * (1 + 1e-6):
            yield (
                f"the link from {ends[0]} to {ends[1]} carries {show_bandwidth(derived[ends])}, more than the "
                f"{show_bandwidth(edge['bandwidth_bytes_per_s'])} that it can"
            )


def _flows(evidence: Evidence) -> list[Sending]:
    plan, llm = evidence.plan, evidence.instance.llm
    running = {
        pool.name: Running(
            evidence.priced[pool.name], evidence.services[pool.name], tuple(tuple(r) for r in evidence.replicas(pool))
        )
        for pool in plan.pools
    }
    flows = [flow for pool in plan.pools for flow in pool_flows(llm, running[pool.name])]
    for sender in plan.pools:
        for receiver in plan.pools:
            if sender.role == "prefill" and receiver.role == "decode" and sender.serves == receiver.serves:
                share = plan.routing[receiver.serves[0]]["decode"][receiver.name]
                flows.append(kv_flow(llm, running[sender.name], running[receiver.name], share))
            back = any(tier.write_back and tier.pool == receiver.name for tier in plan.kv_tiers)
            if sender.role == "decode" and back and sender.serves == receiver.serves:
                classes = evidence.group(receiver).classes
                flows.append(kept_flow(llm, running[sender.name], running[receiver.name], classes))
    by_name = {c.name: c for c in plan.scenario.traffic.classes}
    for record in plan.kv_tiers:
        devices = [device for replica in evidence.replicas(plan.pool(record.pool)) for device in replica]
        rate = plan.prediction.classes[record.request_class].requests_per_s
        of = by_name[record.request_class]
        flows += idle_kv_flows(llm, evidence.instance.cluster, record, of, rate, devices)
    return flows
