"""Candidates: every legal way to set up a replica in one role, as rows that can be priced in one pass."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.network.fleet import Fleet
from solver.cost.pool.mix import Mix
from solver.cost.pool.serving import Stretch, sequences_that_fit
from solver.cost.steps.replicas import NetworkShare, Replicas
from solver.cost.steps.work import default_stages
from solver.cost.support import untried
from solver.engines import EngineRules
from solver.engines.memory import MOST_FRACTION
from solver.llm import LLM
from solver.replica import Role, Setup, Stages
from solver.space.handover import Handover
from solver.space.legality import Inquiry, broken_by_shape, most_sequences
from solver.space.shapes import Balance, Footprint, most_replicas, shapes
from solver.workload import Constraints

Floats = NDArray[np.float64]

#: Most prompts that share one prefill step on a rank.
MOST_PROMPTS_PER_STEP = 32
NO_ROOM = "weights and buffers fill the HBM"
NO_LONGEST = "the KV cache has no room for one request of the longest length"


@dataclass(frozen=True)
class Candidate:
    """One way to run a replica, and what it takes from the cluster.

    Attributes
    ----------
    accepted: tokens that a step yields per sequence.
    imbalance, least_imbalance: hottest expert rank over the mean under recorded loads: what a placement reaches, and
        what none undercuts; None = the calibration's.
    """

    setup: Setup
    footprint: Footprint
    accepted: float = 1.0
    imbalance: float | None = None
    least_imbalance: float | None = None
    handover: int = 0

    @cached_property
    def untried(self) -> tuple[str, ...]:
        """Mechanisms of its structure that no measured run had."""
        return untried(self.setup)

    @property
    def pipelined(self) -> bool:
        """Whether a scale-up domain holds more than one of its pipeline stages."""
        return self.setup.parallelism.pp > self.setup.domains

    @property
    def plain(self) -> bool:
        """Whether runs support everything about it, and stages share no domain."""
        return not self.untried and not self.pipelined

    def cut(self, stages: Stages) -> Candidate:
        """The same with its layers cut into these stages."""
        return replace(self, setup=replace(self.setup, stages=stages))


@dataclass(frozen=True)
class Candidates:
    """Legal candidates of one engine, role and device.

    Attributes
    ----------
    rows: what each row is (R,).
    replicas: their prices; ``optimistic``: the same with stages perfectly even and the best links, which no real layout
        beats.
    limit, optimistic_limit: most sequences that a rank may run (R,); 0 where the longest request does not fit.
    longest: longest context that the engine is told to accept [tokens].
    settled: sequences that a rank may run at most because the user says so.
    safe, bold: how much longer than predicted rows are taken to be where promises are to hold with more than even
        confidence: by what a plan may count on, and by what no plan escapes (:mod:`solver.space.certainty`).
    """

    llm: LLM
    engine: EngineRules
    role: Role
    fleet: Fleet
    rows: tuple[Candidate, ...]
    replicas: Replicas
    optimistic: Replicas
    limit: Floats
    optimistic_limit: Floats
    longest: int
    settled: float = math.inf
    safe: Stretch | None = None
    bold: tuple[Stretch, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, some: NDArray[np.bool_] | NDArray[np.intp]) -> Candidates:
        """Some of the rows, by index or mask."""
        index = np.arange(len(self))[some]
        return replace(
            self,
            rows=tuple(self.rows[i] for i in index),
            replicas=self.replicas.rows(index),
            optimistic=self.optimistic.rows(index),
            limit=self.limit[index],
            optimistic_limit=self.optimistic_limit[index],
            safe=self.safe and self.safe.rows(index),
            bold=tuple(stretch.rows(index) for stretch in self.bold),
        )


@dataclass(frozen=True)
class Startable:
    """Replicas that an engine would start in one role on one kind of device, before what they do with tokens is settled.

    Attributes
    ----------
    dropped: how many others were dropped for which reason.
    """

    llm: LLM
    fleet: Fleet
    engine: EngineRules
    role: Role
    rows: tuple[Candidate, ...]
    dropped: Counter[str]


def startable(
    llm: LLM,
    fleet: Fleet,
    engine: EngineRules,
    role: Role,
    constraints: Constraints,
    drafting: Mapping[int, float] | None = None,
    balance: Balance | None = None,
    handovers: Handover | None = None,
    memory_fraction: float | None = None,
) -> Startable:
    """All replicas that the engine would start and the user allows.

    Parameters
    ----------
    drafting: tokens that a step yields per sequence, by the number of draft tokens that may be chosen; none without.
    balance: of recorded expert loads over expert ranks; the calibration's imbalance holds without.
    handovers: tells which replicas hand over alike; without it all do.
    memory_fraction: as engines are told it; None = the engine's default.
    """
    dropped: Counter[str] = Counter()
    alike = handovers or Handover()
    legal = [
        replace(_balanced(row, balance), accepted=accepted, handover=alike.class_of(row.setup))
        for drafts, accepted in sorted((drafting or {0: 1.0}).items())
        for row in _legal(llm, fleet, engine, role, constraints, drafts, dropped, balance)
    ]
    if memory_fraction is not None:
        legal = [replace(row, setup=replace(row.setup, memory_fraction=memory_fraction)) for row in legal]
    usual = {pp: default_stages(llm, pp) for pp in sorted({row.setup.parallelism.pp for row in legal})}
    rows = tuple(row.cut(usual[row.setup.parallelism.pp]) for row in legal)
    return Startable(llm, fleet, engine, role, rows, dropped)


def candidates(
    started: Startable, calibration: Calibration, mix: Mix, constraints: Constraints, longest: int
) -> tuple[Candidates | None, Counter[str]]:
    """All legal candidates for what is served (None if there are none), and how many others do not fit.

    Parameters
    ----------
    longest: longest context that the engine is told to accept [tokens].
    """
    dropped: Counter[str] = Counter()
    if not started.rows:
        return None, dropped
    llm, fleet, engine, role = started.llm, started.fleet, started.engine, started.role
    pinned = {pin.chunk_tokens for pin in constraints.pools if pin.role == role and pin.chunk_tokens is not None}
    rows = [row for each in started.rows for row in _settings(each, engine, mix, pinned)]
    rows = _overlapping_legally(llm, engine, fleet, rows)
    if constraints.measured_only:
        rows = [row for row in rows if not row.untried]  # overlap is settled here
    optimistic = price(llm, fleet, calibration, rows, best_links=True).evened()
    # Where the engine's default leaves no room the most that people set is told, if it could help.
    if (binds := _binds(optimistic, fleet, longest)).any() and rows[0].setup.memory_fraction is None:
        rows = [_filled(row) if lacks else row for row, lacks in zip(rows, binds, strict=True)]
        optimistic = price(llm, fleet, calibration, rows, best_links=True).evened()
    replicas = price(llm, fleet, calibration, rows)
    limits = _limits(engine, rows, replicas, optimistic, mix, longest)
    priced = Candidates(llm, engine, role, fleet, tuple(rows), replicas, optimistic, *limits, longest)
    fitting = _fitting(priced, dropped)
    return fitting if len(fitting) else None, dropped


def price(
    llm: LLM, fleet: Fleet, calibration: Calibration, rows: Sequence[Candidate], best_links: bool = False
) -> Replicas:
    """The steps and memory of some candidates.

    Parameters
    ----------
    best_links: at the best links of any device of the fleet, and with experts as even as any placement could make them.
    """
    uneven = [row.least_imbalance if best_links else row.imbalance for row in rows]
    known = [value for value in uneven if value is not None]
    if best_links:
        links = NetworkShare(fleet.best_scale_out, fleet.best_transfer(calibration))
    else:
        links = NetworkShare(transfer=fleet.sure_transfer(calibration))
    return Replicas.of(
        llm,
        fleet.device,
        calibration,
        [row.setup for row in rows],
        links,
        imbalance=known or None,
        accepted=[row.accepted for row in rows],
    )


def _legal(
    llm: LLM,
    fleet: Fleet,
    engine: EngineRules,
    role: Role,
    constraints: Constraints,
    draft_tokens: int,
    dropped: Counter[str],
    balance: Balance | None,
) -> list[Candidate]:
    """Setups that the engine would start and the user allows; of several ways to lie on hosts the fullest legal one."""
    found = list(shapes(llm, fleet, balance, context_degrees(constraints, role)))
    alive = np.ones(len(found), bool)
    # Rules of bare degrees come first: few of the shapes are then set up to be asked the rest.
    for rule, mask in broken_by_shape(llm, engine, fleet.device, role, draft_tokens, found):
        dropped[rule.name] += int((alive & mask).sum())
        alive &= ~mask
    left = list(itertools.compress(found, alive))
    room = {place: most_replicas(fleet, Footprint(fleet.device.name, *place)) for place in {shape[-3:] for shape in left}}
    found = [shape for shape in left if room[shape[-3:]] >= 1]
    dropped["larger than the cluster"] += len(left) - len(found)
    fitting = [
        Candidate(replace(shape.setup(engine, role), draft_tokens=draft_tokens), shape.footprint(fleet.device.name))
        for shape in found
    ]
    if not fitting:
        return []
    inquiry = Inquiry(llm, engine, fleet.device, [row.setup for row in fitting])
    alive = np.ones(len(fitting), bool)
    for rule, mask in inquiry.broken_rules():
        dropped[rule.name] += int((alive & mask).sum())
        alive &= ~mask
    legal: dict[Setup, Candidate] = {}
    for row, ok in zip(fitting, alive, strict=True):
        if ok:
            legal.setdefault(replace(row.setup, hosts=1), row)
    allowed = [row for row in legal.values() if _allowed(row.setup, constraints)]
    dropped["forbidden by constraints"] += len(legal) - len(allowed)
    return allowed


def context_degrees(constraints: Constraints, role: Role) -> tuple[int, ...]:
    """Context-parallel degrees of a role: none, and those of pinned pools (its collectives are not priced, so it is not
    searched)."""
    pinned = {pin.parallelism.get("cp", 1) for pin in constraints.pools if pin.role == role}
    return tuple(sorted({1, *pinned}))


def _allowed(setup: Setup, constraints: Constraints) -> bool:
    degrees = setup.parallelism
    if any(getattr(degrees, name) > 1 for name in constraints.forbid):
        return False
    if constraints.measured_only and untried(setup):
        return False
    if constraints.max_domains is not None and setup.domains > constraints.max_domains:
        return False
    return constraints.max_tp is None or degrees.tp <= constraints.max_tp


def _balanced(candidate: Candidate, balance: Balance | None) -> Candidate:
    """A candidate with how evenly recorded loads lie over its ranks."""
    ep, spare = candidate.setup.parallelism.ep, candidate.setup.redundant_experts
    if balance is None:
        return candidate
    if ep == 1:
        return replace(candidate, imbalance=1.0, least_imbalance=1.0)
    return replace(candidate, imbalance=balance.imbalance(ep, spare), least_imbalance=balance.least(ep, spare))


def _settings(candidate: Candidate, engine: EngineRules, mix: Mix, pinned: Collection[int]) -> list[Candidate]:
    """What a replica may do with its tokens, as far as it could matter, and in steps as long as the user says.

    Parameters
    ----------
    pinned: tokens of a step that the user settled for this role.
    """
    setup = candidate.setup
    overlaps = [False, True] if setup.role in engine.overlap and setup.exchange_domains > 1 else [False]
    found = []
    choices = sorted({*engine.batched_tokens[setup.role], *pinned})
    longest = float(mix.longest_prompt)
    for chunk in choices:
        shorter = max((other for other in choices if other < chunk), default=0)
        prompts = 1
        while prompts == 1 or (
            setup.role == "prefill" and prompts * longest <= chunk and prompts <= MOST_PROMPTS_PER_STEP
        ):
            if chunk in pinned or setup.role != "prefill" or prompts * longest > shorter:
                for overlap in overlaps:
                    settled = replace(setup, chunk_tokens=chunk, prompts_per_step=prompts, overlap=overlap)
                    found.append(replace(candidate, setup=settled))
            prompts *= 2
    return found


def _filled(candidate: Candidate) -> Candidate:
    """A candidate told the most that people set."""
    return replace(candidate, setup=replace(candidate.setup, memory_fraction=MOST_FRACTION))


def _binds(replicas: Replicas, fleet: Fleet, longest: int) -> NDArray[np.bool_]:
    """Whether one request of the longest length needs more room than there is, by no more than a larger memory fraction
    could add (R,)."""
    ledger = replicas.ledger
    lacking = (ledger.kv_bytes(np.full(len(replicas), float(longest))) - ledger.kv_room).max(axis=1)
    return np.asarray((lacking > 0) & (lacking <= (MOST_FRACTION - ledger.fraction) * fleet.device.hbm_usable_bytes))


def _overlapping_legally(llm: LLM, engine: EngineRules, fleet: Fleet, rows: list[Candidate]) -> list[Candidate]:
    """The rows without those that the engine refuses to overlap: the others are known to start."""
    asked = [n for n, row in enumerate(rows) if row.setup.overlap]
    refusals = Inquiry(llm, engine, fleet.device, [rows[n].setup for n in asked]).refusals() if asked else []
    refused = {n for n, reasons in zip(asked, refusals, strict=True) if reasons}
    return [row for n, row in enumerate(rows) if n not in refused]


def with_limits(found: Candidates, mix: Mix) -> Candidates:
    """The candidates with limits that follow from their prices and what the user settled."""
    limits = _limits(
        found.engine, found.rows, found.replicas, found.optimistic, mix, found.longest, settled=found.settled
    )
    return replace(found, limit=limits[0], optimistic_limit=limits[1])


def _limits(
    engine: EngineRules,
    rows: Sequence[Candidate],
    replicas: Replicas,
    optimistic: Replicas,
    mix: Mix,
    longest: int,
    *,
    settled: float = math.inf,
) -> tuple[Floats, Floats]:
    """How many sequences a rank may run, and could at best: what its KV cache holds 99 % of the time, at most what engine
    and user allow."""
    most = np.array([min(float(most_sequences(engine, row.setup)), settled) for row in rows])
    held = holds_longest(replicas, longest)
    limit = np.where(held, np.minimum(sequences_that_fit(replicas, mix), most), 0.0)
    return limit, np.minimum(sequences_that_fit(optimistic, mix), most)


def _fitting(priced: Candidates, dropped: Counter[str]) -> Candidates:
    """Drop what does not fit; the optimistic ledger decides, since a better cut of the layers may exist."""
    enough = (priced.optimistic.ledger.kv_room > 0).all(axis=1)
    long_enough = holds_longest(priced.optimistic, priced.longest)
    dropped[NO_ROOM] += int((~enough).sum())
    dropped[NO_LONGEST] += int((enough & ~long_enough).sum())
    return priced.keep(enough & long_enough)


def holds_longest(replicas: Replicas, longest: int) -> NDArray[np.bool_]:
    """Whether the KV cache of every stage has room for one request of the longest length (R,)."""
    needed = replicas.ledger.kv_bytes(np.full(len(replicas), float(longest)))
    return np.asarray((needed <= replicas.ledger.kv_room).all(axis=1))
