"""Where idle KV waits over the age of a session."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from solver.plan import KVTier
from solver.view.cells import shortened
from solver.view.drawn import Drawn
from solver.view.markup import Markup, join, number, tag
from solver.workload.kv_tiers import tier_of
from topologies.units import show_seconds

WIDTH, LEFT, ROW = 1000, 120, 30
#: Ages named on the axis [s].
AGES = (1.0, 10.0, 60.0, 600.0, 3600.0, 6 * 3600.0, 86400.0, 7 * 86400.0)


def draw_idle_kv(tiers: Sequence[KVTier]) -> Drawn:
    """A bar per class: the tiers it passes, nearest first, then dropped."""
    oldest = max([10.0, *(age for tier in tiers for age in tier.until_s.values() if math.isfinite(age))])
    top = 26.0
    parts = [join(_bar(tier, top + index * ROW, oldest)) for index, tier in enumerate(tiers)]
    bottom = top + len(tiers) * ROW
    for age in (age for age in AGES if age <= oldest):
        x = number(_place(age, oldest))
        parts.append(tag("path", class_="cold", d=f"M{x} {number(top - 4)}V{number(bottom)}"))
        parts.append(tag("text", show_seconds(age), class_="middle", x=x, y=top - 10))
    return Drawn(WIDTH, bottom + 4, join(parts))


def _place(age: float, oldest: float) -> float:
    """Across, by the logarithm of one second more than the age; never beyond the end."""
    return LEFT + (WIDTH - LEFT - 20) * min(1.0, math.log1p(age) / math.log1p(oldest))


def _bar(tier: KVTier, y: float, oldest: float) -> Iterator[Markup]:
    yield tag("text", shortened(tier.request_class, 18), class_="host", x=LEFT - 6, y=y + 15)
    start = 0.0
    for name, until in tier.until_s.items():
        if until > start:
            title = tier_of(name).title
            x, end = _place(start, oldest), _place(until, oldest)
            words = f"{tier.request_class}: {title} until {show_seconds(until)}"
            box = tag("rect", x=x, y=y, width=max(end - x, 1.0), height=ROW - 8)
            label = tag("text", title, class_="middle", x=(x + end) / 2, y=y + 15) if end - x > 36 else None
            yield tag("g", tag("title", words), box, label, class_=f"tier-{name}")
            start = until
