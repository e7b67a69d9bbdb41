"""One pool, described as a plan describes it, and priced by the same physics as the whole space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.network.fleet import Fleet
from solver.cost.pool.mix import Mix
from solver.cost.pool.operating_point import largest
from solver.cost.pool.queueing import FULL, normal_quantile
from solver.cost.pool.serving import (
    LEAST_UTILISATION,
    MOST_UTILISATION,
    Promise,
    Service,
    decode_at,
    most_decode,
    most_prefill,
    most_unified,
    prefill_at,
    sequences_that_fit,
    unified_at,
)
from solver.cost.steps.replicas import NetworkShare, Replicas
from solver.cost.steps.step import Load
from solver.llm import LLM
from solver.replica import Setup

Floats = NDArray[np.float64]

#: Evaluations for one pool over its whole range, which spans nine orders of magnitude.
_PATIENT = 40


@dataclass(frozen=True)
class PricedPool:
    """A pool ready to be asked; everything it answers has one row.

    Attributes
    ----------
    count: replicas of the pool.
    replicas: the prices of one of them.
    limit: most sequences that a rank may run.
    """

    setup: Setup
    count: int
    replicas: Replicas
    mix: Mix
    limit: float

    @classmethod
    def of(
        cls,
        setup: Setup,
        count: int,
        llm: LLM,
        fleet: Fleet,
        calibration: Calibration,
        mix: Mix,
        *,
        max_sequences: float = 1e6,
        imbalance: float | None = None,
        accepted: float = 1.0,
    ) -> PricedPool:
        """Price a pool that serves a mix on devices of a fleet.

        Parameters
        ----------
        imbalance, accepted: as :meth:`Replicas.of` has them.
        """
        links = NetworkShare(transfer=fleet.sure_transfer(calibration))
        replicas = Replicas.of(
            llm, fleet.device, calibration, [setup], links, imbalance=imbalance, accepted=accepted
        )
        return cls(setup, count, replicas, mix, float(min(sequences_that_fit(replicas, mix)[0], max_sequences)))

    def most(self, promise: Promise) -> Service:
        """The largest load that keeps a promise."""
        count, limit = np.array([float(self.count)]), np.array([self.limit])
        if self.setup.role == "decode":
            return most_decode(self.replicas, count, self.mix, promise, limit)
        if self.setup.role == "unified":
            return most_unified(self.replicas, count, self.mix, promise, limit)
        return most_prefill(self.replicas, count, self.mix, promise, float(self.setup.prompts_per_step))

    def at(self, requests_per_s: float) -> Service:
        """The operating point at which each replica serves so many requests per second; the fullest one if it cannot."""
        low, high = self._range()
        asked = largest(lambda x: self._service(x).requests_per_s / requests_per_s - 1, low, high, _PATIENT)
        return self._service(np.maximum(asked, low))

    def at_batch(self, batch: float) -> Service:
        """The operating point with so many running sequences per rank (prefill: share of the time busy)."""
        return self._service(np.array([batch]))

    def _range(self) -> tuple[Floats, Floats]:
        if self.setup.role == "prefill":
            return np.array([LEAST_UTILISATION * 1e-3]), np.array([MOST_UTILISATION])
        return np.array([1e-6]), np.array([max(self.limit, 1.0)])

    def _service(self, point: Floats) -> Service:
        count = np.array([float(self.count)])
        if self.setup.role == "decode":
            return decode_at(self.replicas, count, self.mix, point)
        if self.setup.role == "unified":
            return unified_at(self.replicas, count, self.mix, point)
        return prefill_at(self.replicas, count, self.mix, point, float(self.setup.prompts_per_step))

    def parts_s(self, service: Service) -> tuple[float, float, float, float]:
        """Compute, memory, network and overhead of one step at an operating point, each alone [s]."""
        if self.setup.role == "prefill":
            tokens = min(float(self.mix.mean(self.mix.prompt)), float(self.setup.chunk_tokens)) * self.setup.prompts_per_step
            load = Load.of(
                prefill=np.array([tokens]), prefill_keys=self.mix.mean(self.mix.cached + self.mix.prompt / 2)
            )
        else:
            batch = np.maximum(service.batch, 1.0) / self.setup.parallelism.pp
            load = Load.of(decode=batch, context=self.mix.context)
        compute, memory, network, overhead = self.replicas.step(load).parts_s()
        return float(compute[0]), float(memory[0]), float(network[0]), float(overhead[0])

    def memory_bytes(self, sequences: float, requests_per_s: float = 0.0) -> dict[str, float]:
        """Ledger of the fullest rank when it runs so many sequences [bytes]; parameters as :meth:`stage_memory_bytes`."""
        stages = self.stage_memory_bytes(sequences, requests_per_s)
        return max(stages, key=lambda parts: sum(parts.values()))

    def stage_memory_bytes(self, sequences: float, requests_per_s: float = 0.0) -> list[dict[str, float]]:
        """Ledger of a rank of every pipeline stage when it runs so many sequences [bytes].

        Parameters
        ----------
        requests_per_s: what a replica serves, which decides how much idle KV waits beside them.
        """
        ledger = self.replicas.ledger
        mean = ledger.kv_bytes(np.array([self.mix.context]))
        spread = ledger.kv_bytes(np.array([self.mix.context + self.mix.context_deviation])) - mean
        kv = sequences * mean + normal_quantile(FULL) * np.sqrt(sequences) * spread
        idle = self.mix.idle_sequences(np.array([requests_per_s]), self.replicas.work.dp)[:, None] * mean
        return [
            {
                "weights_bytes": float(ledger.weights[0, stage]),
                "kv_bytes": float(kv[0, stage]),
                "idle_kv_bytes": float(idle[0, stage]),
                "activation_bytes": float(ledger.activations[0, stage]),
                "buffer_bytes": float(ledger.buffers[0, stage]),
                "reserve_bytes": float(ledger.reserve[0]),
                "capacity_bytes": float(ledger.capacity[0]),
            }
            for stage in range(self.setup.parallelism.pp)
        ]
