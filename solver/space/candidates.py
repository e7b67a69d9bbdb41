"""Candidates: every legal replica shape of one role with its settings, as rows that can be priced in one pass."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.network.fleet import Fleet
from solver.cost.pool.mix import Mix
from solver.cost.pool.serving import sequences_that_fit
from solver.cost.steps.replicas import Replicas
from solver.cost.steps.work import Stages, default_stages
from solver.llm import LLM
from solver.replica import Role
from solver.space.engines import EngineRules
from solver.space.legality import Setting, broken_rules
from solver.space.shapes import Balance, Shape, most_replicas, shapes
from solver.workload import Constraints

Floats = NDArray[np.float64]

#: Most prompts that share one prefill step on a rank.
MOST_TOGETHER = 32
NO_ROOM = "weights and buffers fill the HBM"
NO_LONGEST = "the KV cache has no room for one request of the longest length"


@dataclass(frozen=True)
class Candidate:
    """One way to run a replica.

    Attributes
    ----------
    chunk: most prompt tokens in one step of a rank.
    together: prompts that share one prefill step on a rank.
    overlap: two-batch overlap of compute and exchange.
    draft_tokens, accepted: tokens drafted and verified per step, and tokens that a step yields per sequence.
    imbalance, least_imbalance: hottest expert rank over the mean under recorded loads: what a placement reaches, and
    what none undercuts; None = the calibration's.
    """

    shape: Shape
    chunk: int
    together: int = 1
    overlap: bool = False
    draft_tokens: int = 0
    accepted: float = 1.0
    imbalance: float | None = None
    least_imbalance: float | None = None


@dataclass(frozen=True)
class Candidates:
    """Legal candidates of one engine, role and device.

    Attributes
    ----------
    rows: what each row is (R,); cuts: its pipeline stages.
    replicas: their prices; ``optimistic``: the same with stages perfectly even and the best links, which no real layout
    beats.
    limit, optimistic_limit: most sequences that a rank may run (R,); 0 where the longest request does not fit.
    longest: longest context that the engine is told to accept [tokens].
    """

    llm: LLM
    engine: EngineRules
    role: Role
    fleet: Fleet
    rows: tuple[Candidate, ...]
    cuts: tuple[Stages, ...]
    replicas: Replicas
    optimistic: Replicas
    limit: Floats
    optimistic_limit: Floats
    longest: int

    def __len__(self) -> int:
        return len(self.rows)

    def keep(self, mask: NDArray[np.bool_]) -> Candidates:
        """Some of the rows."""
        index = np.flatnonzero(mask)
        return replace(
            self,
            rows=tuple(self.rows[i] for i in index),
            cuts=tuple(self.cuts[i] for i in index),
            replicas=self.replicas.rows(index),
            optimistic=self.optimistic.rows(index),
            limit=self.limit[index],
            optimistic_limit=self.optimistic_limit[index],
        )


def candidates(
    llm: LLM,
    fleet: Fleet,
    engine: EngineRules,
    calibration: Calibration,
    role: Role,
    mix: Mix,
    constraints: Constraints,
    longest: int,
    drafting: Mapping[int, float] | None = None,
    balance: Balance | None = None,
) -> tuple[Candidates | None, Counter[str]]:
    """All legal candidates (None if there are none), and how many others were dropped for which reason.

    Parameters
    ----------
    longest: longest context that the engine is told to accept [tokens].
    drafting: tokens that a step yields per sequence, by the number of draft tokens that may be chosen; none without.
    balance: of recorded expert loads over expert ranks; the calibration's imbalance holds without.
    """
    dropped: Counter[str] = Counter()
    rows: list[Candidate] = []
    for drafts, accepted in sorted((drafting or {0: 1.0}).items()):
        legal = _legal(llm, fleet, engine, role, constraints, drafts, dropped, balance)
        rows += [
            replace(row, draft_tokens=drafts, accepted=accepted)
            for shape in legal
            for row in _settings(_balanced(shape, balance), engine, role, mix)
        ]
    if not rows:
        return None, dropped
    replicas = price(llm, fleet, calibration, rows)
    optimistic = price(llm, fleet, calibration, rows, best_links=True).evened()
    cuts = {pp: default_stages(llm, pp) for pp in sorted({row.shape.parallelism.pp for row in rows})}
    chosen = tuple(cuts[row.shape.parallelism.pp] for row in rows)
    found = Candidates(
        llm, engine, role, fleet, tuple(rows), chosen, replicas, optimistic, np.zeros(0), np.zeros(0), longest
    )
    fitting = _fitting(found, mix, dropped)
    return fitting if len(fitting) else None, dropped


def price(
    llm: LLM,
    fleet: Fleet,
    calibration: Calibration,
    rows: Sequence[Candidate],
    best_links: bool = False,
    **settings: Any,
) -> Replicas:
    """The steps and memory of some candidates; ``settings`` go to :meth:`Replicas.of`."""
    spread = [row.shape.exchange_domains for row in rows]
    uneven = [row.least_imbalance if best_links else row.imbalance for row in rows]
    known = [value for value in uneven if value is not None]
    return Replicas.of(
        llm,
        fleet.device,
        calibration,
        [row.shape.parallelism for row in rows],
        chunk=[row.chunk for row in rows],
        domains=spread,
        redundant=[row.shape.redundant for row in rows],
        imbalance=known or None,
        overlap=[row.overlap for row in rows],
        drafts=[row.draft_tokens for row in rows],
        accepted=[row.accepted for row in rows],
        scale_out=fleet.best_scale_out if best_links else None,
        transfer=fleet.best_transfer(calibration) if best_links else fleet.sure_transfer(calibration),
        exchanged_tokens=[min(row.chunk, 1024) if k > 1 else 0 for row, k in zip(rows, spread, strict=True)],
        **settings,
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
) -> list[Shape]:
    """Shapes that the engine would start and the user allows."""
    found = list(shapes(llm, engine, fleet, balance))
    fitting = [shape for shape in found if most_replicas(fleet, shape.footprint) >= 1]
    dropped["larger than the cluster"] += len(found) - len(fitting)
    if not fitting:
        return []
    setting = Setting.of(
        llm,
        engine,
        role,
        [shape.parallelism for shape in fitting],
        domain_size=max(fleet.domain_sizes),
        redundant=[shape.redundant for shape in fitting],
        fragments=[shape.exchange_domains for shape in fitting],
        draft_tokens=draft_tokens,
    )
    alive = np.ones(len(fitting), bool)
    for rule, mask in broken_rules(setting):
        dropped[rule.name] += int((alive & mask).sum())
        alive &= ~mask
    allowed = [shape for shape, ok in zip(fitting, alive, strict=True) if ok and _allowed(shape, constraints)]
    dropped["forbidden by constraints"] += int(alive.sum()) - len(allowed)
    return allowed


def _allowed(shape: Shape, constraints: Constraints) -> bool:
    degrees = shape.parallelism
    if any(getattr(degrees, name) > 1 for name in constraints.forbid):
        return False
    return constraints.max_tp is None or degrees.tp <= constraints.max_tp


def _balanced(shape: Shape, balance: Balance | None) -> Candidate:
    """A shape with how evenly recorded loads lie over its ranks."""
    plain, ep = Candidate(shape, chunk=0), shape.parallelism.ep
    if balance is None:
        return plain
    if ep == 1:
        return replace(plain, imbalance=1.0, least_imbalance=1.0)
    reached, least = balance.imbalance(ep, shape.redundant), balance.least(ep, shape.redundant)
    return replace(plain, imbalance=reached, least_imbalance=least)


def _settings(plain: Candidate, engine: EngineRules, role: Role, mix: Mix) -> list[Candidate]:
    """The settings of a shape that could matter."""
    shape = plain.shape
    overlaps = [False, True] if role in engine.overlap and shape.exchange_domains > 1 else [False]
    found = []
    choices = engine.batched_tokens[role]
    longest = float(mix.longest_prompt)
    for index, chunk in enumerate(choices):
        together = 1
        while together == 1 or (role == "prefill" and together * longest <= chunk and together <= MOST_TOGETHER):
            needed_before = index > 0 and together * longest <= choices[index - 1]
            if role == "decode" or not needed_before:
                found += [replace(plain, chunk=chunk, together=together, overlap=overlap) for overlap in overlaps]
            together *= 2
    return found


def with_limits(found: Candidates, mix: Mix) -> Candidates:
    """How many sequences a rank may run: what its KV cache holds 99 % of the time, at most what the engine takes."""
    most = float(found.engine.max_sequences)
    held = holds_longest(found.replicas, found.longest)
    return replace(
        found,
        limit=np.where(held, np.minimum(sequences_that_fit(found.replicas, mix), most), 0.0),
        optimistic_limit=np.minimum(sequences_that_fit(found.optimistic, mix), most),
    )


def _fitting(found: Candidates, mix: Mix, dropped: Counter[str]) -> Candidates:
    """Drop what does not fit; the optimistic ledger decides, since a better cut of the layers may exist."""
    enough = (found.optimistic.ledger.kv_room > 0).all(axis=1)
    long_enough = holds_longest(found.optimistic, found.longest)
    dropped[NO_ROOM] += int((~enough).sum())
    dropped[NO_LONGEST] += int((enough & ~long_enough).sum())
    return with_limits(found, mix).keep(enough & long_enough)


def holds_longest(replicas: Replicas, longest: int) -> NDArray[np.bool_]:
    """Whether the KV cache of every stage has room for one request of the longest length (R,)."""
    one = replicas.ledger.kv_bytes(np.full(len(replicas), float(longest)))
    return np.asarray((one <= replicas.ledger.kv_room).all(axis=1))
