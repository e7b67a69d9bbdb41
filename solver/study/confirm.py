"""Closes the loop: replays a plan, and where a promise is missed tightens it for the pools at fault and solves again.

A missed TTFT is the fault of the pools that prefill, a missed TPOT of those that decode, so each promise is derated by
itself: the program is asked for ``limit x factor`` where the replay shows that ``limit`` is not enough. What comes back
is a plan of the scenario as it was, with the bound that was proven for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from math import inf, isfinite
from pathlib import Path
from statistics import fmean
from time import process_time

from solver.check import violations
from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.assemble import with_bound, with_draws
from solver.optimize.assembly.binding import binding
from solver.optimize.assembly.outcome import Outcome
from solver.optimize.solve import without_reasons
from solver.plan import Confirmation, Plan
from solver.simulate import PromiseVerdict, ReplayReport, Run, replay, unrecorded_s
from solver.simulate.report import SHARED
from solver.workload import SLO, PinnedPool, Scenario
from solver.workload.measures import MEASURES, Measure

#: Times that promises are tightened before the plan is returned as not confirmed.
MOST_ROUNDS = 6
#: Share by which a tightened limit stays below what would just have sufficed.
STEP = 0.005
#: Half-widths of a replay's 95 % confidence interval by which promises must hold: three standard deviations.
SURE = 1.5
#: Times that half of a tightening is tried where no plan keeps the whole one.
HALVINGS = 2
#: Times that limits between those that failed and those that held are tried, where what held costs more than this share.
RELAXATIONS, DEARER = 4, 0.02
#: The short replay of every solve: arrivals, warm-up included, which take some 0.2 ms of CPU each; how many must be recorded
#: for a verdict, and for an early one; CPU seconds after which recording ends anyway, so that all takes three.
ARRIVALS, LEAST, EARLY, CPU_S = 13_000, 1000, 7000, 2.0
#: Half-widths by which the short replay's promises must hold, and from which on it is sure that they do and stops; how much
#: dearer a plan of the same shapes may be before others are looked for.
GLANCE, CERTAIN, NEAR = 0.5, 3.0, 0.1
#: More requests than any trace has.
WHOLE = 100_000_000
#: Rules whose sentences name a limit, which is not the one that was searched with.
_PROMISED = {measure.key for measure in MEASURES}

Derating = dict[tuple[SLO, Measure], float]


@dataclass(frozen=True)
class Trial:
    """How a plan is replayed.

    Attributes
    ----------
    seeds: of the replays of drawn traffic; requests: recorded in each.
    traces: replayed instead, whole: what really came says more than what is drawn.
    margins: half-widths of a replay's 95 % confidence interval by which promises must hold.
    rounds: times that promises are tightened; relaxations: that limits between are tried where what held is dear.
    same_shapes: whether pools of the same shapes are looked for first, which is quick; not where there are several
        promises, which pools may share in many ways.
    """

    seeds: tuple[int, ...] = (101, 102, 103)
    requests: int = 20_000
    traces: tuple[Path, ...] = ()
    margins: float = SURE
    rounds: int = MOST_ROUNDS
    relaxations: int = RELAXATIONS
    same_shapes: bool = False

    def reports(self, plan: Plan) -> list[list[ReplayReport]]:
        """Replays of the plan, those of the same traffic together."""
        if self.traces:
            return [[replay(plan, Run(requests=WHOLE, seed=self.seeds[0], trace=trace))] for trace in self.traces]
        return [[replay(plan, Run(requests=self.requests, seed=seed)) for seed in self.seeds]]


@dataclass(frozen=True)
class Glance(Trial):
    """One short replay, stopped as soon as it is sure: what every solve does with its plan.

    A plan whose requests stay so long, or come so fast, that the warm-up takes all arrivals is not judged.

    Attributes
    ----------
    cpu_s: after which recording ends; None in seeded runs, whose plan must not depend on a clock.
    """

    seeds: tuple[int, ...] = (101,)
    margins: float = GLANCE
    rounds: int = 2
    relaxations: int = 0
    same_shapes: bool = True
    cpu_s: float | None = CPU_S

    def reports(self, plan: Plan) -> list[list[ReplayReport]]:
        """The replay; none where too little could be recorded."""
        requests = ARRIVALS - _unrecorded(plan)
        if requests < LEAST:
            return []
        end_s = inf if self.cpu_s is None else process_time() + self.cpu_s

        def stop(recorded: int, verdicts: Sequence[PromiseVerdict]) -> bool:
            return process_time() > end_s or (recorded >= EARLY and all(map(_certain, verdicts)))

        report = replay(plan, Run(requests=requests, seed=self.seeds[0], stop=stop))
        return [[report]] if report.verdicts and report.overall.requests >= LEAST else []


def _unrecorded(plan: Plan) -> int:
    """Requests of a replay that come before and after those that count."""
    return round(unrecorded_s(plan) * plan.prediction.requests_per_s)


def why_not_judged(plan: Plan) -> str:
    """Why a short replay says nothing of a plan.

    Where nothing is promised; where requests stay so long, or come so fast, that too few of those of a short replay count.
    """
    scenario = plan.scenario
    slos = [c.promises(scenario.slo) for c in scenario.traffic.classes]
    if not any(slo.promised for slo in slos):
        return "nothing was promised"
    return (
        f"of the {ARRIVALS:,} requests of a short replay {_unrecorded(plan):,} would come before and after those that count; "
        "--confirm takes its time"
    )


def _certain(verdict: PromiseVerdict) -> bool:
    """Whether a promise holds by so much that more requests would hardly change it; how far a miss is takes all of them."""
    return verdict.limit_s - verdict.simulated_s > CERTAIN * verdict.margin_s


def confirm(
    scenario: Scenario,
    outcome: Outcome,
    effort: Effort | None = None,
    folder: Path = Path("."),
    trial: Trial | None = None,
    solve: Callable[..., Outcome] = without_reasons,
) -> Outcome:
    """The outcome with a plan that keeps its promises in replay, or with the best one and what it misses.

    Without a confirmation it comes back where the trial cannot judge it.

    Parameters
    ----------
    outcome: of solving the scenario.
    folder: where relative paths in the scenario start.
    """
    if outcome.found is None:
        return outcome
    loop = _Loop(outcome.found, trial or Trial(), lambda wanted: solve(wanted, effort, folder).found)
    last = tried = loop.tried(outcome.found, {})
    for _ in range(loop.how.rounds):
        if not tried.missed:
            break
        tighter = loop.tighter(tried)
        if tighter is None:
            break
        last, tried = tried, tighter
    if last.missed and not tried.missed:
        tried = loop.relaxed(last, tried)
    return replace(outcome, status=tried.plan.status, found=tried.plan)


@dataclass(frozen=True)
class _Tried:
    """A plan that was replayed: what the program had been asked for, and what the replays ask for next."""

    plan: Plan
    derating: Derating
    missed: Derating

    @property
    def cost(self) -> float:
        """USD per million output tokens."""
        return self.plan.objective.usd_per_million_output_tokens


@dataclass(frozen=True)
class _Loop:
    """Solves of one scenario under ever different limits, each replayed.

    Attributes
    ----------
    first: the plan of the scenario as it is.
    """

    first: Plan
    how: Trial
    solve: Callable[[Scenario], Plan | None]

    def tried(self, plan: Plan, derating: Derating) -> _Tried:
        """Replay a plan and write down what that showed."""
        reports = self.how.reports(plan)
        if not reports:
            return _Tried(plan, derating, {})
        missed = _missed(plan, reports, derating, self.how.margins)
        record = _confirmation(plan, self.first, list(chain.from_iterable(reports)), self.how, derating, not missed)
        return _Tried(plan.model_copy(update={"confirmation": record}), derating, missed)

    def planned(self, derating: Derating) -> Plan | None:
        """The plan under stricter limits, as one of the scenario itself; None if there is none."""
        wanted = tightened(self.first.scenario, derating)
        if self.how.same_shapes and len({c.promises(wanted.slo) for c in wanted.traffic.classes}) == 1:
            near = self._accepted(_with_shapes_of(self.first, wanted))
            first = self.first.objective.usd_per_million_output_tokens
            if near is not None and near.objective.usd_per_million_output_tokens <= first * (1 + NEAR):
                return near
        return self._accepted(wanted)

    def _accepted(self, wanted: Scenario) -> Plan | None:
        found = self.solve(wanted)
        plan = None if found is None else as_asked(found, self.first)
        return None if plan is None or violations(plan) else plan

    def tighter(self, tried: _Tried) -> _Tried | None:
        """What the replays ask for; half of the step, and half of that, where no plan keeps so much."""
        wanted = tried.derating | tried.missed
        for _ in range(HALVINGS + 1):
            plan = self.planned(wanted)
            if plan is not None:
                return self.tried(plan, wanted)
            wanted = _between(tried.derating, wanted)
        return None

    def relaxed(self, failed: _Tried, held: _Tried) -> _Tried:
        """The cheapest plan that holds, between limits that were too lax and limits that may be too strict."""
        lax, strict, best = failed.derating, held.derating, held
        for _ in range(self.how.relaxations):
            if best.cost <= failed.cost * (1 + DEARER):
                break
            middle = _between(lax, strict)
            plan = self.planned(middle)
            if plan is None or plan.pools == failed.plan.pools:
                lax = middle
            elif plan.objective.usd_per_million_output_tokens >= best.cost:
                strict = middle
            else:
                tried = self.tried(plan, middle)
                lax, strict, best = (middle, strict, best) if tried.missed else (lax, middle, tried)
        return best


def _with_shapes_of(plan: Plan, scenario: Scenario) -> Scenario:
    """The scenario with no pools but some of the shapes that a plan has: a small search."""
    shapes = [
        PinnedPool(role=pool.role, parallelism=pool.parallelism.model_dump(), device=pool.device) for pool in plan.pools
    ]
    distinct = tuple(shape for place, shape in enumerate(shapes) if shape not in shapes[:place])
    limits = scenario.constraints.model_copy(update={"pools": distinct, "other_pools": False})
    return scenario.model_copy(update={"constraints": limits})


def _between(lax: Derating, strict: Derating) -> Derating:
    """Limits in the middle of two, in proportion."""
    return {key: (lax.get(key, 1.0) * factor) ** 0.5 for key, factor in strict.items()}


def tightened(scenario: Scenario, derating: Derating) -> Scenario:
    """The scenario with stricter promises; classes that share a promise go on sharing it."""

    def less(slo: SLO) -> SLO:
        promised = dict(slo.promised)
        changes = {m.field: promised[m] * factor for (of, m), factor in derating.items() if of == slo}
        return slo.model_copy(update=changes)

    classes = [
        c.model_copy(update={"slo": less(c.promises(scenario.slo))})
        for c in scenario.traffic.classes
    ]
    return scenario.model_copy(update={"traffic": scenario.traffic.model_copy(update={"classes": tuple(classes)})})


def as_asked(plan: Plan, first: Plan) -> Plan:
    """A plan of the tightened scenario as one of the scenario itself, whose own bound still holds."""
    provenance = plan.provenance.model_copy(update={"inputs": first.provenance.inputs})
    asked = with_bound(
        plan.model_copy(update={"scenario": first.scenario, "provenance": provenance}), first.objective.bound
    )
    instance = Instance.of(first.scenario)
    # Its promises are the looser ones again: more draws keep them.
    asked = with_draws(asked, Evidence(asked, instance).worlds)
    told = binding(instance, asked, dict.fromkeys(pool.name for pool in asked.pools))
    kept = [b for b in plan.binding if b.rule not in {other.rule for other in told} | _PROMISED]
    return asked.model_copy(update={"binding": (*kept, *told)})


def _missed(
    plan: Plan, groups: Sequence[Sequence[ReplayReport]], derating: Derating, margins: float
) -> Derating:
    """For every promise that the replays break, the share of its limit that the program must be asked for next.

    A promise holds if every replay keeps it, and for every group of replays of the same traffic their mean with so many
    half-widths of a single one's confidence interval: another replay will then keep it too. If not, what the program is
    asked for falls in proportion, from what it was asked for or, if that is less, from what it predicts: a limit that
    does not bind would change nothing.
    """
    found: Derating = {}
    scenario = plan.scenario
    slos = {c.name: c.promises(scenario.slo) for c in scenario.traffic.classes}
    for reports in groups:
        verdicts = [{(v.class_name, v.measure): v for v in report.verdicts} for report in reports]
        for name in verdicts[0]:
            together = [each[name] for each in verdicts if name in each]
            one, likely = together[0], _likely(together, margins)
            if likely <= one.limit_s:
                continue
            key = slos[one.class_name], one.measure
            predicted = plan.prediction.classes[one.class_name].figure(one.measure)
            binds = min(derating.get(key, 1.0), one.limit_s if predicted is None else predicted / one.limit_s)
            found[key] = min(found.get(key, 1.0), binds * max(one.limit_s / likely * (1 - STEP), 0.5))
    return found


def _likely(verdicts: Sequence[PromiseVerdict], margins: float) -> float:
    """What another replay of the same traffic will hardly exceed [s]."""
    margin = margins * fmean(verdict.margin_s for verdict in verdicts)
    mean = fmean(verdict.simulated_s for verdict in verdicts)
    return max(mean + (margin if isfinite(margin) else 0.0), *(verdict.simulated_s for verdict in verdicts))


def _confirmation(
    plan: Plan, first: Plan, reports: Sequence[ReplayReport], how: Trial, derating: Derating, kept: bool
) -> Confirmation:
    """The record of some replays."""
    promised = {c.name: {m for m, _ in c.promises(first.scenario.slo).promised} for c in first.scenario.traffic.classes}
    everyone = set().union(*promised.values())
    classes = {
        name: {
            m.field: fmean([r.classes[name].figure(m) for r in reports if r.classes[name].requests] or [0.0])
            for m in MEASURES
            if m in (*SHARED, *promised[name])
        }
        for name in reports[0].classes
    }
    limits = {
        c.name: {m.field: factor for (slo, m), factor in derating.items() if slo == c.promises(first.scenario.slo)}
        for c in first.scenario.traffic.classes
    }
    before = first.objective.usd_per_million_output_tokens
    return Confirmation(
        kept=kept,
        seeds=() if how.traces else how.seeds,
        requests=max(min(report.overall.requests for report in reports), 1),
        traces=tuple(trace.name for trace in how.traces),
        simulated={m.field: fmean(r.overall.figure(m) for r in reports) for m in MEASURES if m in (*SHARED, *everyone)},
        classes=classes,
        derating={name: found for name, found in limits.items() if found},
        cost_rise=plan.objective.usd_per_million_output_tokens / before - 1 if before else 0.0,
    )
