"""Replica shapes of one LLM on one device under one calibration: how long their steps take and what fits in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.steps.memory import Ledger, ledger
from solver.cost.steps.speeds import Speeds
from solver.cost.steps.step import Group
from solver.cost.steps.timing import Timing
from solver.cost.steps.work import Degrees, StageFloor, Stages, Work
from solver.llm import LLM
from solver.replica import Parallelism
from topologies import Device

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Replicas(Timing):
    """Rows of replica shapes (R,) that share an LLM, a device and a calibration.

    Attributes
    ----------
    transfer_bytes_per_s: over which one device sends the KV cache of a prompt to a decode pool [B/s].
    """

    llm: LLM
    calibration: Calibration
    ledger: Ledger
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
        drafts: Sequence[float] | float = 0.0,
        accepted: Sequence[float] | float = 1.0,
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
        drafts, accepted: tokens drafted per step, and tokens that a step yields per sequence.
        """
        rows = len(shapes)

        def column(value: Any) -> Floats:
            return np.broadcast_to(np.asarray(value, float), (rows,)).copy()

        chunks, spare = column(chunk), column(0 if redundant is None else redundant)
        degree = Degrees.of(shapes)
        work = Work.of(llm, degree, spare, stages)
        speeds = Speeds.of(device, llm.precision, calibration, scale_out)
        uneven = column(calibration.imbalance if imbalance is None else imbalance)
        return cls(
            llm=llm,
            work=work,
            speeds=speeds,
            calibration=calibration,
            group=Group.of(degree.ep, column(domains), uneven, column(overlap)),
            ledger=ledger(
                llm,
                device,
                calibration,
                degree,
                work.layers,
                chunks,
                column(exchanged_tokens),
                spare,
                column(drafts),
            ),
            chunk=chunks,
            drafts=column(drafts),
            accepted=column(accepted),
            transfer_bytes_per_s=float(speeds.scale_out[0]) if transfer is None else transfer,
        )

    def rows(self, index: Any) -> Replicas:
        """Some of the rows, by index or mask."""
        return replace(
            self,
            work=self.work.rows(index),
            group=self.group.rows(index),
            ledger=self.ledger.rows(index),
            chunk=self.chunk[index],
            drafts=self.drafts[index],
            accepted=self.accepted[index],
        )

    def evened(self) -> Replicas:
        """The same replicas with every pipeline stage at the mean of its stages: no cut of the layers is lighter."""
        return replace(self, work=self.work.evened(), ledger=self.ledger.evened(self.work.pp))

    def above(self, floor: StageFloor) -> Replicas:
        """The same replicas, whose heaviest stage is known to weigh at least this much."""
        return replace(self, work=replace(self.work, floor=floor))

    def transfer_s(self, tokens: float) -> Floats:
        """Seconds that the KV cache of a prompt takes out of, or into, a replica (R,).

        All tensor-parallel ranks of all stages send at once, also where each holds the whole latent of MLA.
        """
        return self._through(self.work.tp * self.work.pp, tokens)

    def landing_s(self, tokens: float) -> Floats:
        """Seconds until a decode replica has it that has as many tensor-parallel ranks, but no pipeline (R,)."""
        return self._through(self.work.tp, tokens)

    def _through(self, links: Floats, tokens: float) -> Floats:
        found: Floats = self.calibration.hop_s + self.llm.kv_bytes(tokens) / (links * self.transfer_bytes_per_s)
        return found
