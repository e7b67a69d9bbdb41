"""The choice in words: a plan beside the best plans of other structures."""

from __future__ import annotations

from collections.abc import Iterator

from solver.plan.schema import Plan, Pool, Rival

#: Costs whose ratio differs from 1 by less are the same.
SAME = 0.005
APART, TOGETHER = "apart", "together"


def is_apart(plan: Plan) -> bool:
    """Whether prefill and decode have pools of their own throughout."""
    return all(pool.role != "unified" for pool in plan.pools)


def layout(plan: Plan) -> str:
    """The pools of a plan in a line."""
    return "; ".join(_pool(pool) for pool in plan.pools)


def _pool(pool: Pool) -> str:
    shape = pool.parallelism.shape()
    return f"{pool.replicas} x {pool.role} of {shape.devices} {pool.device} ({shape})"


def needs(plan: Plan) -> Iterator[str]:
    """What a plan needs: devices, what hands KV caches over, a fabric between domains."""
    yield f"{plan.devices} devices"
    yield from dict.fromkeys(f"hand-over by {pool.connector}" for pool in plan.pools if pool.connector)
    spread = max(pool.domains_per_replica for pool in plan.pools)
    if spread > 1:
        yield f"replicas over {spread} domains"


def apart_or_together(plan: Plan) -> str:
    """Whether it is cheaper to serve prefill and decode apart or together; empty where only one of both was solved."""
    ours, other = (APART, TOGETHER) if is_apart(plan) else (TOGETHER, APART)
    costs = [r.usd_per_million_output_tokens for r in plan.rivals if r.structure == other]
    mine = plan.objective.usd_per_million_output_tokens
    if not costs or not costs[0] or not mine:
        none = any(r.structure == other and r.status == "infeasible" for r in plan.rivals)
        return f"Prefill and decode {other} could not keep the promises." if none else ""
    ratio = costs[0] / mine
    if abs(ratio - 1) < SAME:
        return "Prefill and decode apart cost as much as together."
    cheaper, dearer = (ours, other) if ratio > 1 else (other, ours)
    return f"Prefill and decode {cheaper} are {max(ratio, 1 / ratio):.2f} times cheaper than {dearer}."


def proof(rival: Rival) -> str:
    """How sure a rival's cost is, in a few words."""
    if rival.status == "infeasible":
        return "no plan exists"
    if rival.status == "unknown" or rival.usd_per_million_output_tokens is None or rival.bound is None:
        return "no plan found in time"
    if rival.status == "optimal":
        return f"none under {rival.bound:.4g}"
    return f"only found, none under {rival.bound:.4g}"


def table(plan: Plan) -> Iterator[tuple[str, ...]]:
    """The rivals of a plan as text: structure, cost, over the plan's, proof, layout, what no run had, needs."""
    for rival in plan.rivals:
        cost = rival.usd_per_million_output_tokens
        if cost is None:
            yield rival.structure, "", "", proof(rival), "", "", ""
            continue
        over = cost / plan.objective.usd_per_million_output_tokens - 1 if plan.objective.usd_per_million_output_tokens else 0.0
        yield (
            rival.structure,
            f"{cost:.4g}",
            f"{over:+.1%}",
            proof(rival),
            rival.layout,
            ", ".join(rival.untried) or "nothing",
            ", ".join(rival.needs),
        )
