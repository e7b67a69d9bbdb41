"""Search over training layouts: a bound for each, and the exact assignment of stages where it could still be the best.

The least bound of the layouts that were not assigned, and the best of those that were, bound the answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from solver.errors import NoPlan
from solver.training.assign import assign
from solver.training.efficiency import Efficiency
from solver.training.job import Layout, TrainingJob
from solver.training.layouts import layouts
from solver.training.network import Network
from solver.training.plan import TrainingPlan
from solver.training.stages import KEPT_BYTES, SHARED_BYTES, StageCosts
from topologies import Device


@dataclass(frozen=True)
class Site:
    """Where to train.

    Attributes
    ----------
    devices: of one kind; domain: of a scale-up domain; unit: rented together. usd_per_hour: of one device.
    whole: all devices are paid, so that the fastest layout is the cheapest.
    """

    device: Device
    devices: int
    usd_per_hour: float
    domain: int = 8
    unit: int = 8
    whole: bool = True
    efficiency: Efficiency = field(default_factory=Efficiency)

    def rent(self, layout: Layout) -> float:
        """USD per hour of what a layout makes one pay for."""
        rented = self.devices if self.whole else min(self.devices, -(-layout.devices // self.unit) * self.unit)
        return rented * self.usd_per_hour


@dataclass(frozen=True, order=True)
class _Open:
    """A layout whose stages are not assigned: its bound [USD per million tokens], and what it costs."""

    bound: float
    layout: Layout
    costs: StageCosts = field(compare=False)


def train(
    network: Network,
    job: TrainingJob,
    site: Site,
    gap: float = 0.0,
    time_limit_s: float = 60.0,
    fixed: Sequence[Layout] | None = None,
) -> TrainingPlan:
    """The layout with the fewest USD per training token.

    Parameters
    ----------
    gap: relative gap at which the search may stop.
    fixed: only these layouts, where they are given.

    Raises
    ------
    NoPlan: no layout fits; says what is missing.
    """
    deadline = time.monotonic() + time_limit_s
    legal = list(fixed) if fixed is not None else list(layouts(network, job, site.devices, site.domain, site.whole))
    best: TrainingPlan | None = None
    bound = math.inf
    for entry in sorted(_opened(network, job, site, legal)):
        enough = math.inf if best is None else best.usd_per_million_tokens * (1 - gap)
        if entry.bound >= enough or time.monotonic() > deadline:
            bound = entry.bound
            break
        stages = assign(entry.costs)
        if stages is None:
            continue
        plan = TrainingPlan(entry.costs, stages, site.rent(entry.layout), 0.0, len(legal))
        if best is None or plan.usd_per_million_tokens < best.usd_per_million_tokens:
            best = plan
    if best is None:
        raise NoPlan(_why_none(network, job, site, len(legal)))
    return replace(best, bound=min(bound, best.usd_per_million_tokens))


def _opened(network: Network, job: TrainingJob, site: Site, legal: Sequence[Layout]) -> list[_Open]:
    """Layouts whose weights fit, with their bounds."""
    found = []
    for layout in legal:
        costs = StageCosts(network, job, layout, site.device, site.efficiency, site.domain)
        if not costs.hopeless:
            found.append(_Open(_usd(site, costs, costs.least_s), layout, costs))
    return found


def _usd(site: Site, costs: StageCosts, seconds: float) -> float:
    """USD per million tokens."""
    return site.rent(costs.layout) / 3600 * seconds / costs.job.tokens_per_step * 1e6


def _why_none(network: Network, job: TrainingJob, site: Site, legal: int) -> str:
    state = network.parameters * (KEPT_BYTES + SHARED_BYTES)
    room = site.device.hbm_bytes * site.efficiency.hbm
    if not legal:
        return (
            f"No training layout exists: no tp x pp x dp uses {site.devices} devices with dp dividing the global batch of "
            f"{job.global_batch_sequences} sequences; let the layout use fewer devices, or change the batch"
        )
    return (
        f"No training layout fits: {network.name} with its gradients and optimiser takes {state / 1e9:,.0f} GB before any "
        f"activation, {site.devices} x {site.device.name} have {site.devices * room / 1e9:,.0f} GB; "
        f"{math.ceil(state / room)} devices hold the state"
    )
