"""Replica shapes of one LLM on one device under one calibration: how long their steps take and what fits in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.machine import Machine
from solver.cost.memory import Ledger, ledger
from solver.cost.step import Group, Load, StepTime, step
from solver.cost.work import Degrees, StageFloor, Stages, Work
from solver.llm import LLM
from solver.replica import Parallelism
from topologies import Device

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Replicas:
    """Rows of replica shapes (R,) that share an LLM, a device and a calibration.

    Attributes
    ----------
    chunk: most prompt tokens that a step carries on a rank (R,).
    transfer_bytes_per_s: over which one device sends the KV cache of a prompt to a decode pool [B/s].
    """

    llm: LLM
    work: Work
    machine: Machine
    calibration: Calibration
    group: Group
    ledger: Ledger
    chunk: Floats
    transfer_bytes_per_s: float

    @classmethod
    def of(
        cls,
        llm: LLM,
        device: Device,
        calibration: Calibration,
        shapes: Sequence[Parallelism],
        *,
        chunk: Sequence[float] | float,
        domains: Sequence[int] | int = 1,
        redundant: Sequence[int] | None = None,
        imbalance: Sequence[float] | float | None = None,
        overlap: Sequence[bool] | bool = False,
        scale_out: float | None = None,
        transfer: float | None = None,
        exchanged_tokens: Sequence[float] | float = 0.0,
        stages: Sequence[Stages] | None = None,
    ) -> Replicas:
        """Price shapes.

        Parameters
        ----------
        chunk: most tokens of prompts in one step of a rank.
        domains: scale-up domains over which the expert group of one stage spreads.
        redundant: spare expert copies of a replica.
        imbalance: hottest expert rank over the mean; the calibration's where no loads are recorded.
        overlap: two-batch overlap of compute and exchange.
        scale_out: bandwidth of one device's share of the scale-out fabric [B/s]; the device's own without.
        transfer: bandwidth of one device towards decode pools [B/s]; its scale-out share without.
        exchanged_tokens: tokens a rank dispatches at once through low-latency buffers.
        """
        rows = len(shapes)

        def column(value: Any) -> Floats:
            return np.broadcast_to(np.asarray(value, float), (rows,)).copy()

        chunks, spare = column(chunk), column(0 if redundant is None else redundant)
        degree = Degrees.of(shapes)
        work = Work.of(llm, degree, spare, stages)
        machine = Machine.of(device, llm.precision, scale_out)
        return cls(
            llm=llm,
            work=work,
            machine=machine,
            calibration=calibration,
            group=Group(
                column(domains), column(calibration.imbalance if imbalance is None else imbalance), column(overlap)
            ),
            ledger=ledger(llm, device, calibration, degree, work.layers, chunks, column(exchanged_tokens), spare),
            chunk=chunks,
            transfer_bytes_per_s=float(machine.scale_out[0]) * calibration.scale_out if transfer is None else transfer,
        )

    def __len__(self) -> int:
        return len(self.work)

    def rows(self, index: Any) -> Replicas:
        """Some of the rows, by index or mask."""
        group = Group(**{f.name: getattr(self.group, f.name)[index] for f in fields(Group)})
        return replace(
            self, work=self.work.rows(index), group=group, ledger=self.ledger.rows(index), chunk=self.chunk[index]
        )

    def evened(self) -> Replicas:
        """The same replicas with every pipeline stage at the mean of its stages: no cut of the layers is lighter."""
        return replace(self, work=self.work.evened(), ledger=self.ledger.evened(self.work.pp))

    def above(self, floor: StageFloor) -> Replicas:
        """The same replicas, whose heaviest stage is known to weigh at least this much."""
        return replace(self, work=replace(self.work, floor=floor))

    def step(self, load: Load) -> StepTime:
        """One step in which every rank carries ``load`` (a micro-batch, where there are stages)."""
        return step(self.work, self.machine, self.calibration, self.group, load)

    def decode_s(self, batch: Floats, context: Floats | float, queries: float = 1.0) -> Floats:
        """Seconds between two tokens of a sequence when each rank runs ``batch`` of them (R,).

        A pipeline keeps as many micro-batches in flight as it has stages; the slowest stage or the whole way round
        decides.
        """
        taken = self.step(Load.of(decode=batch / self.work.pp, context=context, queries=queries))
        return np.maximum(taken.latency_s, self.work.pp * taken.slowest_s)

    def prompt_s(
        self,
        prompt: Floats | float,
        cached: Floats | float,
        batch: Floats | float = 0.0,
        context: Floats | float = 0.0,
        company: Floats | float = 1.0,
        together: Floats | float = 1.0,
    ) -> tuple[Floats, Floats, Floats]:
        """Prefill of one prompt in chunks, beside ``batch`` running sequences.

        Parameters
        ----------
        together: prompts that share one step; more than one only where they all fit into a chunk.
        prompt, cached: tokens to compute, and tokens already in the cache before them.
        batch, context: running sequences of the rank and their mean context.
        company: share of the other data-parallel ranks that prefill in the same step.

        Returns
        -------
        From the first chunk's start to the last chunk's end; time the replica's slowest stage is taken; number of steps
        (each (R,)). Chunks follow each other through a pipeline's stages.
        """
        prompt, cached = np.broadcast_arrays(np.asarray(prompt, float), np.asarray(cached, float))
        whole = np.floor(prompt / self.chunk)
        rest = prompt - whole * self.chunk
        running = np.asarray(batch, float) / self.work.pp
        before = occupied = np.zeros(len(self))
        final = before
        if np.any(whole > 0):
            full = self._chunk(self.chunk, cached + whole * self.chunk / 2, running, context, company)
            occupied = whole * full.slowest_s
            before = np.where(rest > 0, whole, np.maximum(whole - 1, 0)) * full.slowest_s
            final = np.where(whole > 0, full.latency_s, 0.0)
        if np.any(rest > 0):
            last = self._chunk(rest * together, cached + prompt - rest / 2, running, context, company)
            occupied = occupied + np.where(rest > 0, last.slowest_s, 0.0)
            final = np.where(rest > 0, last.latency_s, final)
        return before + final, occupied, whole + (rest > 0)

    def transfer_s(self, tokens: float) -> Floats:
        """Seconds until the KV cache of a prompt has reached a decode replica (R,).

        All tensor-parallel ranks of all stages send at once, also where each holds the whole latent of MLA.
        """
        senders = self.work.tp * self.work.pp
        return self.calibration.hop_s + self.llm.kv_bytes(tokens) / (senders * self.transfer_bytes_per_s)

    def _chunk(
        self, tokens: Floats, keys: Floats, running: Floats, context: Floats | float, company: Floats | float
    ) -> StepTime:
        return self.step(
            Load.of(
                decode=running,
                context=context,
                prefill=tokens,
                prefill_keys=keys,
                others=tokens * np.asarray(company, float),
            )
        )
