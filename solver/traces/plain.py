"""A summary as plain data, for JSON."""

from __future__ import annotations

from typing import Any

from solver.traces.burstiness import WINDOWS_S
from solver.traces.groups import Group, Kind, LengthHistogram
from solver.traces.report import QUANTILES
from solver.traces.summary import TraceSummary

_KINDS: tuple[Kind, ...] = ("all", "private", "shared")


def to_json(summary: TraceSummary, count: int | str = "auto") -> dict[str, Any]:
    """The summary as numbers, strings, lists and mappings; units stand in the names, unknown is null."""
    timing = summary.timing
    return {
        "source": summary.source,
        "format": summary.format,
        "clock": summary.clock or None,
        "assumptions": list(summary.notes),
        "lines": summary.lines,
        "requests": summary.requests,
        "unanswered": summary.unanswered,
        "broken": {
            "lines": summary.broken,
            "first": [{"line": fault.line, "reason": fault.reason} for fault in summary.faults],
        },
        "span_s": timing.span_s,
        "tick_s": timing.tick_s,
        "reuse": {
            "block_tokens": summary.block_tokens,
            "block_hit_ratio": summary.block_hit_ratio,
            "token_hit_ratio": summary.token_hit_ratio,
            "exact_up_to_idle_s": summary.horizon_s,
        },
        "all": _group(summary, summary.whole),
        "classes": [{"name": one.name, **_group(summary, one.group)} for one in summary.classes(count)],
    }


def _group(summary: TraceSummary, group: Group) -> dict[str, Any]:
    uneven = group.unevenness
    return {
        "requests": group.requests,
        "requests_per_s": group.rate_per_s,
        "burstiness": uneven.scv,
        "index_of_dispersion": {
            f"{width:g}s": value for width, value in zip(WINDOWS_S, uneven.dispersion, strict=True)
        },
        "prompt_tokens": _lengths(group.content.prompt),
        "output_tokens": _lengths(group.content.output),
        "reused_tokens": {"shared": group.shared_tokens, "private": group.private_tokens},
        "return_fraction": group.return_fraction,
        "idle_s": {"median": group.idle_s(0.5), "p90": group.idle_s(0.9)},
        "survival": {kind: found.to_plain() if (found := group.survival(kind)) else None for kind in _KINDS},
        "timeline": {"bin_s": summary.timing.span_s / len(group.timeline), "requests": group.timeline.tolist()},
    }


def _lengths(lengths: LengthHistogram) -> dict[str, float]:
    moments = lengths.moments
    quantiles = {f"p{100 * share:g}": lengths.quantile(share) for share in QUANTILES}
    return {"mean": moments.mean, "cv": moments.cv, "min": moments.lowest, **quantiles, "max": moments.highest}
