"""A summary in words and tables, for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from solver.traces.burstiness import WINDOWS_S
from solver.traces.groups import LengthHistogram
from solver.traces.summary import TraceSummary
from topologies.units import show_seconds

#: Quantiles of the length table.
QUANTILES = (0.01, 0.1, 0.5, 0.9, 0.99)
#: Ages at which the survival of idle KV is told [s].
AGES_S = (1.0, 10.0, 60.0, 300.0, 1800.0, 3600.0, 21600.0, 86400.0)


_CLASS_COLUMNS = (
    *("class", "requests", "req/s", "burst", "prompt", "cv", "output", "cv"),
    *("shared", "private", "returns", "idle p50", "p90"),
)


def describe(summary: TraceSummary, count: int | str = "auto") -> str:
    """What ``rackplan traffic show`` prints: arrivals, lengths, reuse, classes and broken lines.

    Parameters
    ----------
    count: how many classes to tell.
    """
    parts = [_arrivals(summary), _lengths(summary), _reuse(summary), _classes(summary, count), _faults(summary)]
    return "\n\n".join(part for part in parts if part)


def _arrivals(summary: TraceSummary) -> str:
    timing, whole = summary.timing, summary.whole
    lines = [
        f"{summary.source}: {summary.format} trace{f', {summary.clock}' if summary.clock else ''}, "
        f"{summary.requests:,} requests in {show_seconds(timing.span_s)}",
        *(f"Assumed: {note}" for note in summary.notes),
    ]
    if whole.rate_per_s is not None:
        lines.append(f"Arrivals: {_number(whole.rate_per_s)} requests/s on average; {_burst(summary)}")
    if timing.tick_s:
        tick = show_seconds(timing.tick_s)
        lines.append(f"Timestamps come in ticks of {tick}; requests of one tick are taken as spread over it")
    return "\n".join(lines)


def _burst(summary: TraceSummary) -> str:
    uneven = summary.whole.unevenness
    scv = "unknown" if uneven.scv is None else _number(uneven.scv)
    windows = ", ".join(
        f"{_number(value)} in {width:g} s"
        for width, value in zip(WINDOWS_S, uneven.dispersion, strict=True)
        if value is not None
    )
    return f"burstiness {scv} (1 = Poisson)" + (f"; index of dispersion {windows}" if windows else "")


def _lengths(summary: TraceSummary) -> str:
    content = summary.whole.content
    head = ["tokens", "mean", "cv", *(f"p{100 * share:g}" for share in QUANTILES), "most"]
    return _table([head, _row("prompt", content.prompt), _row("output", content.output)])


def _row(name: str, lengths: LengthHistogram) -> list[str]:
    quantiles = [f"{lengths.quantile(share):,.0f}" for share in QUANTILES]
    return [
        name,
        f"{lengths.moments.mean:,.0f}",
        f"{lengths.moments.cv:.2f}",
        *quantiles,
        f"{lengths.moments.highest:,}",
    ]


def _reuse(summary: TraceSummary) -> str:
    whole = summary.whole
    if summary.token_hit_ratio is None:
        return "Reuse: the trace records neither block hashes nor sessions"
    blocks = "" if summary.block_hit_ratio is None else f"{summary.block_hit_ratio:.1%} of blocks and "
    per_request = whole.content.private.total / whole.requests
    lines = [
        f"Reuse in a cache without bounds: {blocks}{summary.token_hit_ratio:.1%} of prompt tokens; per request "
        f"{whole.shared_tokens:,.0f} shared by many sessions, {per_request:,.0f} private",
    ]
    median, p90 = whole.idle_s(0.5), whole.idle_s(0.9)
    if median is not None and p90 is not None:
        lines.append(
            f"Returns: {whole.return_fraction:.1%} of requests find {whole.private_tokens:,.0f} private tokens, idle "
            f"for {show_seconds(median)} (median), {show_seconds(p90)} (p90)"
        )
    survival = whole.survival()
    if survival is not None:
        known = [age for age in AGES_S if age <= survival.ages_s[-1]]
        told = ", ".join(f"{1 - survival.at(age):.1%} within {show_seconds(age)}" for age in known)
        if told:
            lines.append(f"Tokens used again: {told}")
    if summary.horizon_s is not None:
        lines.append(
            f"The table of last uses was full: reuse after more than {show_seconds(summary.horizon_s)} idle is not "
            "seen in full; give it more memory (table_bytes) to see further"
        )
    return "\n".join(lines)


def _classes(summary: TraceSummary, count: int | str) -> str:
    rows = [list(_CLASS_COLUMNS)]
    for one in summary.classes(count):
        group, content = one.group, one.group.content
        rate, scv = group.rate_per_s, group.unevenness.scv
        rows.append(
            [
                one.name,
                f"{group.requests:,}",
                "-" if rate is None else _number(rate),
                "-" if scv is None else _number(scv),
                f"{content.prompt.moments.mean:,.0f}",
                f"{content.prompt.moments.cv:.2f}",
                f"{content.output.moments.mean:,.0f}",
                f"{content.output.moments.cv:.2f}",
                f"{group.shared_tokens:,.0f}",
                f"{group.private_tokens:,.0f}",
                f"{group.return_fraction:.0%}",
                _time(group.idle_s(0.5)),
                _time(group.idle_s(0.9)),
            ]
        )
    return _table(rows)


def _faults(summary: TraceSummary) -> str:
    lines = []
    if summary.unanswered:
        lines.append(f"{summary.unanswered:,} of {summary.lines:,} requests have no output and were left out")
    if summary.broken:
        lines.append(
            f"{summary.broken:,} of {summary.lines:,} lines are broken ({summary.broken / summary.lines:.2%}):"
        )
        lines += [f"  line {fault.line}: {fault.reason}" for fault in summary.faults]
        if summary.broken > len(summary.faults):
            lines.append(f"  and {summary.broken - len(summary.faults):,} more")
    return "\n".join(lines)


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Columns two spaces apart, the first to the left, numbers to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _number(value: float) -> str:
    """Three digits."""
    return f"{value:,.0f}" if value >= 999.5 else f"{value:.3g}"


def _time(value: float | None) -> str:
    return "-" if value is None else show_seconds(value)
