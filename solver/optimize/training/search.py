"""Search over training layouts: a bound for each shape and each layout, and the exact deal of layers where it could still be
the best.

Shapes are opened by a bound that holds for every layout of theirs (work alone, nothing sent), layouts by the sharper one of
their own. The least bound of what was not opened, and the best of what was, bound the answer.
"""

from __future__ import annotations

import heapq
import itertools
import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

from solver.errors import NoPlan
from solver.optimize.training.deal import Dealt, deal
from solver.optimize.training.space import MOST_MICRO_BATCH, Shape, layouts, shapes
from solver.training.activations import Policy
from solver.training.frameworks import FRAMEWORKS, Framework
from solver.training.job import TrainingJob, TrainingLayout
from solver.training.links import RankMachine, Slowdowns
from solver.training.network import Network
from solver.training.scenario import PinnedLayout
from solver.training.schedules import Schedule
from solver.training.stages import StageCosts, most_layers

#: What the cluster graph leaves to a layout's traffic.
Measure = Callable[[TrainingLayout], Slowdowns]


@dataclass(frozen=True)
class TrainingSite:
    """Where to train.

    Attributes
    ----------
    devices: of one kind, in whole scale-up domains; paid: those that are paid with ``whole``; unit: rented together.
    usd_per_hour: of one device. whole: all devices are paid, so that the fastest layout is the cheapest.
    slowdowns: what the cluster leaves to a layout's traffic; None where its fabric never is too narrow.
    """

    machine: RankMachine
    devices: int
    usd_per_hour: float
    unit: int = 8
    whole: bool = True
    paid: int = 0
    slowdowns: Measure | None = None

    def rent(self, devices: int) -> float:
        """USD per hour of what so many devices in use make one pay for."""
        everything = max(self.paid, self.devices)
        rented = everything if self.whole else min(everything, -(-devices // self.unit) * self.unit)
        return rented * self.usd_per_hour


@dataclass(frozen=True)
class TrainingAnswer:
    """What the search found.

    Attributes
    ----------
    dealt: devices of the pipeline. usd_per_hour: rent. bound: least USD per million tokens of any layout.
    considered: layouts whose bound was asked for.
    """

    costs: StageCosts
    dealt: tuple[Dealt, ...]
    usd_per_hour: float
    bound: float
    considered: int

    @property
    def iteration_s(self) -> float:
        """Seconds of a step of the optimiser."""
        return self.costs.iteration_s([device.mix.seconds for device in self.dealt])

    @property
    def usd_per_million_tokens(self) -> float:
        """USD per million training tokens."""
        return usd_per_million(self.usd_per_hour, self.iteration_s, self.costs.job)


def usd_per_million(usd_per_hour: float, seconds: float, job: TrainingJob) -> float:
    """USD per million tokens of a step that takes so long."""
    return usd_per_hour / 3600 * seconds / job.tokens_per_step * 1e6


def price(
    network: Network,
    job: TrainingJob,
    site: TrainingSite,
    layout: TrainingLayout,
    policies: tuple[Policy, ...],
    slow: Slowdowns | None = None,
) -> StageCosts:
    """The costs of one layout, on an empty fabric where nothing is known to be slower."""
    return StageCosts(network, job, layout, site.machine, site.machine.rates(layout, slow), policies)


def search(
    network: Network,
    job: TrainingJob,
    site: TrainingSite,
    framework: Framework = FRAMEWORKS["any"],
    gap: float = 0.0,
    time_limit_s: float = 60.0,
    fixed: Sequence[TrainingLayout] | None = None,
    pinned: PinnedLayout | None = None,
) -> TrainingAnswer:
    """The layout with the fewest USD per training token.

    Parameters
    ----------
    gap: relative gap at which the search may stop.
    fixed: only these layouts, where they are given. pinned: only layouts that agree with it.

    Raises
    ------
    NoPlan: no layout fits; says what is missing.
    """
    deadline = time.monotonic() + time_limit_s
    state = _Search(network, job, site, framework, pinned or PinnedLayout())
    if fixed is None:
        state.open_shapes()
    else:
        state.add(fixed)
    best: TrainingAnswer | None = None
    bound = math.inf
    while state.heap:
        least, _, entry = heapq.heappop(state.heap)
        enough = math.inf if best is None else best.usd_per_million_tokens * (1 - gap)
        if least >= enough or (time.monotonic() > deadline and best is not None):
            bound = least
            break
        if isinstance(entry, Shape):
            state.add(layouts(network, job, entry, framework, state.pins))
            continue
        found = _settled(entry, site)
        if found and (best is None or found.usd_per_million_tokens < best.usd_per_million_tokens):
            best = found
    if best is None:
        raise NoPlan(_why_none(network, job, site, state.legal))
    return replace(best, bound=min(bound, best.usd_per_million_tokens), considered=state.considered)


@dataclass
class _Search:
    """What is open: shapes and layouts by the least that they can cost.

    Attributes
    ----------
    legal: shapes and layouts that there are. considered: layouts, with each set of policies, that were looked at.
    """

    network: Network
    job: TrainingJob
    site: TrainingSite
    framework: Framework
    pins: PinnedLayout
    heap: list[tuple[float, int, Shape | StageCosts]] = field(default_factory=list)
    legal: int = 0
    considered: int = 0
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _too_large: dict[tuple[int, ...], bool] = field(default_factory=dict)

    def open_shapes(self) -> None:
        """Open every shape that agrees with the pins."""
        site, every = self.site, not self.site.whole or self.pins.dp is not None
        for shape in shapes(self.network, self.job, site.devices, site.machine.domain, not every):
            if shape.agrees(self.pins):
                self.legal += 1
                self._open(self._least_of_shape_s(shape), shape, shape.devices)

    def add(self, found: Iterable[TrainingLayout]) -> None:
        """Open layouts, each with every set of policies, but for those that cannot fit."""
        sets = self.framework.policy_sets(self.job)
        for layout in found:
            self.legal += 1
            self.considered += len(sets)
            if self._is_too_large(layout):
                continue
            for policies in sets:
                if layout.overlap and not self.framework.per_layer and "full" in policies:
                    continue
                costs = price(self.network, self.job, self.site, layout, policies)
                if not costs.hopeless:
                    self._open(costs.least_s, costs, layout.devices)

    def _open(self, seconds: float, entry: Shape | StageCosts, devices: int) -> None:
        bound = usd_per_million(self.site.rent(devices), seconds, self.job)
        heapq.heappush(self.heap, (bound, next(self._order), entry))

    def _is_too_large(self, layout: TrainingLayout) -> bool:
        """Whether the state of a layout alone does not fit, remembered: micro-batches and schedules do not change it."""
        key = (layout.tp, layout.cp, layout.pp, layout.dp, layout.ep, layout.zero, layout.schedule.copies)
        if key not in self._too_large:
            self._too_large[key] = price(self.network, self.job, self.site, layout, ("store",)).too_large
        return self._too_large[key]

    def _least_of_shape_s(self, shape: Shape) -> float:
        """Seconds that no layout of a shape undercuts: its work in the largest micro-batches, nothing sent and no bubble, dealt
        evenly but for whole layers."""
        network, job, machine = self.network, self.job, self.site.machine
        alone = TrainingLayout(
            shape.tp, 1, 1, MOST_MICRO_BATCH, Schedule("1f1b"), cp=shape.cp, ep=max(network.experts, 1)
        )
        nothing = dict.fromkeys(("tensor", "context", "inside", "outside"), math.inf)
        machine = replace(machine, efficiency=replace(machine.efficiency, latency_s=0.0))
        costs = StageCosts(network, job, alone, machine, machine.rates(alone)._replace(**nothing), ("store",))
        each = [times.forward + times.backward for times in costs.times]
        work = sum(count * one for count, one in zip(network.before[-1], each, strict=True))
        folded = Schedule("dualpipe" if "dualpipe" in self.framework.schedules else "1f1b")
        most = most_layers(len(network.layers), shape.pp, folded)
        pace = max(work / shape.pp, most * min(each))
        return pace * job.global_batch_sequences / shape.dp / MOST_MICRO_BATCH


def _settled(costs: StageCosts, site: TrainingSite) -> TrainingAnswer | None:
    """A layout with its layers dealt, as fast as the cluster lets it be."""
    dealt = deal(costs)
    if dealt is None:
        return None
    slow = site.slowdowns(costs.layout) if site.slowdowns else Slowdowns()
    if slow != Slowdowns():
        costs = replace(costs, rates=site.machine.rates(costs.layout, slow))
        dealt = deal(costs)
    return None if dealt is None else TrainingAnswer(costs, dealt, site.rent(costs.layout.devices), 0.0, 0)


def _why_none(network: Network, job: TrainingJob, site: TrainingSite, legal: int) -> str:
    state = network.parameters * (2 + 4 + 4 + job.moments_bytes)
    device, room = site.machine.device, site.machine.room_bytes
    if not legal:
        return (
            f"No training layout exists: no tp x cp x pp x dp fits {site.devices} devices with tp dividing a domain of "
            f"{site.machine.domain} and dp the global batch of {job.global_batch_sequences} sequences"
        )
    return (
        f"No training layout fits: {network.name} with its gradients and optimiser takes {state / 1e9:,.0f} GB before any "
        f"activation, {site.devices} x {device.name} have {site.devices * room / 1e9:,.0f} GB; "
        f"{math.ceil(state / room)} devices hold the state"
    )
