"""Replicas of one LLM on one device under one calibration: how long their steps take and what fits in them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.steps.memory import Ledger, ledger
from solver.cost.steps.sharing import Sharing
from solver.cost.steps.speeds import Speeds
from solver.cost.steps.step import StagePlacement
from solver.cost.steps.timing import Timing
from solver.cost.steps.work import Degrees, StageFloor, Work
from solver.cost.surprises import learned_pace
from solver.engines import engine_rules
from solver.llm import LLM
from solver.replica import Setup
from topologies import Device

Floats = NDArray[np.float64]

#: Most tokens of a rank for which low-latency exchange buffers are sized.
EXCHANGE_TOKENS = 1024


@dataclass(frozen=True)
class NetworkShare:
    """What the network leaves to one device [B/s]; None = what its data sheet says.

    Attributes
    ----------
    scale_out: its share of the scale-out fabric.
    transfer: over which it sends the KV cache of a prompt to a decode pool.
    """

    scale_out: float | None = None
    transfer: float | None = None


@dataclass(frozen=True)
class Replicas(Timing):
    """Rows of replicas (R,) that share an LLM, a device and a calibration.

    Attributes
    ----------
    kept_output, kept_tokens: of a running sequence's further output the share, and tokens besides, for which its engine keeps
        room (R,).
    transfer_bytes_per_s: over which one device sends the KV cache of a prompt to a decode pool [B/s].
    """

    llm: LLM
    calibration: Calibration
    ledger: Ledger
    kept_output: Floats
    kept_tokens: Floats
    transfer_bytes_per_s: float

    @classmethod
    def of(
        cls,
        llm: LLM,
        device: Device,
        calibration: Calibration,
        setups: Sequence[Setup],
        links: NetworkShare | None = None,
        *,
        imbalance: Sequence[float] | float | None = None,
        accepted: Sequence[float] | float = 1.0,
    ) -> Replicas:
        """Price setups of one engine.

        Parameters
        ----------
        imbalance: hottest expert rank over the mean; the calibration's where no loads are recorded.
        accepted: tokens that a step yields per sequence; more than 1 with accepted drafts.
        """
        links = links or NetworkShare()

        def column(value: Any) -> Floats:
            return np.broadcast_to(np.asarray(value, float), (len(setups),)).copy()

        def each(name: str) -> Floats:
            return column([getattr(setup, name) for setup in setups])

        degree = Degrees.of([setup.parallelism for setup in setups])
        chunks, spare, drafts, spread = map(
            each, ("chunk_tokens", "redundant_experts", "draft_tokens", "exchange_domains")
        )
        placement = StagePlacement.of(
            degree.ep,
            spread,
            each("tensor_domains"),
            column(calibration.imbalance if imbalance is None else imbalance),
            each("overlap"),
        )
        # Work knows no device and speeds know no layout; the ledger needs to know which layers lie on which stage.
        work = Work.of(llm, degree, spare, [setup.stages for setup in setups])
        speeds = Speeds.of(device, llm.precision, calibration, links.scale_out)
        rules = engine_rules(setups[0].engine, setups[0].engine_version)
        kept = np.array([rules.scheduler.kept(setup) for setup in setups])
        return cls(
            llm=llm,
            work=work,
            speeds=speeds,
            calibration=calibration,
            group=placement,
            ledger=ledger(
                llm,
                device,
                calibration,
                rules,
                setups,
                work.layers,
                Sharing.of(llm, device, setups),
                exchanged_tokens=np.where(spread > 1, np.minimum(chunks, EXCHANGE_TOKENS), 0.0),
            ),
            chunk_tokens=chunks,
            draft_tokens=drafts,
            accepted=column(accepted),
            pace=learned_pace(llm, device, calibration.learned, setups),
            mixed=column(rules.scheduler.mixed),
            kept_output=kept[:, 0],
            kept_tokens=kept[:, 1],
            transfer_bytes_per_s=float(speeds.scale_out[0]) if links.transfer is None else links.transfer,
        )

    def rows(self, index: Any) -> Replicas:
        """Some of the rows, by index or mask."""
        return replace(
            self,
            work=self.work.rows(index),
            group=self.group.rows(index),
            ledger=self.ledger.rows(index),
            chunk_tokens=self.chunk_tokens[index],
            draft_tokens=self.draft_tokens[index],
            accepted=self.accepted[index],
            pace=self.pace[index],
            mixed=self.mixed[index],
            kept_output=self.kept_output[index],
            kept_tokens=self.kept_tokens[index],
        )

    def evened(self) -> Replicas:
        """The same replicas with every pipeline stage at the mean of its stages: no cut of the layers is lighter."""
        return replace(self, work=self.work.evened(), ledger=self.ledger.evened(self.work.pp))

    def above(self, floor: StageFloor) -> Replicas:
        """The same replicas, whose heaviest stage is known to weigh at least this much."""
        return replace(self, work=replace(self.work, floor=floor))

    def requests_held(self, prompt: Floats | float, output: Floats | float) -> Floats:
        """Requests of these lengths that a rank runs at once, as its engine lets them in (R,).

        A request has made half of its output on average, and what room is kept for beyond that is no other's.
        """
        return self.ledger.requests(prompt + output * (1 + self.kept_output) / 2 + self.kept_tokens)

    def transfer_s(self, tokens: float) -> Floats:
        """Seconds that the KV cache of a prompt takes out of, or into, a replica (R,).

        All tensor-parallel ranks of all stages send at once, also where each holds the whole latent of MLA.
        """
        return self._through(self.work.tp * self.work.pp, tokens)

    def landing_s(self, tokens: float) -> Floats:
        """Seconds until a decode replica has it that has as many tensor-parallel ranks, but no pipeline (R,)."""
        return self._through(self.work.tp, tokens)

    def _through(self, ranks: Floats, tokens: float) -> Floats:
        taken: Floats = self.calibration.hop_s + self.llm.kv_bytes(tokens) / (ranks * self.transfer_bytes_per_s)
        return taken
