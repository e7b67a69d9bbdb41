"""Measured serving runs, priced all at once under any calibrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.pool.closed_loop import ROUNDS, ClosedLoop, closed_loop
from solver.cost.steps.replicas import Replicas
from solver.cost.steps.speeds import Speeds
from solver.cost.steps.step import StagePlacement
from solver.cost.steps.timing import Timing
from solver.cost.steps.work import Degrees, Work, stack
from solver.llm import LLM
from solver.replica import Setup
from topologies import Device

Floats = NDArray[np.float64]
#: Engine and generation of devices: what a calibration is of.
Family = tuple[str, str]
#: Load generators' recipes often store fp8 KV caches without saying so: nobody is refused room that they may have had.
SMALLEST_CACHE = "fp8"


@dataclass(frozen=True)
class RunFamily:
    """Runs of one LLM in one precision on one device by one engine; arrays have one entry per run (R,).

    Attributes
    ----------
    concurrency: requests in flight on the replica.
    prompt, output: tokens of a request.
    burst: 1 where all requests were started at once and none replaced those that ended.
    accepted: tokens that a step yields per sequence (1 without drafts).
    most: requests that the engine was told to run on a rank at most.
    cache_known: the format of the KV cache was recorded; else room is that of the smallest which is usual.
    """

    llm: LLM
    device: Device
    engine: str
    setups: tuple[Setup, ...]
    concurrency: Floats
    prompt: Floats
    output: Floats
    burst: Floats
    accepted: Floats
    most: Floats
    cache_known: bool

    def room(self, calibration: Calibration) -> Floats:
        """Requests that a rank holds at once: what its KV cache has room for, at least one (R,)."""
        llm = self.llm if self.cache_known else self.llm.with_precision(kv_cache=SMALLEST_CACHE)
        ledger = Replicas.of(llm, self.device, calibration, self.setups).ledger
        return np.maximum(ledger.requests(self.prompt + self.output / 2), 1.0)

    @property
    def family(self) -> Family:
        """Whose calibration prices these runs."""
        return self.engine, self.device.generation

    @cached_property
    def work(self) -> Work:
        """What one step of each run does."""
        degrees = Degrees.of([setup.parallelism for setup in self.setups])
        return Work.of(self.llm, degrees, np.zeros(len(self.setups)), [setup.stages for setup in self.setups])


class PricedRuns:
    """Runs of many LLMs, devices and engines, in the order of the parts."""

    def __init__(self, parts: Sequence[RunFamily]) -> None:
        self.parts = tuple(parts)
        self._work = stack([part.work for part in parts])
        self._ep = self._work.ep
        # No fit touches what memory holds, so that it is asked for once.
        self._room: Floats | None = None

    def __len__(self) -> int:
        return len(self._ep)

    @property
    def families(self) -> tuple[Family, ...]:
        """Engines and generations that occur, sorted."""
        return tuple(sorted({part.family for part in self.parts}))

    def column(self, name: str) -> Floats:
        """One of the arrays of the parts, over all runs (R,)."""
        return np.concatenate([getattr(part, name) for part in self.parts])

    def predict(self, calibrations: Mapping[Family, Calibration], rounds: int = ROUNDS) -> tuple[Floats, Floats]:
        """TPOT and TTFT of every run as their means [s] (R,)."""
        found = self.loop(calibrations, rounds)
        return found.tpot_s, found.ttft_s

    def loop(self, calibrations: Mapping[Family, Calibration], rounds: int = ROUNDS) -> ClosedLoop:
        """The closed loop of every run (R,)."""
        counts = [len(part.setups) for part in self.parts]
        chosen = [calibrations[part.family] for part in self.parts]
        speeds = Speeds.stack(
            [Speeds.of(part.device, part.llm.precision, cal) for part, cal in zip(self.parts, chosen, strict=True)],
            counts,
        )
        imbalance = np.repeat([cal.imbalance for cal in chosen], counts)
        group = replace(self._group, imbalance=imbalance)
        timing = Timing(self._work, speeds, group, *self._tokens, self._columns["accepted"])
        load, prompt, output, burst = (self._columns[n] for n in ("concurrency", "prompt", "output", "burst"))
        if self._room is None:
            room = [part.room(cal) for part, cal in zip(self.parts, chosen, strict=True)]
            self._room = np.minimum(np.concatenate(room), self.column("most"))
        return closed_loop(timing, load, prompt, output, burst, rounds, most=self._room)

    @cached_property
    def _columns(self) -> dict[str, Any]:
        names = ("concurrency", "prompt", "output", "burst", "accepted")
        return {name: self.column(name) for name in names}

    @cached_property
    def _tokens(self) -> tuple[Floats, Floats]:
        """Tokens of a chunk, and tokens drafted per step (R,)."""
        setups = [setup for part in self.parts for setup in part.setups]
        return np.array([float(s.chunk_tokens) for s in setups]), np.array([float(s.draft_tokens) for s in setups])

    @cached_property
    def _group(self) -> StagePlacement:
        one = np.ones(len(self))
        return StagePlacement.of(self._ep, one, one, one, np.zeros(len(self)))
