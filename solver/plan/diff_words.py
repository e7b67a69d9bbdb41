"""The difference between two plans in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from solver.plan.diff import Difference, NumberChange, PoolChange
from topologies.units import show_bytes, show_seconds


def words(found: Difference) -> Iterator[str]:
    """The difference, one line for each thing that changed."""
    if found.same:
        yield "the plans are the same"
        return
    yield from found.scenario
    yield from (_figure(figure) for figure in found.figures)
    for pool in found.pools:
        yield _pool(pool)
    if found.taken or found.freed:
        yield f"devices: {_names('come into use', found.taken)}; {_names('fall out of use', found.freed)}"
    if found.moved_bytes:
        yield f"weights to load: {show_bytes(found.moved_bytes)}"


def _figure(figure: NumberChange) -> str:
    show: Callable[[float], str] = show_seconds if figure.name.endswith("_s") and "per" not in figure.name else _plain
    before, after = ("none" if v is None else show(v) for v in (figure.before, figure.after))
    change = "" if figure.change is None else f" ({figure.change:+.2%})"
    return f"{figure.name}: {before} -> {after}{change}"


def _plain(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _pool(pool: PoolChange) -> str:
    name = (
        pool.after
        if pool.before in (None, pool.after)
        else f"{pool.before} -> {pool.after}"
        if pool.after
        else pool.before
    )
    counts = [
        f"{count} {word}"
        for count, word in (
            (pool.kept, "stay in place"),
            (pool.moved, "move"),
            (pool.started, "start"),
            (pool.stopped, "stop"),
        )
        if count
    ]
    return f"pool {name}: {'; '.join((*pool.changes, 'replicas: ' + ', '.join(counts)))}"


def _names(what: str, names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return f"{len(names)} {what}" + (f" ({shown})" if names else "")
