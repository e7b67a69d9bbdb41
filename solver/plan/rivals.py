"""The choice in words: a plan beside the best plans of other structures."""

from __future__ import annotations

from collections.abc import Iterator

from solver.plan.schema import Odds, Plan, Pool, Rival

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


def odds(plan: Plan) -> str:
    """How good a choice the plan is, and which rival would be a better one; empty where nothing was compared."""
    if plan.odds is None:
        return ""
    said = (
        f"By the draws of what predictions may be off by this plan is the cheapest of these in {plan.odds.best:.0%}, and is "
        f"expected to cost {plan.odds.regret:.1%} more than the cheapest would"
    )
    able = [(rival.odds.regret, rival.structure) for rival in plan.rivals if rival.odds is not None]
    least, structure = min(able)
    return f"{said}; {structure!r}, {least:.1%}." if least < plan.odds.regret else f"{said}."


def interval(low_high: tuple[float, float] | None) -> str:
    """A range of costs."""
    return "" if low_high is None else f"{low_high[0]:.4g} to {low_high[1]:.4g}"


def best_and_regret(found: Odds | None) -> tuple[str, str]:
    """The odds of one plan, as percentages."""
    return ("", "") if found is None else (f"{found.best:.0%}", f"{found.regret:.1%}")


#: What :func:`table` tells.
HEADS = ("structure", "USD/M out", "80 % of draws", "over this", "best in", "regret", "proof", "layout", "no run had", "needs")


def table(plan: Plan) -> Iterator[tuple[str, ...]]:
    """The plan and its rivals as text, in the columns of ``HEADS``."""
    ours = plan.objective.usd_per_million_output_tokens
    untried = dict.fromkeys(rests.mechanism for pool in plan.pools for rests in pool.rests_on if not rests.runs)
    yield (
        "this plan",
        f"{ours:.4g}",
        interval(plan.objective.interval_80),
        "",
        *best_and_regret(plan.odds),
        f"none under {plan.objective.bound:.4g}",
        layout(plan),
        ", ".join(untried) or "nothing",
        ", ".join(needs(plan)),
    )
    for rival in plan.rivals:
        cost = rival.usd_per_million_output_tokens
        if cost is None:
            yield rival.structure, *[""] * 5, proof(rival), *[""] * 3
            continue
        over = cost / ours - 1 if ours else 0.0
        yield (
            rival.structure,
            f"{cost:.4g}",
            interval(rival.interval_80),
            f"{over:+.1%}",
            *best_and_regret(rival.odds),
            proof(rival),
            rival.layout,
            ", ".join(rival.untried) or "nothing",
            ", ".join(rival.needs),
        )
