"""The answer in words: what the plan costs, how near to the best it is, what it keeps and what limits it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from solver.check.money import why_whole
from solver.plan.rivals import apart_or_together
from solver.view.amounts import percent, plural, quantity, usd
from solver.view.scene import Scene
from solver.workload.measures import MEASURES, Quantity
from topologies.units import show_seconds

#: What a reader calls the latencies that may be promised, in a heading and in a sentence.
LATENCIES: dict[Quantity, tuple[str, str]] = {
    "ttft": ("Time to first token", "TTFT"),
    "tpot": ("Time per output token", "TPOT"),
    "itl": ("Gap between tokens", "Gap between tokens"),
    "e2e": ("End-to-end latency", "End-to-end latency"),
}
#: What a reader calls the rules that may bind.
RULES = {measure.key: LATENCIES[measure.quantity][0] for measure in MEASURES} | {
    "memory": "Memory",
    "capacity": "Capacity",
    "devices": "Devices",
    "links": "Links",
}
#: A gap below this is none.
NO_GAP = 5e-5
#: Rules that say how the plan was chosen, not what limits it.
CHOICE = ("evidence", "simplicity")


@dataclass(frozen=True)
class PromiseKept:
    """One promise to one class: predicted, promised, and seen in the replays that confirmed the plan, where they tell [s]."""

    request_class: str
    what: str
    predicted_s: float
    promised_s: float
    replayed_s: float | None = None

    @property
    def spare(self) -> float:
        """Share of the promise that is left; negative where it is broken."""
        return 1 - self.predicted_s / self.promised_s

    def __str__(self) -> str:
        end = f"{percent(self.spare)} to spare" if self.spare >= 0 else f"{percent(-self.spare)} too slow"
        times = f"{show_seconds(self.predicted_s)} of the {show_seconds(self.promised_s)} promised"
        return f"{self.what} of {self.request_class!r} is {times}, {end}"


def promises_kept(scene: Scene) -> list[PromiseKept]:
    """Every promise beside its prediction, class by class."""
    found = []
    confirmation = scene.plan.confirmation
    for group in scene.instance.groups:
        for request_class, slo in zip(group.classes, group.slos, strict=True):
            latency = scene.plan.prediction.classes[request_class.name]
            seen = confirmation.classes.get(request_class.name, {}) if confirmation else {}
            for measure, limit in slo.promised:
                told = latency.figure(measure)
                value = scene.derived[request_class.name].alone()[measure.field] if told is None else told
                what = f"{LATENCIES[measure.quantity][1]} {measure.statistic}"
                found.append(PromiseKept(request_class.name, what, value, limit, seen.get(measure.field)))
    return found


def tightest(scene: Scene) -> PromiseKept | None:
    """The promise with the least to spare."""
    return min(promises_kept(scene), key=lambda kept: kept.spare, default=None)


def title(scene: Scene) -> str:
    """What is served on what, for a heading.

    The kinds of devices are those in use.
    """
    kinds = " and ".join(sorted({pool.device.upper() for pool in scene.plan.pools}))
    return f"{scene.instance.llm.name} on {plural(scene.plan.devices, f'{kinds} device')}"


def verdict(scene: Scene) -> str:
    """How good the plan is, in a few words."""
    gap = scene.plan.objective.gap
    if gap < NO_GAP:
        return "Proven: no plan is cheaper"
    if scene.plan.status == "optimal":
        return f"Proven within {percent(gap)} of the best"
    return f"Best plan found; a better one would save {percent(gap)} at most"


def sentences(scene: Scene) -> Iterator[str]:
    """The answer, sentence by sentence."""
    yield _cost(scene)
    yield _prices(scene)
    yield _proof(scene)
    if told := apart_or_together(scene.plan):
        yield told
    yield from (rule.because for rule in scene.plan.binding if rule.rule in CHOICE)
    yield _service(scene)
    yield from _promises(scene)
    if idle := scene.uses["idle"]:
        words = f"{plural(idle, 'device')} {'is' if idle == 1 else 'are'} billed and {'runs' if idle == 1 else 'run'} nothing"
        yield f"{words}: {why_whole(scene.plan.scenario)}."
    if spare := scene.uses["free"]:
        yield f"{plural(spare, 'healthy device')} of the cluster {'is' if spare == 1 else 'are'} not needed."
    broken = len(scene.devices) - scene.healthy
    if broken:
        yield f"{plural(broken, 'device')} {'is' if broken == 1 else 'are'} not healthy and carry nothing."


def _cost(scene: Scene) -> str:
    o, scenario = scene.plan.objective, scene.plan.scenario
    output = f"{usd(o.usd_per_million_output_tokens)} per million output tokens"
    both = f"{usd(o.usd_per_million_tokens)} per million tokens of prompts and outputs together"
    if scenario.owned or scenario.objective == "throughput":
        return f"The whole cluster costs {usd(o.usd_per_hour)} per hour, which is {output}, or {both}."
    unit = {"device": "devices", "host": "whole hosts", "domain": "whole scale-up domains"}[scenario.billing]
    return f"Serving costs {output}, or {both}: {usd(o.usd_per_hour)} per hour for {unit}."


def _prices(scene: Scene) -> str:
    """What an hour of each kind of device in use costs, and on which terms."""
    rents = ((name, scene.instance.rent(name)) for name in sorted({pool.device for pool in scene.plan.pools}))
    told = (f"{name.upper()} at {usd(rent.usd_per_hour)} ({rent.origin})" for name, rent in rents)
    return f"A device-hour is counted as follows: {'; '.join(told)}."


def _proof(scene: Scene) -> str:
    o = scene.plan.objective
    if o.gap < NO_GAP:
        return "Under the cost model no plan for this scenario can cost less."
    return (
        f"Under the cost model no plan for this scenario can cost less than {usd(o.bound)} per million output tokens, "
        f"so at most {percent(o.gap)} could still be saved."
    )


def _service(scene: Scene) -> str:
    p = scene.plan.prediction
    most = "at most " if scene.plan.scenario.objective == "throughput" else ""
    return (
        f"It serves {most}{quantity(p.requests_per_s)} requests/s with {quantity(round(p.output_tokens_per_s, 0))} output "
        f"tokens/s on {scene.plan.devices:,} of {plural(scene.healthy, 'healthy device')}, "
        f"{quantity(float(f'{p.output_tokens_per_s_per_device:.4g}'))} output tokens/s on each device in use."
    )


def _promises(scene: Scene) -> Iterator[str]:
    every = promises_kept(scene)
    if not every:
        yield "Nothing was promised about latency."
        return
    broken = [kept for kept in every if kept.spare < -1e-9]
    least = min(every, key=lambda kept: kept.spare)
    if broken:
        yield f"{plural(len(broken), 'promise')} of {len(every)} would be broken; the worst: {least}."
    elif len(every) == 1:
        yield f"The one promise is kept: {least}."
    else:
        yield f"{'Both' if len(every) == 2 else f'All {len(every)}'} promises are kept; the tightest: {least}."
