"""Why there is no plan, and the cheapest way out."""

from __future__ import annotations

from collections.abc import Sequence

from solver.cost.instance import Instance
from solver.optimize.market import Offer
from solver.optimize.program import Market
from solver.optimize.run import Effort


def why_none(instance: Instance, whole: Market, offers: Sequence[Offer], effort: Effort, proven: bool) -> str:
    """One paragraph."""
    return "no plan"
