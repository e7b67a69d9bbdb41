"""One pool, described as a plan describes it, and priced by the same physics as the whole space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.network.fleet import Fleet
from solver.cost.pool.mix import Mix
from solver.cost.pool.most import MOST_UTILISATION, PricedRows, fullest
from solver.cost.pool.operating_point import REACHED, Bracket, best_load, reaching, smallest
from solver.cost.pool.promise import Promise
from solver.cost.pool.queueing import FULL, normal_quantile
from solver.cost.pool.serving import Service, Stretch, room_of_sequence, sequences_that_fit
from solver.cost.steps.replicas import NetworkShare, Replicas
from solver.cost.steps.step import Load
from solver.llm import LLM
from solver.replica import Setup

Floats = NDArray[np.float64]

#: The smallest load of a rank that is asked about.
LEAST_LOAD = np.array([1e-6])
#: How far below the heaviest load a table of loads ends, as a share.
NEAREST = 2e-4
#: How closely a rate that is asked for is met.
EXACT = 1e-9


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

    def most(self, promise: Promise, stretch: Stretch | None = None) -> Service:
        """The load that serves the most within a promise; parameters as :func:`fullest` has them."""
        return fullest(
            self.setup.role,
            self.replicas,
            np.array([float(self.count)]),
            self.mix,
            promise,
            np.array([self.limit]),
            float(self.setup.prompts_per_step),
            stretch,
        ).service

    @property
    def at_work(self) -> PricedRows:
        """The pool, ready to be asked for any load."""
        count, prompts = np.array([float(self.count)]), np.array([float(self.setup.prompts_per_step)])
        return PricedRows(self.setup.role, self.replicas, count, self.mix, prompts)

    def at(self, requests_per_s: float) -> Service:
        """The lightest operating point at which each replica serves so many requests per second; the fullest if it cannot."""
        pools, top = self.at_work, self._most_load(self.limit)
        most = pools.requests_per_s(np.zeros(1, np.intp), top)[0]
        if self.setup.role != "prefill" and most < requests_per_s * (1 - REACHED):
            # Of two peaks that are nearly as high the other may be the higher one.
            other = reaching(pools.requests_per_s, max(float(self.limit), 1.0), requests_per_s)
            top = top if other is None else np.array([other * (1 + EXACT)])
        return self._service(smallest(pools.requests_per_s, np.array([requests_per_s]), LEAST_LOAD, top, EXACT))

    def at_batch(self, batch: float) -> Service:
        """The operating point with so many running sequences per rank (prefill: share of the time busy)."""
        return self._service(np.array([batch]))

    def at_loads(self, loads: Sequence[float]) -> Service:
        """As :meth:`at_batch` for several loads, a row each."""
        return self._alike(len(loads)).at(np.arange(len(loads)), np.asarray(loads, float))

    def _alike(self, count: int) -> PricedRows:
        """The pool so many times over."""
        pools, rows = self.at_work, np.zeros(count, np.intp)
        return PricedRows(
            self.setup.role, self.replicas.rows(rows), pools.replicas[rows], self.mix, pools.prompts_per_step[rows]
        )

    def over_loads(self, sequences: float, span: float, count: int) -> tuple[Floats, Service]:
        """Operating points up to the most that a replica serves, and their growing requests/s (L,).

        Parameters
        ----------
        sequences: that a rank is allowed to run.
        span: the heaviest load over the lightest. count: points, ever closer to either end, since waits grow without bound
            at the upper one.
        """
        most, several = self._most_load(sequences)[0], self._alike(count)
        light = np.geomspace(1 / span, 0.5, count // 2, endpoint=False)
        heavy = 1 - np.geomspace(0.5, NEAREST, count - count // 2)
        service = several.at(np.arange(count), most * np.concatenate([light, heavy]))
        return np.maximum.accumulate(service.requests_per_s) * (1 + 1e-9 * np.arange(count)), service

    def _most_load(self, sequences: float) -> Floats:
        """The load from which on a rank that may run so many sequences serves no more requests/s."""
        if self.setup.role == "prefill":
            return np.array([MOST_UTILISATION])
        top = np.array([max(float(sequences), 1.0)])
        return best_load(self.at_work.requests_per_s, Bracket(top, top)).load

    def _service(self, load: Floats) -> Service:
        return self.at_work.at(np.zeros(1, np.intp), load)

    def parts_s(self, service: Service, row: int = 0) -> tuple[float, float, float, float]:
        """Compute, memory, network and overhead of the mean step at an operating point, each alone [s].

        The step is the service's: of a prefill rank with as many prompts as it takes on average, of a decode rank for one
        token, which is part of a step where drafts are accepted.
        """
        here = slice(row, row + 1)
        if service.step_tokens is not None:
            tokens = service.step_tokens[here]
            keys = self.mix.mean(self.mix.cached + self.mix.prompt / 2)
            load = Load.of(prefill=tokens, prefill_keys=keys, others=tokens * service.utilisation[here])
        else:
            batch = np.maximum(service.batch[here], 1.0) / self.setup.parallelism.pp
            load = Load.of(decode=batch, context=self.mix.context, queries=1 + self.replicas.draft_tokens)
        compute, memory, network, overhead = (
            float(part[0] / self.replicas.accepted[0]) for part in self.replicas.step(load).parts_s()
        )
        return compute, memory, network, overhead

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
        mean, spread = room_of_sequence(self.replicas, self.mix)
        kv = sequences * mean + normal_quantile(FULL) * np.sqrt(sequences) * spread
        idle = self.mix.idle_sequences(np.array([requests_per_s]), self.replicas.work.dp)[:, None]
        idle = idle * ledger.kv_bytes(np.array([self.mix.context]))
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
