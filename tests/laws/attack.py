"""An attack on a bound: other ways to ask, each of which can only find plans that the first answer must have known of."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from solver.check import violations
from solver.errors import BadInput
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import Scenario

Content = dict[str, Any]
#: Two figures of one money differ by rounding up to this.
ROUNDING = 1e-6


@dataclass(frozen=True)
class Violation:
    """A law that does not hold, and the two scenarios that show it."""

    law: str
    sentence: str
    scenario: Content
    other: Content | None = None


def solved(content: Content, seconds: float, seed: int | None = None) -> Outcome:
    return solve_scenario(Scenario.from_mapping(content, "attack"), Effort(time_limit_s=seconds, seed=seed))


def narrower(content: Content, plan: Plan | None, rng: random.Random) -> Iterator[tuple[str, Content]]:
    """Scenarios whose every plan is a plan of the first one: none may cost less than its bound."""

    def changed(**paths: Any) -> Content:
        found = copy.deepcopy(content)
        for path, value in paths.items():
            *holders, key = path.split("__")
            place = found
            for holder in holders:
                place = place.setdefault(holder, {})
            place[key] = value
        return found

    yield "together", changed(options__disaggregate=False)
    yield "apart", changed(options__disaggregate=True)
    if not content.get("options", {}).get("survive_domain_failures"):
        yield "surviving a domain", changed(options__survive_domain_failures=1)
    yield "stricter promises", changed(slo={name: value * 0.8 for name, value in content["slo"].items()})
    yield "one pool a role", changed(options__max_pools=1)
    yield "no stages", changed(constraints__forbid=["pp"])
    if content["engine"] == "auto":
        yield "one engine", changed(engine=rng.choice(("vllm", "sglang", "trtllm")))
    for pool in rng.sample(plan.pools, len(plan.pools))[:2] if plan else ():
        neighbours = list(_neighbours(pool.parallelism.model_dump(), rng))
        for degrees in rng.sample(neighbours, min(2, len(neighbours))):
            pin = {"role": pool.role, "parallelism": degrees}
            yield f"with {pool.role} {degrees}", changed(constraints__pools=[pin])
    degrees = _any_degrees(rng, bool(plan and any(p.parallelism.dp > 1 or p.parallelism.moe_tp > 1 for p in plan.pools)))
    yield f"with {degrees}", changed(constraints__pools=[{"role": "unified", "parallelism": degrees}])


def _neighbours(degrees: Mapping[str, int], rng: random.Random) -> Iterator[dict[str, int]]:
    """Degrees one step away; expert degrees follow so that they fill the stage."""
    for name in ("tp", "pp", "dp"):
        for size in (degrees[name] * 2, degrees[name] // 2, degrees[name] + 1, degrees[name] - 1):
            if size < 1 or size == degrees[name]:
                continue
            found = {**degrees, name: size}
            if degrees["ep"] * degrees["moe_tp"] > 1:
                stage = found["tp"] * found["dp"]
                found |= {"ep": stage, "moe_tp": 1} if degrees["ep"] > 1 else {"ep": 1, "moe_tp": stage}
            yield found
    if degrees["ep"] * degrees["moe_tp"] > 1:
        yield {**degrees, "ep": degrees["moe_tp"], "moe_tp": degrees["ep"]}


def _any_degrees(rng: random.Random, experts: bool) -> dict[str, int]:
    tp, dp, pp = rng.choice((1, 2, 4, 8)), rng.choice((1, 2, 3, 4, 5)) if experts else 1, rng.choice((1, 1, 2, 3))
    return {"tp": tp, "dp": dp, "pp": pp} | ({"ep": tp * dp} if experts else {})


def wider(content: Content) -> Iterator[tuple[str, Content]]:
    """Scenarios that have every plan of the first one: their bound may not exceed its cost."""
    looser = copy.deepcopy(content)
    looser["slo"] = {name: value * 1.3 for name, value in content["slo"].items()}
    yield "looser promises", looser
    # What is owned is paid for whole, so more of it costs more.
    if content["objective"] == "cost" and "builder" in content["cluster"] and not content.get("owned"):
        larger, size = copy.deepcopy(content), "racks" if content["cluster"]["builder"] == "nvl72" else "nodes"
        larger["cluster"][size] += 1
        yield "more devices", larger


def alike(content: Content) -> Iterator[tuple[str, Content]]:
    """The same scenario in other words, and once more: searches that nobody seeds go other ways."""
    yield "once more", content
    renamed = copy.deepcopy(content)
    for number, one in enumerate(renamed["traffic"]["classes"]):
        one["name"] = f"zz-{9 - number}"
    yield "renamed classes", renamed


def attack(content: Content, rng: random.Random, seconds: float, time_left: Callable[[], bool]) -> Iterator[Violation]:
    """Every law that the answer to a scenario breaks, as far as the time goes."""
    try:
        first = solved(content, seconds)
    except BadInput:
        return
    except Exception as error:  # whatever else ends a solve is a defect, and the scenario shows it
        yield _defect(error, content)
        return
    plan = first.found
    if plan is not None:
        found = violations(plan)
        if found:
            yield Violation("the witness accepts", "; ".join(found[:3]), content)
    impossible = first.status == "infeasible"
    asked = [("narrower", law, other) for law, other in narrower(content, plan, rng)]
    asked += [("wider", law, other) for law, other in wider(content)] if plan else []
    asked += [("alike", *each) for each in alike(content)]
    rng.shuffle(asked)
    for kind, law, other in asked:
        if not time_left():
            return
        try:
            second = solved(other, seconds)
        except BadInput:
            continue
        except Exception as error:
            yield _defect(error, other)
            continue
        if second.found is not None and (rejected := violations(second.found)):
            yield Violation("the witness accepts", "; ".join(rejected[:3]), other)
            continue
        if kind in ("narrower", "alike") and second.found is not None:
            cost = second.found.objective.usd_per_million_output_tokens
            if impossible:
                yield Violation(law, f"a plan of {cost:.6g} exists where none was said to", content, other)
            elif plan is not None and cost < plan.objective.bound * (1 - ROUNDING):
                said = f"a plan of {cost:.6g} lies under the bound of {plan.objective.bound:.6g}"
                yield Violation(law, said, content, other)
        if kind in ("wider", "alike") and plan is not None:
            cost = plan.objective.usd_per_million_output_tokens
            if second.status == "infeasible":
                yield Violation(law, f"none is said to exist where a plan of {cost:.6g} does", content, other)
            elif second.found is not None and cost < second.found.objective.bound * (1 - ROUNDING):
                said = f"a plan of {cost:.6g} lies under the bound of {second.found.objective.bound:.6g}"
                yield Violation(law, said, other, content)


def _defect(error: Exception, content: Content) -> Violation:
    return Violation("a solve ends in an answer", f"{type(error).__name__}: {error}", content)
