"""What more memory would be worth: the layout solved again with a terabyte more in a tier that is full."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

from solver.optimize.arithmetic.run import Effort
from solver.optimize.layout.kv_tiers.places import BUDGET, Place
from solver.optimize.layout.program import Market
from solver.optimize.layout.search import Layout, NoLayout, best_layout
from solver.plan import Binding, Plan
from solver.space.profiles import Column
from topologies.units import show_bandwidth, show_bytes

#: How much more is asked about [bytes].
MORE_BYTES = 1e12
#: Tiers filled to this share are full: ages come from a grid, so that the last step may not fit.
FULL = 0.9


def memory_binding(
    plan: Plan, layout: Layout, market: Market, columns: Sequence[Column], effort: Effort
) -> Iterator[Binding]:
    """A sentence for every tier outside of HBM whose memory or link is nearly full."""
    for place in market.places:
        size = math.fsum(tier.bytes.get(place.name, 0.0) for tier in plan.kv_tiers)
        rate = math.fsum(tier.bytes_per_s.get(place.name, 0.0) for tier in plan.kv_tiers)
        if not size:
            continue
        room, most = _brought(plan, place)
        if size >= FULL * room:
            yield Binding(
                rule=f"{place.name}_room",
                because=f"{_capital(place.tier.title)} is full: {show_bytes(size)} of {show_bytes(room)} hold idle KV; "
                f"{_worth(layout, market, place, columns, effort)}.",
                slack=1 - size / room,
            )
        if rate >= FULL * most:
            yield Binding(
                rule=f"{place.name}_link",
                because=f"{_capital(place.tier.title)} is busy: idle KV goes in and out at {show_bandwidth(rate)} of "
                f"{show_bandwidth(most)}, {BUDGET:.0%} of what its links carry.",
                slack=1 - rate / most,
            )


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]


def _brought(plan: Plan, place: Place) -> tuple[float, float]:
    """Capacity and bandwidth that the pools with idle KV have of a tier [bytes, B/s]."""
    names = {tier.pool for tier in plan.kv_tiers}
    devices = sum(pool.devices for pool in plan.pools if pool.name in names)
    if place.shared is not None:
        return place.shared.capacity_bytes, place.shared.bytes_per_s * BUDGET
    least = min(r.capacity_bytes for r in place.rooms), min(r.bytes_per_s for r in place.rooms)
    return devices * least[0], devices * least[1] * BUDGET


def _worth(layout: Layout, market: Market, place: Place, columns: Sequence[Column], effort: Effort) -> str:
    """What a terabyte more would save, in words."""
    wider = tuple(replace(p, more_bytes=MORE_BYTES) if p.name == place.name else p for p in market.places)
    found = best_layout(replace(market, places=wider), columns, replace(effort, progress=None))
    if isinstance(found, NoLayout):
        return "what more of it would save was not found in time"
    if market.objective == "throughput":
        gain = found.value / layout.value - 1
        return f"one more TB would serve {max(gain, 0.0):.1%} more"
    saved = max(layout.value - found.value, 0.0)
    return f"one more TB would save {saved:.3g} USD/h" if saved > 1e-9 else "one more TB alone would save nothing"
