"""The witness: re-derives every claim of a plan from its scenario, knowing the physics but not the optimiser.

>>> from solver.check import violations  # an empty list means that the plan holds
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from solver.check import (
    experts,
    failures,
    idle_kv,
    legality,
    links,
    memory,
    money,
    placement,
    pools,
    promises,
    routing,
)
from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.errors import BadInput, CheckFailed
from solver.plan import Plan
from topologies.collector import seldom

__all__ = ["attested", "check", "violations"]

#: Later groups rely on what earlier ones establish, so a group runs only while nothing is broken.
GROUPS: tuple[tuple[Callable[[Evidence], Iterator[str]], ...], ...] = (
    (pools.names_and_kinds, pools.within_constraints),
    (legality.engine_would_start, placement.every_layer_once, placement.every_rank_once, placement.domains_hold),
    (legality.pools_connect,),
    (routing.shares_add_up, experts.every_expert_present),
    (idle_kv.records_are_whole, experts.recorded_loads_are_balanced),
    (idle_kv.ages_give_what_is_claimed, idle_kv.tiers_hold_it, idle_kv.money_is_right),
    (memory.ledger_holds, memory.limits_hold, legality.steps_hold_their_prompts),
    (promises.loads_are_served, promises.capacities_keep_promises),
    (promises.prediction_holds, promises.promises_are_kept, promises.confidence_is_reached, failures.losses_are_survived),
    (money.rent_is_right, money.arithmetic_is_right, money.provenance_is_right, links.loads_are_right),
    (money.margins_are_right,),
)


@seldom()
def violations(plan: Plan, instance: Instance | None = None, sure: bool = True) -> list[str]:
    """One sentence for every claim that does not hold; empty if the plan holds.

    Parameters
    ----------
    instance: the plan's scenario with its names looked up, where that was done already.
    sure: whether the confidence that the scenario asks for must be reached; a search that has not ended may fall short of it.
    """
    try:
        evidence = Evidence(plan, instance or Instance.of(plan.scenario))
        for group in GROUPS:
            rules = [rule for rule in group if sure or rule is not promises.confidence_is_reached]
            found = [sentence for rule in rules for sentence in rule(evidence)]
            if found:
                return found
    except BadInput as error:
        return [f"the plan's scenario cannot be used: {error}"]
    return []


def attested(plan: Plan) -> list[str]:
    """What a plan says that does not follow from its scenario, so that the witness takes it on trust."""
    found = [f"the bound of {plan.objective.bound:.6g} USD per million output tokens (and with it gap and status)"]
    found.append("that no pool would serve more within its promises than its capacity; that much it does is checked")
    if any(pool.role == "decode" for pool in plan.pools):
        found.append("tokens of a prefill step of pools that only decode, which take none")
    if plan.objective.simplicity_cost:
        found.append(f"the cheapest plan found, of {plan.objective.least:.6g} USD per million output tokens")
    found += ["what binds, in words"] if plan.binding else []
    found += [f"{len(plan.alternatives)} alternatives"] if plan.alternatives else []
    found += [f"{len(plan.rivals)} rivals of other structures, each with its bound and its odds"] if plan.rivals else []
    found += ["the confirmation by replay"] if plan.confirmation is not None else []
    return [*found, "versions, seed and counts of the search"]


def check(plan: Plan) -> None:
    """Accept a plan, or raise.

    Raises
    ------
    CheckFailed: with one sentence for every claim that does not hold.
    """
    found = violations(plan)
    if found:
        raise CheckFailed(found)
