"""What a solve ends with: a plan, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from solver.check.evidence import Evidence
from solver.check.floor import WORDS, floor_beneath
from solver.check.money import paid_devices, why_whole
from solver.cost.instance import EVEN, Instance
from solver.errors import NoPlan
from solver.plan import Alternative, KVTier, Margin, Plan, Pool
from solver.workload import RequestClass
from solver.workload.measures import MEASURES, TPOT_P95, TTFT_P95
from topologies.units import show_bytes, show_seconds


@dataclass(frozen=True)
class WayOut:
    """One rule to give up, and what could be had then.

    Attributes
    ----------
    rule: the rule in words.
    offer: what is reachable without it.
    loss: how much of it must be given up, from 0 to 1.
    """

    rule: str
    offer: str
    loss: float


@dataclass(frozen=True)
class Refusal:
    """Why there is no plan.

    Attributes
    ----------
    reason: in a sentence or two. rules: those that cannot all hold. ways: rules that alone stand in the way, the cheapest to
        give up first.
    """

    reason: str
    rules: tuple[str, ...] = ()
    ways: tuple[WayOut, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """Status, plan and bound of a solve.

    Attributes
    ----------
    status: ``optimal`` (gap within the target), ``feasible``, ``infeasible`` (proven), ``unknown`` (no time left).
    reason: why there is no plan; empty if there is one.
    by_engine: the plan of every engine that was solved for, where the engine was left open.
    refusal: the reason in its parts, where it was looked for.
    """

    status: Literal["optimal", "feasible", "infeasible", "unknown"]
    found: Plan | None
    reason: str = ""
    by_engine: tuple[tuple[str, Plan], ...] = ()
    refusal: Refusal | None = None

    @property
    def plan(self) -> Plan:
        """The plan.

        Raises
        ------
        NoPlan: there is none; says why and what would help.
        """
        if self.found is None:
            raise NoPlan(self.reason)
        return self.found

    @property
    def gap(self) -> float | None:
        """Relative gap between the plan's cost and the proven bound; None without a plan."""
        return None if self.found is None else self.found.objective.gap

    @property
    def bound(self) -> float | None:
        """Proven lower bound on USD per million output tokens; None without a plan."""
        return None if self.found is None else self.found.objective.bound

    @property
    def alternatives(self) -> tuple[Alternative, ...]:
        """Structurally different plans that cost little more."""
        return () if self.found is None else self.found.alternatives

    def __str__(self) -> str:
        if self.found is None:
            return self.reason
        others = [
            f"  on {engine}: {plan.objective.usd_per_million_output_tokens:.4g} USD per million output tokens, "
            f"{plan.devices} devices"
            for engine, plan in self.by_engine
        ]
        return "\n".join([summary(self.found), *others])


def summary(plan: Plan) -> str:
    """The plan in a few lines: what it costs, how near to the bound, what to start, what binds."""
    o, p, evidence = plan.objective, plan.prediction, Evidence(plan, Instance.of(plan.scenario))
    simple = f", {o.simplicity_cost:.2%} of it for a simpler plan" if o.simplicity_cost else ""
    lines = [
        f"{plan.status}: {o.usd_per_million_output_tokens:.4g} USD per million output tokens, {o.usd_per_hour:.4g} USD/h; "
        f"no plan can cost less than {o.bound:.4g} (gap {o.gap:.2%}{simple})",
        f"serves {p.requests_per_s:.4g} requests/s, {p.output_tokens_per_s:,.0f} output tokens/s on {_rented(evidence)}",
        *(f"  {_promised(plan, request_class)}" for request_class in plan.scenario.traffic.classes),
        f"  {_sure(plan)}",
        *(f"  {line}" for line in priced(plan, evidence.instance)),
    ]
    for pool in plan.pools:
        shape = pool.parallelism.shape()
        lines.append(
            f"  {pool.name}: {pool.replicas} x {shape.devices} {pool.device} ({shape}) on {pool.engine}, "
            f"{_busy(pool)}, step {show_seconds(pool.step_s)}, bound by {pool.roofline.bound_by}"
        )
    lines += [f"  {_kept(tier)}" for tier in plan.kv_tiers]
    lines += [f"  {sold(margin)}" for margin in plan.margins]
    lines += [f"  {b.because}" for b in plan.binding]
    lines.append(f"  {_floor(evidence)}")
    lines += [f"  note: {doubt}" for doubt in p.extrapolated]
    return "\n".join(lines)


def priced(plan: Plan, instance: Instance) -> list[str]:
    """What an hour of each kind of device in use costs, and where that price comes from."""
    rents = {name: instance.rent(name) for name in sorted({pool.device for pool in plan.pools})}
    return [f"{name} at {rent.usd_per_hour:.4g} USD per device-hour ({rent.origin})" for name, rent in rents.items()]


def _floor(evidence: Evidence) -> str:
    """How far the cost lies above that of arithmetic alone, and what most of the rest is."""
    found = floor_beneath(evidence)
    rest = max((name for name in found.parts if name != "arithmetic"), key=lambda name: found.parts[name])
    share, times = found.parts[rest] / found.cost, found.cost / found.floor
    return (
        f"floor: matrix products at the devices' peak would cost {found.floor:.3g} USD, the plan costs {times:.3g} times that; "
        f"most of the rest ({share:.0%}) is {rest}: {WORDS[rest]}"
    )


def _rented(evidence: Evidence) -> str:
    """Devices in use, and those that are paid for beside them."""
    plan, paid = evidence.plan, len(paid_devices(evidence))
    if paid == plan.devices:
        return f"{plan.devices} devices"
    return f"{plan.devices} devices, {paid} billed: {why_whole(plan.scenario)}"


def _promised(plan: Plan, request_class: RequestClass) -> str:
    """What a class was promised and what is predicted, with the range that holds in 80 % of cases."""
    latency = plan.prediction.classes[request_class.name]
    promised = dict(request_class.promises(plan.scenario.slo).promised)
    # Who was promised nothing of a latency is told its 95th percentile.
    about = {measure.quantity for measure in promised}
    free = {measure for measure in (TTFT_P95, TPOT_P95) if measure.quantity not in about}
    parts = []
    for measure in MEASURES:
        value = latency.figure(measure)
        if value is None or (measure not in promised and measure not in free):
            continue
        asked = f"promised {show_seconds(promised[measure])}" if measure in promised else "no promise"
        likely = between(*map(show_seconds, latency.interval_80[measure.field]))
        parts.append(f"{measure} {show_seconds(value)} ({'; '.join(filter(None, (asked, likely)))})")
    return f"{request_class.name}: {', '.join(parts)}"


def between(low: str, high: str) -> str:
    """The range that holds in 80 % of the draws; empty where both ends read alike: nothing known of moves it."""
    return "" if low == high else f"80 % between {low} and {high}"


def _sure(plan: Plan) -> str:
    """With what confidence all promises hold, and what cost that leaves open."""
    ranged = between(*(f"{usd:.4g}" for usd in plan.objective.interval_80))
    asked = plan.scenario.options.slo_confidence
    why = f"{asked:.0%} were asked for" if asked > EVEN else "none were asked for: options.slo_confidence"
    return (
        f"all promises hold at once in {plan.prediction.confidence:.0%} of the draws of what predictions may be off by "
        f"({why})" + (f"; by what is served within them {ranged} USD per million output tokens" if ranged else "")
    )


def _busy(pool: Pool) -> str:
    """How full a pool is: by the time of its ranks for prompts, by its batch where it decodes, and by what it could serve."""
    own = f"{pool.utilisation:.0%} busy" if pool.role == "prefill" else f"batch {pool.batch_per_rank:.3g} a rank"
    return f"{own}, {pool.fullness:.0%} of what keeps the promises"


def sold(margin: Margin) -> str:
    """What a class brings in and costs, in a line."""
    return (
        f"class {margin.request_class!r} is sold for {margin.revenue_usd_per_hour:.4g} USD/h and costs "
        f"{margin.cost_usd_per_hour:.4g}: a margin of {margin.margin:.0%}"
    )


def _kept(tier: KVTier) -> str:
    """Where one class's idle KV waits, in a line."""
    start, parts = 0.0, []
    for name, until in tier.until_s.items():
        if until > start:
            parts.append(f"{show_bytes(tier.bytes.get(name, 0.0))} in {name} until {show_seconds(until)}")
            start = until
    where = ", ".join(parts) or ("shared prefixes alone" if tier.shared_bytes else "none")
    usd = sum(tier.usd_per_hour.values())
    return (
        f"idle KV of {tier.request_class!r} ({tier.pool}): {where}; {tier.hit_rate:.0%} of requests find their history, "
        f"which spares {tier.spared_prefill_devices:.3g} prefill devices" + (f" for {usd:.3g} USD/h" if usd else "")
    )
