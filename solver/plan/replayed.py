"""What a replay of a plan showed, in words."""

from __future__ import annotations

from solver.plan.schema import Confirmation
from topologies.units import show_seconds


def told(confirmation: Confirmation) -> str:
    """Whether the promises held, what was seen, and what that changed."""
    figures = ", ".join(f"{name[:-2]} {show_seconds(value)}" for name, value in confirmation.simulated.items())
    word = "confirmed" if confirmation.kept else "NOT confirmed: promises are missed"
    count = len(confirmation.seeds)
    drawn = f"{count} replays" if count > 1 else f"a replay of {confirmation.requests:,} requests"
    line = f"{word} in {', '.join(confirmation.traces) or drawn} ({figures}); cost {confirmation.cost_rise:+.1%} for it"
    asked = ", ".join(
        f"{field.removesuffix('_s').replace('_', ' ')} of {name} by {1 - factor:.1%}"
        for name, factors in confirmation.derating.items()
        for field, factor in factors.items()
    )
    return f"{line}: the program was asked for less, {asked}; bound and gap are those without replay" if asked else line
