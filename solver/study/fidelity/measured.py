"""Measured serving runs, priced all at once under any calibrations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import UNKNOWN, Calibration
from solver.cost.pool.closed_loop import ROUNDS, ClosedLoop, closed_loop
from solver.cost.steps.replicas import Replicas
from solver.cost.steps.speeds import Speeds
from solver.cost.steps.step import StagePlacement
from solver.cost.steps.timing import Timing
from solver.cost.steps.work import Degrees, Work, stack
from solver.engines import engine_rules
from solver.llm import LLM
from solver.replica import Setup
from solver.study.fidelity.disaggregated_loop import DisaggregatedLoop, disaggregated_loop
from topologies import Device

Floats = NDArray[np.float64]
#: Engine and generation of devices: what a calibration is of.
Family = tuple[str, str]
#: Load generators' recipes often store fp8 KV caches without saying so: nobody is refused room that they may have had.
SMALLEST_CACHE = "fp8"


@dataclass(frozen=True)
class Origin:
    """What runs of one part have in common.

    Attributes
    ----------
    release: of the engine, as :attr:`solver.study.fidelity.runs.MeasuredRun.release` names it.
    """

    llm: LLM
    device: Device
    engine: str
    release: str

    @property
    def family(self) -> Family:
        """Whose calibration prices these runs."""
        return self.engine, self.device.generation

    def calibration(self, calibrations: Mapping[Family, Calibration]) -> Calibration:
        """The calibration of this engine and generation, in this release."""
        return calibrations[self.family].in_release(self.release or UNKNOWN)


@dataclass(frozen=True)
class RunFamily(Origin):
    """Unified runs of one LLM in one precision on one device by one engine; arrays have one entry per run (R,).

    Attributes
    ----------
    concurrency: requests in flight on the replica.
    prompt, output: tokens of a request.
    burst: 1 where all requests were started at once and none replaced those that ended.
    accepted: tokens that a step yields per sequence (1 without drafts).
    most: requests that the engine was told to run on a rank at most. poll_steps: steps from one look for new ones to the next.
    cache_known: the format of the KV cache was recorded; else room is that of the smallest which is usual.
    """

    setups: tuple[Setup, ...]
    concurrency: Floats
    prompt: Floats
    output: Floats
    burst: Floats
    accepted: Floats
    most: Floats
    poll_steps: Floats
    cache_known: bool

    def room(self, calibration: Calibration) -> Floats:
        """Requests that a rank holds at once: what its KV cache has room for, at least one (R,)."""
        llm = self.llm if self.cache_known else self.llm.with_precision(kv_cache=SMALLEST_CACHE)
        held = Replicas.of(llm, self.device, calibration, self.setups).requests_held(self.prompt, self.output)
        return np.maximum(held, 1.0)


@dataclass(frozen=True)
class Apart(Origin):
    """Disaggregated runs of one LLM in one precision on one device by one engine; arrays have one entry per run (R,).

    Attributes
    ----------
    prefill, decode: setups of their pools. prefill_replicas, decode_replicas: how many of each.
    concurrency: requests in flight on the whole deployment. accepted: tokens that a decode step yields per sequence.
    most: requests that the engine was told to run on a decode rank at most.
    """

    prefill: tuple[Setup, ...]
    decode: tuple[Setup, ...]
    prefill_replicas: Floats
    decode_replicas: Floats
    concurrency: Floats
    prompt: Floats
    output: Floats
    accepted: Floats
    most: Floats

    def room(self, calibration: Calibration) -> Floats:
        """Requests that a decode rank holds at once, at least one: what its KV cache and its engine let in (R,)."""
        held = Replicas.of(self.llm, self.device, calibration, self.decode).requests_held(self.prompt, self.output)
        return np.clip(held, 1.0, self.most)


class _Shapes:
    """Replica shapes of many parts as one table, timed under any calibrations."""

    def __init__(self, parts: Sequence[tuple[Origin, Sequence[Setup]]], accepted: Floats) -> None:
        self.parts = [origin for origin, _ in parts]
        self.counts = [len(setups) for _, setups in parts]
        setups = [setup for _, found in parts for setup in found]
        self.work = stack([_work(origin.llm, found) for origin, found in parts])
        self.accepted = accepted
        self.mixed = np.array([float(engine_rules(s.engine, s.engine_version).scheduler.mixed) for s in setups])
        self.chunk, self.drafts, spread, tensor, overlap = (
            np.array([float(getattr(setup, name)) for setup in setups])
            for name in ("chunk_tokens", "draft_tokens", "exchange_domains", "tensor_domains", "overlap")
        )
        # All but the imbalance, which a calibration knows.
        self._group = StagePlacement.of(self.work.ep, spread, tensor, np.ones(len(setups)), overlap)

    def timing(self, calibrations: Mapping[Family, Calibration]) -> Timing:
        """Every shape at the speed of its device, calibration and release."""
        chosen = [part.calibration(calibrations) for part in self.parts]
        speeds = [Speeds.of(p.device, p.llm.precision, c) for p, c in zip(self.parts, chosen, strict=True)]
        group = self._group.with_imbalance(np.repeat([cal.imbalance for cal in chosen], self.counts))
        usual = np.ones(len(self.accepted))
        return Timing(
            self.work,
            Speeds.stack(speeds, self.counts),
            group,
            self.chunk,
            self.drafts,
            self.accepted,
            usual,
            self.mixed,
        )


def _work(llm: LLM, setups: Sequence[Setup]) -> Work:
    degrees = Degrees.of([setup.parallelism for setup in setups])
    return Work.of(llm, degrees, np.zeros(len(setups)), [setup.stages for setup in setups])


class PricedRuns:
    """Unified runs of many LLMs, devices and engines, in the order of the parts."""

    _NAMES = ("concurrency", "prompt", "output", "burst", "poll_steps")

    def __init__(self, parts: Sequence[RunFamily]) -> None:
        self.parts = tuple(parts)
        self._shapes = _Shapes([(part, part.setups) for part in parts], self.column("accepted"))
        # No fit touches what memory holds, so that it is asked for once.
        self._room: Floats | None = None

    def __len__(self) -> int:
        return len(self._shapes.work)

    @property
    def origins(self) -> list[Origin]:
        """The part that each run belongs to (R,)."""
        return [part for part in self.parts for _ in part.setups]

    def column(self, name: str) -> Floats:
        """One of the arrays of the parts, over all runs (R,)."""
        return np.concatenate([getattr(part, name) for part in self.parts])

    def predict(self, calibrations: Mapping[Family, Calibration], rounds: int = ROUNDS) -> tuple[Floats, Floats]:
        """TPOT and TTFT of every run as their means [s] (R,)."""
        found = self.loop(calibrations, rounds)
        return found.tpot_s, found.ttft_s

    def loop(self, calibrations: Mapping[Family, Calibration], rounds: int = ROUNDS) -> ClosedLoop:
        """The closed loop of every run (R,)."""
        if self._room is None:
            room = [part.room(part.calibration(calibrations)) for part in self.parts]
            self._room = np.minimum(np.concatenate(room), self.column("most"))
        load, prompt, output, burst, poll = (self._columns[name] for name in self._NAMES)
        timing = self._shapes.timing(calibrations)
        return closed_loop(timing, load, prompt, output, burst, rounds, most=self._room, poll_steps=poll)

    @cached_property
    def _columns(self) -> dict[str, Floats]:
        return {name: self.column(name) for name in self._NAMES}


class PricedApart:
    """Disaggregated runs of many LLMs, devices and engines, in the order of the parts."""

    def __init__(self, parts: Sequence[Apart]) -> None:
        self.parts = tuple(parts)
        self._prefill = _Shapes([(part, part.prefill) for part in parts], np.ones(len(self.column("accepted"))))
        self._decode = _Shapes([(part, part.decode) for part in parts], self.column("accepted"))
        self._room: Floats | None = None

    def __len__(self) -> int:
        return len(self._decode.work)

    @property
    def origins(self) -> list[Origin]:
        """The part that each run belongs to (R,)."""
        return [part for part in self.parts for _ in part.decode]

    def column(self, name: str) -> Floats:
        """One of the arrays of the parts, over all runs (R,)."""
        return np.concatenate([getattr(part, name) for part in self.parts])

    def loop(self, calibrations: Mapping[Family, Calibration]) -> DisaggregatedLoop:
        """The closed loop of every run (R,)."""
        if self._room is None:
            self._room = np.concatenate([part.room(part.calibration(calibrations)) for part in self.parts])
        hop = [part.calibration(calibrations).hop_s for part in self.parts]
        return disaggregated_loop(
            self._prefill.timing(calibrations),
            self._decode.timing(calibrations),
            (self.column("prefill_replicas"), self.column("decode_replicas")),
            self.column("concurrency"),
            self.column("prompt"),
            self.column("output"),
            room=self._room,
            kv_bytes=self._kv_bytes,
            hop_s=np.repeat(hop, [len(part.decode) for part in self.parts]),
        )

    @cached_property
    def _kv_bytes(self) -> Floats:
        """KV cache of one prompt (R,)."""
        return np.array([p.llm.kv_bytes(float(tokens)) for p in self.parts for tokens in p.prompt])
