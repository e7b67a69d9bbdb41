"""Classes of a trace as the traffic of a scenario."""

from __future__ import annotations

import math
from pathlib import Path

from solver.errors import BadInput
from solver.traces.groups import Group
from solver.traces.passes import summarise
from solver.traces.reading import Reading
from solver.traces.sketches import centres
from solver.traces.summary import TraceSummary, TrafficClass
from solver.traces.survival import PER_DECADE, YOUNGEST_S
from solver.workload import Idle, RequestClass, Reuse, Traffic

#: Limits of the scenario's fields.
_MOST_RATE_PER_S, _MOST_CV = 1e9, 10.0
_BURSTINESS = (0.01, 1000.0)
_IDLE_S = (1e-3, 1e9)


def classes(source: TraceSummary | str | Path, count: int | str = "auto", reading: Reading | None = None) -> Traffic:
    """A trace as request classes.

    A class's requests find ``shared`` tokens each and, in a share ``return_fraction`` of them, ``private`` tokens of an
    earlier one, so that rate x (shared + return_fraction x private) is what the trace's requests found in a cache
    without bounds. Where the returning requests' history is longer than the class's mean prompt, ``private`` is cut to
    it and ``return_fraction`` raised in proportion, which keeps that product.

    Parameters
    ----------
    source: a summary, or a trace to be read.
    count: how many classes; ``auto``: the trace's own, or as many as each explain a tenth of the variance.

    Raises
    ------
    BadInput: the trace cannot be read, is one instant (no rate follows), or the count cannot be had.
    """
    summary = source if isinstance(source, TraceSummary) else summarise(source, reading)
    return Traffic([_request_class(summary, one) for one in summary.classes(count)])


def _request_class(summary: TraceSummary, one: TrafficClass) -> RequestClass:
    group, content = one.group, one.group.content
    rate = group.rate_per_s
    if rate is None or not 0 < rate <= _MOST_RATE_PER_S:
        span_s = summary.timing.span_s
        raise BadInput(
            f"{summary.source}: its {summary.requests} requests span {span_s:g} s; no rate of arrival follows"
        )
    reuse, return_fraction = _reuse(group, of_prompts=summary.blocks > 0)
    scv = 1.0 if group.unevenness.scv is None else group.unevenness.scv
    return RequestClass(
        one.name,
        prompt_tokens=max(1, round(content.prompt.moments.mean)),
        output_tokens=max(1, round(content.output.moments.mean)),
        requests_per_s=rate,
        prompt_cv=min(content.prompt.moments.cv, _MOST_CV),
        output_cv=min(content.output.moments.cv, _MOST_CV),
        burstiness=min(max(scv, _BURSTINESS[0]), _BURSTINESS[1]),
        longest_tokens=content.prompt.moments.highest + content.output.moments.highest,
        reused_tokens=reuse,
        idle_s=_idle(group),
        return_fraction=return_fraction,
    )


def _reuse(group: Group, of_prompts: bool) -> tuple[Reuse, float]:
    """Shared and private tokens that leave at least one of the mean prompt to compute, and the return fraction.

    Parameters
    ----------
    of_prompts: the trace records blocks of prompts, so that what was found is none of the output of an earlier turn.
    """
    prompt = max(1, round(group.content.prompt.moments.mean))
    shared = min(round(group.shared_tokens), prompt - 1)
    private = min(round(group.private_tokens), prompt - 1 - shared)
    if private <= 0:
        return Reuse(shared=shared), 0.0
    flow = group.content.private.total / group.requests
    generated = 0 if of_prompts else None
    return Reuse(shared=shared, private=private, generated=generated), min(1.0, flow / private)


def _idle(group: Group) -> Idle | None:
    median, p90 = group.idle_s(0.5), group.idle_s(0.9)
    if median is None or p90 is None:
        return None
    low, high = _IDLE_S
    median = min(max(median, low), high)
    return Idle(median=median, p90=min(max(p90, median), high), returned=_returned(group))


def _returned(group: Group) -> tuple[tuple[float, float], ...]:
    """Share of the private tokens found again that had been idle for at most an age, at the ages of a survival table."""
    found = group.content.private_stays.reused
    if not found.weight:
        return ()
    low, high = math.log10(YOUNGEST_S), math.log10(max(found.quantile(1.0), 2 * YOUNGEST_S))
    steps = range(math.floor(PER_DECADE * low), math.floor(PER_DECADE * high) + 1)
    ages = [10 ** (step / PER_DECADE) for step in steps]
    passed, values = found.counts.cumsum() / found.weight, centres()
    shares = [float(passed[place]) for place in values.searchsorted(ages, side="right") - 1]
    return (*((age, share) for age, share in zip(ages, shares, strict=True) if share < 1), (10**high * 1.01, 1.0))
