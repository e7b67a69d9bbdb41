"""What a run is worth to a decision: the fall of expected regret between a plan and its rivals, from the same draws.

In every draw each plan costs its rent over what it serves within the promises; the regret of a plan is what it costs more
than the cheapest, and who chooses takes the plan with the least on average. A run of a replica shows how much longer it takes
than predicted: draws in which it shows the same are told apart by none, so all draws are moved to what it shows by the
covariance of replicas with it (Matheron's rule), and the choice is made anew. What the least expected regret falls by, on
average over what the run may show, is what it is worth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from solver.check.evidence import Evidence
from solver.cost.cases import OUTPUTS
from solver.cost.instance import Instance
from solver.cost.network.contention import Exchange
from solver.cost.pool.draws import DrawnGroup, worlds
from solver.cost.surprises import DRAWS, case, packaged_spreads
from solver.plan import Plan, Pool
from solver.plan.schema import Odds, Placed
from solver.replica import Setup

Floats = NDArray[np.float64]

#: What a run may show: so many of the draws, evenly over their order.
SHOWN = 8
_TPOT = OUTPUTS.index("tpot")


class Sketch(Evidence):
    """A plan whose replicas have no devices of their own yet: exchanges at what a NIC gives."""

    @cached_property
    def exchanges(self) -> dict[str, Exchange | None]:
        """Nothing else loads the fabric."""
        return dict.fromkeys(pool.name for pool in self.plan.pools)


def rivals(plan: Plan, instance: Instance) -> list[Evidence]:
    """The plan, and the structurally different ones that it names, each ready to be priced."""
    found: list[Evidence] = [Evidence(plan, instance)]
    for other in plan.alternatives:
        shares: dict[str, dict[str, dict[str, float]]] = {}
        for pool in other.pools:
            alike = [p for p in other.pools if (p.role, p.serves) == (pool.role, pool.serves)]
            whole = sum(p.capacity_requests_per_s_per_replica * p.replicas for p in alike)
            part = pool.capacity_requests_per_s_per_replica * pool.replicas / whole
            for name in pool.serves:
                shares.setdefault(name, {}).setdefault(pool.role, {})[pool.name] = part
        cost = other.usd_per_million_output_tokens
        objective = plan.objective.model_copy(
            update={"usd_per_million_output_tokens": cost, "usd_per_hour": other.usd_per_hour}
        )
        changed = {"pools": other.pools, "placement": _somewhere(other.pools, instance), "objective": objective}
        found.append(Sketch(plan.model_copy(update={**changed, "kv_tiers": (), "routing": shares}), instance))
    return found


def _somewhere(pools: Sequence[Pool], instance: Instance) -> tuple[Placed, ...]:
    """The first replica of every pool on the first devices of its kind, for what starts one by itself."""
    placed = []
    for pool in pools:
        fleet = instance.fleet(pool.device)
        devices = [device for group in fleet.classes for domain in group.domains for device in domain.devices]
        size = pool.parallelism.shape().ranks_per_stage
        placed += [
            Placed(pool=pool.name, replica=0, rank=n % size, stage=n // size, device=device)
            for n, device in enumerate(devices[: pool.parallelism.shape().devices])
        ]
    return tuple(placed)


@dataclass(frozen=True)
class Decision:
    """A plan and its rivals under the same draws.

    Attributes
    ----------
    known: of each plan. groups: its pools as drawn.
    """

    known: Sequence[Evidence]
    groups: Sequence[Sequence[DrawnGroup]]

    @classmethod
    def of(cls, known: Sequence[Evidence]) -> Decision:
        """Between some plans."""
        return cls(known, [each.drawn_groups for each in known])

    @cached_property
    def regret(self) -> float:
        """What the best choice is expected to cost more than the cheapest plan would, as a share of the plan's cost."""
        return self._least(self.costs)

    @cached_property
    def costs(self) -> Floats:
        """USD per million output tokens within the promises, of each plan in every draw (N, DRAWS)."""
        return self._costs(self.groups)

    @property
    def odds(self) -> list[Odds]:
        """How good a choice each plan is."""
        found = odds(self.costs, self.known[0].plan.objective.usd_per_million_output_tokens)
        return [Odds(best=best, regret=regret) for best, regret in found]

    def fall(self, device: str, setup: Setup) -> float:
        """What a run of a replica by itself lets the expected regret fall by, as a share of the plan's cost."""
        if len(self.known) < 2:
            return 0.0
        instance = self.known[0].instance
        replica = case(setup, instance.llm, instance.devices[device])
        noise = float(packaged_spreads().noise_of([replica], _TPOT)[0])
        seen = instance.surprises(device, [setup], ("tpot",), noisy=False)[0, 0]
        shown = seen + noise * np.roll(np.random.default_rng(0).permutation(_even(DRAWS)), 1)
        outcomes = np.sort(shown)[np.linspace(0, DRAWS - 1, SHOWN + 2).astype(int)[1:-1]]

        def moved(outcome: float) -> list[list[DrawnGroup]]:
            found = []
            for evidence, groups in zip(self.known, self.groups, strict=True):
                pools = {pool.name: pool for pool in evidence.plan.pools}
                changed = []
                for group, names in zip(groups, evidence.drawn_names, strict=True):
                    members = []
                    for drawn, name in zip(group.pools, names, strict=True):
                        there = instance.surprises(pools[name].device, [pools[name].setup()], ("tpot",), noisy=False)[0, 0]
                        gain = np.cov(there, seen)[0, 1] / (seen.var() + noise**2)
                        step = np.zeros_like(drawn.surprises)
                        step[0] = gain * (outcome - shown)
                        members.append(drawn.surprising(drawn.surprises + step))
                    changed.append(replace(group, pools=members))
                found.append(changed)
            return found

        left = float(np.mean([self._least(self._costs(moved(float(outcome)))) for outcome in outcomes]))
        return max(self.regret - left, 0.0)

    def _costs(self, groups: Sequence[Sequence[DrawnGroup]]) -> Floats:
        """USD per million output tokens within the promises, of each plan in every draw (N, DRAWS)."""
        usd = [each.plan.objective.usd_per_million_output_tokens for each in self.known]
        return np.stack([cost / worlds(of).served for cost, of in zip(usd, groups, strict=True)])

    def _least(self, costs: Floats) -> float:
        expected = float(costs.mean(axis=1).min() - costs.min(axis=0).mean())
        return expected / self.known[0].plan.objective.usd_per_million_output_tokens


def odds(costs: Floats, usual: float) -> list[tuple[float, float]]:
    """For each plan the share of the draws in which it is the cheapest, equals dividing them, and its expected regret.

    Parameters
    ----------
    costs: of each plan in every draw (N, DRAWS). usual: cost that regret is a share of.

    >>> odds(np.array([[1.0, 4.0], [2.0, 2.0], [3.0, 5.0]]), 1.0)
    [(0.5, 1.0), (0.5, 0.5), (0.0, 2.5)]
    """
    least = costs.min(axis=0)
    cheapest = costs == least
    best = (cheapest / cheapest.sum(axis=0)).mean(axis=1)
    regret = (costs - least).mean(axis=1) / usual if usual else np.zeros(len(costs))
    return list(zip(best.tolist(), regret.tolist(), strict=True))


def _even(count: int) -> Floats:
    """Standard normal numbers at even quantiles."""
    return np.array([NormalDist().inv_cdf((n + 0.5) / count) for n in range(count)])
