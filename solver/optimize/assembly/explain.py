"""Why there is no plan: the rules that cannot all hold, and the cheapest to give up.

The program is solved again with one rule relaxed at a time; what becomes possible is the way out.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product

from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.outcome import Refusal, WayOut
from solver.optimize.layout.market import Offer, market, offer
from solver.optimize.layout.search import Layout, best_layout
from solver.replica import Engine
from solver.workload import SLO, Constraints, Scenario
from solver.workload.measures import MEASURES, Measure
from topologies.units import show_seconds

#: Constraints that are told among the devices and the pools, or that forbid nothing.
_ELSEWHERE = {"max_devices", "pools", "other_pools", "max_model_len"}
#: A promise counts as out of reach where even this much more time does not help.
MOST_RELAXATION = 1000.0
#: Ages of idle KV that are tried with every rule relaxed [s].
FEW_AGES_S = (60.0, 600.0)


def why_none(instance: Instance, offers: Sequence[Offer], effort: Effort, proven: bool) -> Refusal:
    """What is in conflict, and every way out that the time allows to find, the cheapest first."""
    if not proven:
        return Refusal(
            f"No plan was found within the time limit of {effort.time_limit_s:g} s, and none was excluded: allow more time."
        )
    if all(not offered.columns for offered in offers) and (hopeless := _never_legal(instance, offers)):
        return Refusal(hopeless)
    engines = [offered.engine for offered in offers]
    ways = tuple(sorted(_ways_out(_coarse(instance), engines, effort), key=lambda way: way.loss))
    rules = tuple(rule.words for rule in _conflict(_coarse(instance), engines, effort))
    conflict = f"No plan exists. These rules cannot all hold: {'; '.join(rules)}."
    if not ways and effort.late:
        return Refusal(f"{conflict} {effort.time_limit_s:g} s did not suffice to try giving them up one by one.", rules)
    if not ways:
        return Refusal(f"{conflict} Giving up a single rule does not help: there are other conflicts beside this one.", rules)
    return Refusal(f"{conflict} Cheapest to give up: {ways[0].rule} ({ways[0].offer}).", rules, ways)


def _coarse(instance: Instance) -> Instance:
    """The instance with few ages for idle KV: what is reachable with them is reachable, and dozens of ways are tried."""
    scenario = instance.scenario
    if scenario.options.kv_ages_s or not any(c.reuses for c in scenario.traffic.classes):
        return instance
    options = scenario.options.model_copy(update={"kv_ages_s": FEW_AGES_S})
    return replace(instance, scenario=scenario.model_copy(update={"options": options}))


def _never_legal(instance: Instance, offers: Sequence[Offer]) -> str:
    """Where no shape can even be started: the reasons, most frequent first; empty if some could."""
    if any(offered.priced for offered in offers):
        return ""
    reasons: Counter[str] = Counter()
    for offered in offers:
        for dropped in offered.dropped.values():
            reasons.update(dropped)
    because = {rule.name: rule.because for offer in offers for rule in offer.rules.rules}
    worst = [f"{because.get(name, name)} ({count} shapes)" for name, count in reasons.most_common(3) if count]
    kinds = ", ".join(f"{fleet.devices} x {fleet.device.name}" for fleet in instance.fleets)
    engines = ", ".join(offer.rules.title for offer in offers)
    return (
        f"No plan exists: {engines} would start {instance.llm.name} in no shape on {kinds}. "
        f"What stands in the way: {'; '.join(worst)}."
    )


@dataclass(frozen=True)
class _Rule:
    """One thing that a scenario demands, in words, and the scenario without it; None: what it has to do it with."""

    words: str
    without: Callable[[Scenario], Scenario] | None


def _conflict(instance: Instance, engines: Sequence[Engine], effort: Effort) -> list[_Rule]:
    """Rules that cannot all hold, of which none can be left out: each is given up in turn, and for good where the others are in
    conflict without it. Rules that the time does not reach stay."""
    kept, scenario = list(_rules(instance)), instance.scenario
    for rule in list(kept):
        if rule.without is None:
            continue
        without = rule.without(scenario)
        possible = _solvable(replace(instance, scenario=without), engines, effort)
        if effort.late:
            break
        if not possible:
            kept.remove(rule)
            scenario = without
    return kept


def _rules(instance: Instance) -> Iterator[_Rule]:
    """What the scenario demands."""
    scenario = instance.scenario
    healthy = sum(fleet.devices for fleet in instance.fleets)
    yield _Rule(f"at most {min(healthy, scenario.constraints.max_devices or healthy)} devices", None)
    promised = scenario.traffic.groups(scenario.slo)
    for slo, classes in promised:
        names = frozenset(c.name for c in classes)
        whose = "" if len(promised) == 1 else f" for {', '.join(c.name for c in classes)}"
        for measure, limit in slo.promised:
            yield _Rule(f"{measure} at most {show_seconds(limit)}{whose}", partial(_unpromised, names, measure))
    if scenario.objective == "cost":
        rate = f"at least {scenario.traffic.requests_per_s:.4g} requests/s"
        yield _Rule(rate, lambda asked: asked.model_copy(update={"objective": "throughput"}))
    for option, what in (("survive_domain_failures", "scale-up domain"), ("survive_host_failures", "host")):
        if count := getattr(scenario.options, option):
            words = f"the loss of any {count} {what}{'s' if count > 1 else ''} is survived"
            yield _Rule(words, partial(_with_part, "options", {option: 0}))
    if scenario.constraints.pools:
        words = f"{len(scenario.constraints.pools)} pinned pool{'s' if len(scenario.constraints.pools) > 1 else ''}"
        yield _Rule(words, partial(_with_part, "constraints", {"pools": (), "other_pools": True}))
    free = Constraints()
    limited = {
        name: getattr(free, name)
        for name in Constraints.model_fields
        if name not in _ELSEWHERE and getattr(scenario.constraints, name) != getattr(free, name)
    }
    if limited:
        yield _Rule(f"constraints on {', '.join(sorted(limited))}", partial(_with_part, "constraints", limited))


def _unpromised(names: frozenset[str], measure: Measure, scenario: Scenario) -> Scenario:
    """The scenario with one promise less to some classes."""
    classes = []
    for c in scenario.traffic.classes:
        slo = c.promises(scenario.slo)
        kept = slo.model_copy(update={measure.field: None}) if c.name in names else slo
        classes.append(c.model_copy(update={"slo": kept}))
    traffic = scenario.traffic.model_copy(update={"classes": tuple(classes)})
    return scenario.model_copy(update={"slo": SLO(), "traffic": traffic})


def _with_part(part: str, values: Mapping[str, object], scenario: Scenario) -> Scenario:
    """The scenario with some fields of its options or constraints changed."""
    return scenario.model_copy(update={part: getattr(scenario, part).model_copy(update=values)})


def _solvable(instance: Instance, engines: Sequence[Engine], effort: Effort) -> bool:
    """Whether any layout was found."""
    return any(True for _ in _layouts(instance, engines, effort))


def _ways_out(instance: Instance, engines: Sequence[Engine], effort: Effort) -> Iterator[WayOut]:
    """Every rule that alone stands in the way, with what is reachable without it; fewer of them where time runs out."""
    scenario = instance.scenario

    def solvable(changed: Scenario) -> bool:
        return _solvable(replace(instance, scenario=changed), engines, effort)

    if scenario.objective == "cost":
        fullest = replace(instance, scenario=scenario.model_copy(update={"objective": "throughput"}))
        most = max((layout.value for layout in _layouts(fullest, engines, effort)), default=0.0)
        if most > 0:
            reachable = most * scenario.traffic.requests_per_s
            yield WayOut("throughput", f"{reachable:.3g} requests/s is reachable", max(0.0, 1 - most))
    for measure in MEASURES:
        limits = [limit for slo in instance.promises if (limit := slo.limit(measure)) is not None]
        if limits:
            factor = _least_factor(lambda f, m=measure: solvable(_relaxed(scenario, m, f)))  # type: ignore[misc]
            if factor is not None:
                yield WayOut(str(measure), f"{show_seconds(min(limits) * factor)} is reachable", 1 - 1 / factor)
    options = {"survive_domain_failures": 0, "survive_host_failures": 0}
    if any(getattr(scenario.options, name) for name in options):
        changed = scenario.model_copy(update={"options": scenario.options.model_copy(update=options)})
        if solvable(changed):
            yield WayOut("surviving failures", "without it there is a plan", 0.5)
    freed = Constraints(max_model_len=scenario.constraints.max_model_len)
    if scenario.constraints != freed:
        changed = scenario.model_copy(update={"constraints": freed})
        if solvable(changed):
            yield WayOut("the constraints", "without them there is a plan", 0.9)


def _layouts(instance: Instance, engines: Sequence[Engine], effort: Effort) -> Iterator[Layout]:
    """The best layout of every engine and every way in which promises may share pools, as far as the time goes."""
    for sharing, engine in product(instance.sharings(), engines):
        if effort.late:
            return
        shared = instance.shared(sharing)
        whole = market(shared)
        offered = offer(shared, engine, whole, effort=effort)
        found = best_layout(offered.within(whole), offered.columns, effort)
        if isinstance(found, Layout):
            yield found


def _relaxed(scenario: Scenario, measure: Measure, factor: float) -> Scenario:
    """The scenario with one kind of promise loosened for everybody."""

    def loosened(slo: SLO) -> SLO:
        limit = slo.limit(measure)
        return slo if limit is None else slo.model_copy(update={measure.field: limit * factor})

    classes = tuple(c.model_copy(update={"slo": loosened(c.slo)}) if c.slo else c for c in scenario.traffic.classes)
    traffic = scenario.traffic.model_copy(update={"classes": classes})
    return scenario.model_copy(update={"slo": loosened(scenario.slo), "traffic": traffic})


def _least_factor(possible: Callable[[float], bool]) -> float | None:
    """Smallest factor by which a limit must grow, to about 3 %; None if even a large one does not help."""
    if not possible(MOST_RELAXATION):
        return None
    low, high = 0.0, math.log(MOST_RELAXATION)
    while high - low > 0.03:
        middle = (low + high) / 2
        low, high = (low, middle) if possible(math.exp(middle)) else (middle, high)
    return math.exp(high)
