"""What a scenario is at every value of a quantity for which the layout is decided anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.llm import to_plain
from solver.study.curve.hardware import domain_sizes, in_domains
from solver.study.curve.sparsity import derived, expert_counts
from solver.workload import LLMSpec, RequestClass, Scenario

#: Demand is varied between a part and a multiple of the scenario's; times away between a second and a day [s].
DEMAND = (1 / 8, 4)
HOLD = (1.0, 86400.0)
#: Confidence is varied from what a prediction itself has, in equal steps of its chance to be wrong.
CONFIDENCE = (0.5, 0.99)


@dataclass(frozen=True)
class Variation:
    """A quantity over which a scenario is solved again and again.

    Attributes
    ----------
    title: of an axis, with the unit.
    values: what it takes where nobody says, of so many points.
    scenario: the scenario at a value. figures: what is known of a value before it is solved.
    """

    title: str
    values: Callable[[Instance, int], Sequence[float]]
    scenario: Callable[[Instance, float], Scenario]
    figures: Callable[[Instance, float], dict[str, float]] = lambda instance, value: {}


def _with_classes(scenario: Scenario, change: Callable[[RequestClass], RequestClass]) -> Scenario:
    classes = tuple(change(c) for c in scenario.traffic.classes)
    return scenario.model_copy(update={"traffic": scenario.traffic.model_copy(update={"classes": classes})})


def _at_demand(instance: Instance, tokens_per_s: float) -> Scenario:
    """All classes scaled so that together they bring so many output tokens/s."""
    factor = tokens_per_s / instance.scenario.traffic.output_tokens_per_s
    return _with_classes(
        instance.scenario, lambda c: c.model_copy(update={"requests_per_s": c.requests_per_s * factor})
    )


def _demands(instance: Instance, points: int) -> Sequence[float]:
    if instance.scenario.objective != "cost":
        raise BadInput("curve --over demand: the objective throughput sells whatever the cluster serves; use cost")
    own = instance.scenario.traffic.output_tokens_per_s
    return [float(own * factor) for factor in np.geomspace(*DEMAND, points)]


def _at_hold(instance: Instance, seconds: float) -> Scenario:
    """All sessions away for so long in the median, as unevenly as before."""

    def away(c: RequestClass) -> RequestClass:
        if c.idle_s is None:
            return c
        later = c.idle_s.p90 / c.idle_s.median * seconds
        return c.model_copy(update={"idle_s": type(c.idle_s)(median=seconds, p90=later)})

    return _with_classes(instance.scenario, away)


def _holds(instance: Instance, points: int) -> Sequence[float]:
    if not any(c.idle_s and c.reused_tokens.private for c in instance.scenario.traffic.classes):
        raise BadInput(
            "curve --over hold: no class has sessions that return; give one reused_tokens: {private: N}, "
            "idle_s: {median: 60s, p90: 600s} and return_fraction"
        )
    return [float(seconds) for seconds in np.geomspace(*HOLD, points)]


def _at_domain(instance: Instance, size: float) -> Scenario:
    """The devices of the cluster in scale-up domains of a size."""
    (fleet, *others) = instance.fleets
    if others:
        raise BadInput("curve --over domain: the cluster joins unlike devices; name one kind")
    rent = instance.usd_per_hour(fleet.device.name)
    return instance.scenario.model_copy(
        update={"cluster": in_domains(fleet.device, fleet.devices, round(size), rent)}
    )


def _domains(instance: Instance, points: int) -> Sequence[float]:
    return domain_sizes(sum(fleet.devices for fleet in instance.fleets))


def _at_experts(instance: Instance, experts: float) -> Scenario:
    return instance.scenario.model_copy(
        update={"llm": LLMSpec(config=to_plain(derived(instance.llm, round(experts)).llm))}
    )


def _sizes(instance: Instance, experts: float) -> dict[str, float]:
    llm = derived(instance.llm, round(experts)).llm
    return {"active_parameters": llm.active_parameters(), "parameters": llm.parameters}


def confidences(points: int) -> Sequence[float]:
    """Shares of the draws, each with as much less doubt than the one before.

    >>> confidences(3)
    [0.5, 0.9293, 0.99]
    """
    return [round(1 - float(doubt), 4) for doubt in np.geomspace(1 - CONFIDENCE[0], 1 - CONFIDENCE[1], points)]


def _at_confidence(instance: Instance, share: float) -> Scenario:
    if not CONFIDENCE[0] <= share <= CONFIDENCE[-1]:
        low, high = CONFIDENCE
        raise BadInput(f"curve --over confidence: a share of the draws from {low:g} to {high:g}, not {share:g}")
    options = instance.scenario.options.model_copy(update={"slo_confidence": share})
    return instance.scenario.model_copy(update={"options": options})


VARIATIONS: Mapping[str, Variation] = {
    "experts": Variation(
        "routed experts, at equal quality", lambda i, _: expert_counts(i.llm), _at_experts, _sizes
    ),
    "domain": Variation("devices of a scale-up domain", _domains, _at_domain),
    "demand": Variation("demand [output tokens/s]", _demands, _at_demand),
    "confidence": Variation(
        "share of the draws in which all promises hold", lambda _, points: confidences(points), _at_confidence
    ),
    "hold": Variation("time that sessions are away, median [s]", _holds, _at_hold),
}
