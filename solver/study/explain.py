"""Why a plan costs what it costs: what binds, its floor and what stands above it, what changes are worth, the runner-up.

Every worth is a solve of its own: the scenario with one thing changed by a tenth (or one more domain), everything
decided anew. A saving within the gaps of the two plans may be none, and is said to be. All solves share one budget of
time, what is worth most comes first, and what was not reached is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import networkx as nx

import topologies
from solver.check.floor import CostFloor, cost_floor
from solver.cost.instance import Instance
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.outcome import sold
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.study.breakpoints import Breakpoint, Budget, axes, breakpoint_of
from solver.workload import Scenario

#: By how much memory, bandwidth and prices are changed.
TENTH = 0.1
#: Wall time for everything, where nobody says otherwise [s].
BUDGET_S = 30.0
#: Largest value of a builder's size; one more is asked for below it.
_GROWING = {"hgx": "nodes", "nvl72": "racks", "fat_tree": "nodes"}


@dataclass(frozen=True)
class Change:
    """One thing changed.

    Attributes
    ----------
    what: "10 % looser TPOT"; action: what a person would do for it.
    """

    what: str
    action: str
    scenario: Scenario


@dataclass(frozen=True)
class Worth:
    """What a change is worth.

    Attributes
    ----------
    usd: least USD per million output tokens after it; None where no plan was found in time.
    saving: share of the cost that it spares; negative where it costs more.
    sure: whether the saving is larger than the gaps that the two searches may leave.
    """

    change: Change
    usd: float | None
    saving: float
    sure: bool

    @property
    def idle(self) -> bool:
        """Whether it changes nothing."""
        return self.usd is not None and abs(self.saving) < 5e-4

    def sentence(self) -> str:
        """The worth in one sentence."""
        what = self.change.what[0].upper() + self.change.what[1:]
        if self.usd is None:
            return f"{what} was not priced: no plan was found in time."
        if self.idle:
            return f"{what} would leave the cost as it is."
        if not self.sure:
            return f"{what} would change the cost by less than the gap of the plans ({self.saving:+.1%})."
        verb = "lower" if self.saving > 0 else "raise"
        return (
            f"{what} would {verb} the cost by {abs(self.saving):.1%} to {self.usd:.4g} USD per million output tokens: "
            f"{self.change.action}."
        )


@dataclass(frozen=True)
class Explanation:
    """A plan explained.

    Attributes
    ----------
    binds: sentences on what limits the plan.
    floor: the plan's cost by cause.
    margins: sentences on what classes with a price bring in and cost.
    breakpoints: from where on promises and load change the cost, the largest saving first.
    worths: what changes are worth, the largest saving first.
    unfinished: what the time did not reach.
    hidden: that whole hosts or domains hide what changes are worth; empty where they do not.
    runner_up: a sentence on the best different plan and why it lost; empty where there is none within 5 %.
    """

    binds: tuple[str, ...]
    floor: CostFloor
    margins: tuple[str, ...]
    breakpoints: tuple[Breakpoint, ...]
    worths: tuple[Worth, ...]
    runner_up: str
    unfinished: tuple[str, ...] = ()
    hidden: str = ""

    def __str__(self) -> str:
        lines = ["What binds:", *(f"  {line}" for line in self.binds or ("Nothing is within 5 % of its limit.",))]
        lines += ["What a million output tokens cost:", *(f"  {line}" for line in self.floor.lines())]
        if self.margins:
            lines += ["What classes bring in:", *(f"  {line}" for line in self.margins)]
        if self.breakpoints:
            lines += ["From where on the cost changes:", *(f"  {each.sentence()}" for each in self.breakpoints)]
        lines += ["What changes are worth:", *(f"  {worth.sentence()}" for worth in self.worths if not worth.idle)]
        if idle := [worth.change.what for worth in self.worths if worth.idle]:
            lines.append(f"  Nothing would be changed by {listed(idle)}.")
        lines += [f"  {self.hidden}"] if self.hidden else []
        if self.unfinished:
            lines.append(f"  Not reached in time: {listed(self.unfinished)}; --time-limit allows more.")
        if self.runner_up:
            lines += ["The best different plan:", f"  {self.runner_up}"]
        return "\n".join(lines)

    def to_json(self) -> dict[str, Any]:
        """Sentences and numbers."""
        worths = [
            {"change": w.change.what, "usd_per_million_output_tokens": w.usd, "saving": w.saving, "sure": w.sure}
            for w in self.worths
        ]
        return {
            "binds": list(self.binds),
            "usd_per_million_output_tokens_by_cause": self.floor.parts,
            "step_s_by_cause": self.floor.steps,
            "margins": list(self.margins),
            "breakpoints": [each.to_json() for each in self.breakpoints],
            "worths": worths,
            "unfinished": list(self.unfinished),
            "hidden": self.hidden,
            "runner_up": self.runner_up,
        }


def explain(plan: Plan, effort: Effort | None = None, told: Callable[[str], None] = lambda _: None) -> Explanation:
    """Price every change of a plan's scenario, look for breakpoints and for the best different plan.

    Parameters
    ----------
    effort: its time limit bounds everything together.
    told: is told every sentence as it is found.
    """
    instance, budget = Instance.of(plan.scenario), Budget(effort or Effort(time_limit_s=BUDGET_S))
    worths: list[Worth] = []
    points: list[Breakpoint] = []
    unfinished: list[str] = []
    for axis in axes(plan):
        point = breakpoint_of(plan, axis, budget)
        if point is None:
            unfinished.append(f"breakpoints of {axis.what}")
        else:
            points.append(point)
            told(point.sentence())
    for change in changes(instance):
        worth = _worth(plan, change, budget)
        if worth.usd is None and budget.spent:
            unfinished.append(change.what)
            continue
        worths.append(worth)
        told(worth.sentence())
    binds = tuple(f"{b.because}" for b in plan.binding)
    margins = tuple(sold(margin) for margin in plan.margins)
    return Explanation(
        binds=binds,
        floor=cost_floor(plan, instance),
        margins=margins,
        breakpoints=tuple(sorted(points, key=lambda p: -abs(p.saving))),
        worths=tuple(sorted(worths, key=lambda w: -w.saving)),
        runner_up=_runner_up(plan, budget),
        unfinished=tuple(unfinished),
        hidden=_hidden(plan, worths),
    )


def listed(things: Sequence[str]) -> str:
    """Things in one sentence.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def _hidden(plan: Plan, worths: Sequence[Worth]) -> str:
    """That rent in whole units hides what hardware is worth, where it does."""
    scenario = plan.scenario
    if scenario.objective != "cost" or scenario.billing == "device" or scenario.owned or not worths:
        return ""
    # Cheaper devices are always worth something; better ones only where one unit fewer would do.
    better = [worth for worth in worths if worth.change.what.startswith(f"{TENTH:.0%} more".replace("%", " %"))]
    if not better or not all(worth.idle for worth in better):
        return ""
    return f"A {scenario.billing} is rented whole, which hides what better hardware is worth: try --set billing=device."


def changes(instance: Instance) -> Iterator[Change]:
    """Everything whose price is asked."""
    scenario = instance.scenario
    yield from _survival(scenario)
    hardware = {
        "10 % more HBM per device": (
            {"hbm_bytes", "hbm_usable_bytes"},
            "ask for devices with more memory, or shrink weights",
        ),
        "10 % more HBM bandwidth": ({"hbm_bytes_per_s"}, "weigh a newer generation of devices"),
        "10 % more FLOP/s": ({"flops"}, "weigh a newer generation of devices, or a smaller number format"),
    }
    for what, (fields, action) in hardware.items():
        yield Change(what, action, _with_graph(scenario, _better_devices(instance, fields)))
    yield Change(
        "10 % more scale-out bandwidth", "weigh faster NICs", _with_graph(scenario, _faster_fabric(instance.cluster))
    )
    yield from _one_more(scenario)
    for name in [fleet.device.name for fleet in instance.fleets]:
        cheaper = {**scenario.prices, name: instance.usd_per_hour(name) * (1 - TENTH)}
        yield Change(
            f"10 % cheaper {name}", "negotiate, or rent for longer", scenario.model_copy(update={"prices": cheaper})
        )


def _survival(scenario: Scenario) -> Iterator[Change]:
    """Surviving one more loss, where a demand is to be met and none is survived yet."""
    options = scenario.options
    if scenario.objective != "cost" or options.survive_domain_failures or options.survive_host_failures:
        return
    safer = scenario.model_copy(update={"options": options.model_copy(update={"survive_host_failures": 1})})
    yield Change("surviving the loss of a host", "set options.survive_host_failures to 1", safer)


def _with_graph(scenario: Scenario, cluster: nx.Graph[str]) -> Scenario:
    return scenario.model_copy(update={"cluster": {"graph": topologies.to_plain(cluster)}})


def _better_devices(instance: Instance, fields: set[str]) -> nx.Graph[str]:
    """The cluster with every device a tenth better in some fields."""
    cluster = instance.cluster.copy()
    own: dict[str, Any] = dict(cluster.graph.get("devices") or {})
    for name in [fleet.device.name for fleet in instance.fleets]:
        device = instance.devices[name]
        own[name] = {**own.get(name, {"like": name}), **{f: _grown(getattr(device, f)) for f in sorted(fields)}}
    cluster.graph["devices"] = own
    return cluster


def _grown(value: float | Mapping[str, float]) -> Any:
    if isinstance(value, Mapping):
        return {key: rate * (1 + TENTH) for key, rate in value.items()}
    return value * (1 + TENTH)


def _faster_fabric(cluster: nx.Graph[str]) -> nx.Graph[str]:
    faster = cluster.copy()
    for _, _, link in faster.edges(data=True):
        if link["fabric"] == "scale_out":
            link["bandwidth_bytes_per_s"] *= 1 + TENTH
    return faster


def _one_more(scenario: Scenario) -> Iterator[Change]:
    """One more host or rack, where a builder makes the cluster."""
    builder = scenario.cluster.get("builder")
    size = _GROWING.get(str(builder))
    if size is None:
        return
    grown = {**scenario.cluster, size: int(scenario.cluster.get(size, 1)) + 1}
    unit = size.removesuffix("s")
    yield Change(f"one more {unit}", f"rent {grown[size]} instead", scenario.model_copy(update={"cluster": grown}))


def _worth(plan: Plan, change: Change, budget: Budget) -> Worth:
    found = budget.outcome(change.scenario).found
    if found is None:
        return Worth(change, None, 0.0, False)
    before, after = plan.objective, found.objective
    saving = 1 - after.least / before.least
    doubt = max(before.least_gap + after.least_gap, plan.scenario.options.gap)
    return Worth(change, after.least, saving, abs(saving) > doubt)


def _runner_up(plan: Plan, budget: Budget) -> str:
    """A sentence on the best different plan; empty where the time did not reach it."""
    if not plan.alternatives and budget.spent:
        return ""
    found = plan.alternatives or solve_scenario(plan.scenario, budget.effort, alternatives=1).alternatives
    if not found and budget.spent:
        return ""
    if not found:
        return "No structurally different plan costs less than 5 % more."
    best = min(found, key=lambda a: a.usd_per_million_output_tokens)
    more = best.usd_per_million_output_tokens / plan.objective.usd_per_million_output_tokens - 1
    cost = f"{best.usd_per_million_output_tokens:.4g} USD per million output tokens, {more:.1%} more"
    pools = best.summary.split(":")[0]
    return f"{pools}: it costs {cost}; measure both, since that is less than the model's own error."
