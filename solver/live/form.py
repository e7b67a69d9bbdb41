"""The form beside the page: fields of a scenario as text, and the scenario that an edit asks for.

A field that is left empty is taken out of the scenario, whose default then holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.plan import Plan, Pool
from solver.study.proposed import proposed_pools
from solver.workload import SLO, PinnedPool, Scenario
from solver.workload.fields import with_unit
from solver.workload.measures import MEASURES, Measure
from topologies.units import show_seconds

#: Parts of a cluster's description that list vertices by name, where no number is a count.
_NAMED = {"graph", "unhealthy", "device"}
#: The statistic whose promises come first in the form; those of others come last.
_USUAL = "p95"
#: Whether pools beside the pinned ones are allowed.
_OTHERS = {"allowed": True, "none": False}
#: Where a field stands in a scenario file: keys of mappings and places in lists.
Path_ = tuple[str | int, ...]


@dataclass(frozen=True)
class FormField:
    """One field of the form.

    Attributes
    ----------
    path: where it stands in the scenario file.
    group: heading that it is shown under. label: what it is called there, and in messages.
    text: what it holds now. hint: what holds where it is empty; without one it must not be. choices: all that it may
        hold; anything if there are none.
    read: the text as the scenario file has it.
    """

    path: Path_
    group: str
    label: str
    text: str
    hint: str = ""
    choices: tuple[str, ...] = ()
    read: Callable[[str], object] = field(default=str, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The path with dots."""
        return ".".join(map(str, self.path))


def fields(plan: Plan, instance: Instance) -> tuple[FormField, ...]:
    """What may be edited: promises, rates, device counts, prices and pins.

    Parameters
    ----------
    instance: of the plan's scenario.
    """
    scenario = plan.scenario
    return (
        *_promises(scenario, usual=True),
        *_rates(scenario),
        *_counts(scenario),
        *_prices(instance),
        *_pins(plan, instance),
        *_promises(scenario, usual=False),
    )


def edited(scenario: Scenario, shown: Iterable[FormField], texts: Mapping[str, str], folder: Path) -> Scenario:
    """The scenario with what the form says where that differs from what it showed.

    Parameters
    ----------
    texts: by name of the field. folder: where relative paths in the scenario start.

    Raises
    ------
    BadInput: a field that is not in the form, or a value that is wrong; names it.
    """
    known = {entry.name: entry for entry in shown}
    content = scenario.model_dump(mode="json", by_alias=True)
    for name, text in texts.items():
        if name not in known:
            raise BadInput(f"the form has no field {name[:80]!r}")
        if text.strip() != known[name].text:
            _put(content, known[name], text.strip())
    wanted = Scenario.from_mapping(content, "form")
    Instance.of(wanted, folder)
    return wanted


def _put(content: dict[str, Any], entry: FormField, text: str) -> None:
    """Write what a text means to its place in the scenario, or take away what stands there."""
    here: Any = content
    for key in entry.path[:-1]:
        here = here[key]
    if text:
        here[entry.path[-1]] = entry.read(text)
    elif entry.hint:
        here.pop(entry.path[-1], None)
    else:
        raise BadInput(f"{entry.label} must not be empty; it was {entry.text}")


def _promises(scenario: Scenario, usual: bool) -> Iterator[FormField]:
    measures = [measure for measure in MEASURES if (measure.statistic == _USUAL) == usual]
    what = "promises" if usual else "further promises"
    yield from _of_slo(what, scenario.slo, ("slo",), measures)
    for number, request_class in enumerate(scenario.traffic.classes):
        if request_class.slo is not None:
            path = ("traffic", "classes", number, "slo")
            yield from _of_slo(f"{what} of {request_class.name}", request_class.slo, path, measures)


def _of_slo(group: str, slo: SLO, path: Path_, measures: Iterable[Measure]) -> Iterator[FormField]:
    for measure in measures:
        value, label = slo.limit(measure), str(measure)
        text = "" if value is None else show_seconds(value)
        yield FormField((*path, measure.key), group, label, text, "no promise", read=partial(with_unit, label))


def _rates(scenario: Scenario) -> Iterator[FormField]:
    for number, request_class in enumerate(scenario.traffic.classes):
        path, label = ("traffic", "classes", number, "requests_per_s"), f"{request_class.name}, requests/s"
        yield FormField(path, "rates", label, f"{request_class.requests_per_s:g}", read=partial(_number, label))


def _counts(scenario: Scenario) -> Iterator[FormField]:
    for path, value in _integers(scenario.cluster, ("cluster",)):
        label = " ".join(str(key).replace("_", " ") for key in path[1:])
        yield FormField(path, "devices", label, str(value), read=partial(_whole_number, label))
    most, label = scenario.constraints.max_devices, "devices at most"
    path = ("constraints", "max_devices")
    text = "" if most is None else str(most)
    yield FormField(path, "devices", label, text, "all", read=partial(_whole_number, label))


def _integers(spec: object, path: Path_) -> Iterator[tuple[Path_, int]]:
    """Counts in a cluster's description."""
    if isinstance(spec, dict):
        for key, value in spec.items():
            if key not in _NAMED:
                yield from _integers(value, (*path, key))
    elif isinstance(spec, list | tuple):
        for number, value in enumerate(spec):
            yield from _integers(value, (*path, number))
    elif isinstance(spec, int) and not isinstance(spec, bool):
        yield path, spec


def _prices(instance: Instance) -> Iterator[FormField]:
    prices = instance.scenario.prices
    for name in dict.fromkeys(fleet.device.name for fleet in instance.fleets):
        label, given = f"{name}, USD/h", prices.get(name)
        hint = "catalog price" if name in prices else f"{instance.usd_per_hour(name):g}, catalog"
        text = "" if given is None else f"{given:g}"
        yield FormField(("prices", name), "prices", label, text, hint, read=partial(_number, label))


def _pins(plan: Plan, instance: Instance) -> Iterator[FormField]:
    limits, label = plan.scenario.constraints, "pinned pools"
    text, hint = "; ".join(map(_pinned, limits.pools)), "; ".join(map(_planned, plan.pools))
    yield FormField(("constraints", "pools"), "pins", label, text, hint, read=partial(_pools, instance))
    others = next(word for word, allowed in _OTHERS.items() if allowed == limits.other_pools)
    yield FormField(
        ("constraints", "other_pools"), "pins", "other pools", others, choices=tuple(_OTHERS), read=_allowed
    )


def _pools(instance: Instance, text: str) -> list[dict[str, Any]]:
    return [pool.model_dump(mode="json", by_alias=True) for pool in proposed_pools(text, instance, "pinned pools")]


def _allowed(text: str) -> bool:
    if text not in _OTHERS:
        raise BadInput(f"other pools: {text[:40]!r} is none of {', '.join(_OTHERS)}")
    return _OTHERS[text]


def _pinned(pool: PinnedPool) -> str:
    """A pin as :func:`proposed_pools` reads it."""
    count = f"{pool.replicas} x" if pool.replicas else ""
    degrees = " ".join(f"{name}{degree}" for name, degree in pool.parallelism.items() if degree > 1) or "tp1"
    rest = (
        f"on {pool.device}" if pool.device else "",
        f"chunk={pool.chunk_tokens}" if pool.chunk_tokens else "",
        f"batch={pool.batch_per_rank}" if pool.batch_per_rank else "",
    )
    return " ".join(filter(None, (pool.role, count, degrees, *rest)))


def _planned(pool: Pool) -> str:
    """A pool of the plan as one would pin it."""
    pin = PinnedPool(role=pool.role, parallelism=pool.parallelism.model_dump(), device=pool.device)
    return _pinned(pin.model_copy(update={"replicas": pool.replicas}))


def _number(label: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{label}: {text[:40]!r} is not a number") from None


def _whole_number(label: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise BadInput(f"{label}: {text[:40]!r} is not a whole number") from None
