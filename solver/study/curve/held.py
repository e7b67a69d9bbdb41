"""One layout held while its batch or its context varies: latency, cost and what both are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.cost.pool.mix import Mix
from solver.cost.pool.priced import PricedPool
from solver.cost.pool.serving import Service, sequences_that_fit
from solver.cost.pool.waterfall import waterfall
from solver.errors import BadInput
from solver.plan import Plan, Pool
from solver.study.curve.points import CostPoint, lecture_serving
from solver.workload import RequestClass
from solver.workload.measures import TPOT_P50
from topologies.units import show_seconds

#: The shortest context that is looked at [tokens].
SHORTEST = 256


@dataclass(frozen=True)
class HeldPool:
    """The pool of a plan that decodes with the most devices, asked what it would do elsewhere.

    Costs are of its own devices. A batch is that of a whole replica.
    """

    plan: Plan
    instance: Instance

    @cached_property
    def pool(self) -> Pool:
        """The pool."""
        return max((pool for pool in self.plan.pools if pool.role != "prefill"), key=lambda pool: pool.devices)

    @cached_property
    def priced(self) -> PricedPool:
        """The pool under the physics that planned it."""
        return Evidence(self.plan, self.instance).priced[self.pool.name]

    @property
    def planned_batch(self) -> float:
        """The batch that the plan runs."""
        return self.pool.batch_per_rank * self.pool.parallelism.dp

    def batches(self, points: int) -> list[float]:
        """Batches from one sequence a rank up to what the HBM holds, evenly in logarithms."""
        ranks = self.pool.parallelism.dp
        most = float(sequences_that_fit(self.priced.replicas, self.priced.mix)[0])
        return [float(batch) for batch in np.geomspace(ranks, max(most, 2.0) * ranks, points)]

    def contexts(self, points: int) -> list[float]:
        """Contexts up to the longest that the LLM was released for."""
        return [float(tokens) for tokens in np.geomspace(SHORTEST, self.instance.llm.max_context, points)]

    def at_context(self, context: float) -> HeldPool:
        """The same pool where each sequence attends to so many tokens in the mean.

        Raises
        ------
        BadInput: a context that the output alone is longer than, or that the LLM was not released for.
        """
        output = self.priced.mix.mean_output
        if not output / 2 < context <= self.instance.llm.max_context:
            raise BadInput(
                f"curve: a mean context of {context:,.0f} tokens must lie above {output / 2:,.0f} (half the output) and "
                f"within {self.instance.llm.max_context:,}"
            )
        request = RequestClass(
            "held", prompt_tokens=max(round(context - output / 2), 1), output_tokens=round(output), requests_per_s=1.0
        )
        found = HeldPool(self.plan, self.instance)
        found.__dict__["priced"] = replace(self.priced, mix=Mix.of([request]))
        return found

    def most(self) -> float:
        """Sequences of a replica for which there is room."""
        return float(sequences_that_fit(self.priced.replicas, self.priced.mix)[0]) * self.pool.parallelism.dp

    def point(self, at: float, batch: float) -> CostPoint:
        """The pool at a batch; without a cost where the HBM does not hold it."""
        if batch > self.most() * (1 + 1e-9):
            return CostPoint(at, because=f"the HBM holds {self.most():,.0f} sequences of this context, not {batch:,.0f}")
        service = self.priced.at_batch(batch / self.pool.parallelism.dp)
        device = self.instance.fleet(self.pool.device).device
        mix, devices = self.priced.mix, self.pool.parallelism.shape().devices
        usd_per_device_s = self.instance.usd_per_hour(self.pool.device) / 3600 / mix.mean_output * 1e6
        fall = waterfall(self.priced, service, device)
        lecture = lecture_serving(self.instance, self.pool.device, devices, float(mix.context))
        causes = {cause: seconds * usd_per_device_s for cause, seconds in fall.device_s.items()}
        each = lecture.step_s(batch) * devices / batch * mix.mean_output
        tpot = float(service.latency(TPOT_P50)[0].max())
        return CostPoint(
            at=at,
            usd=sum(causes.values()),
            floor=causes["arithmetic"],
            lecture=each * usd_per_device_s if self.pool.role == "decode" else None,
            causes=causes,
            layout=f"{self.pool.parallelism.shape()} {self.pool.device} batch {batch:,.0f} step {_shown(service)}",
            figures={
                "batch": batch,
                "context": float(mix.context),
                "step_s": float(service.step_s[0]),
                "lecture_step_s": lecture.step_s(batch),
                "tpot_s": tpot,
                "tokens_per_s": 1 / tpot,
                **{f"step_{cause.replace(' ', '_')}_s": part for cause, part in fall.step_s.items()},
            },
        )

    def over_batch(self, values: Sequence[float]) -> list[CostPoint]:
        """Points at batches."""
        return [self.point(batch, batch) for batch in values]

    def over_context(self, values: Sequence[float]) -> list[CostPoint]:
        """Points at contexts, each at the planned batch or what the HBM holds of it."""
        found = []
        for context in values:
            there = self.at_context(context)
            most = there.most()
            if most < self.pool.parallelism.dp:
                found.append(CostPoint(context, because=f"the HBM holds {most:.2g} sequences of this context"))
                continue
            found.append(there.point(context, min(self.planned_batch, most)))
        return found

    def map(self, batches: Sequence[float], contexts: Sequence[float]) -> dict[float, list[CostPoint]]:
        """Rows of points over batches by context."""
        return {
            context: [there.point(batch, batch) for batch in batches]
            for context in contexts
            for there in [self.at_context(context)]
        }


def _shown(service: Service) -> str:
    return show_seconds(float(service.step_s[0]))
