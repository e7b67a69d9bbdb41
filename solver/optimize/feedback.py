"""Link loads feed back: solve, route, and where the fabric gives less than was priced, solve again at what it gives.

The first round prices every exchange at the NIC's bandwidth. Where a spine, a shared NIC or other replicas leave a pool
less, the next round prices all pools of that device at the least that any of them got, so that other shapes become
worth while. Where KV caches fill a link, further rounds serve without handing them over, and without the widest replicas,
since smaller ones of both roles fit below one leaf. Every round's plan is priced
at what its own placement gets, and the best of them is taken. The twin that bounds them prices at the NIC's bandwidth
throughout, so the bound of a round that forbids no mode holds for all.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace

from solver.check import violations
from solver.cost.instance import Instance
from solver.cost.network.contention import ROUNDING
from solver.errors import SolverDefect
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.alternatives import Forbidden
from solver.optimize.assembly.assemble import Staffed, assemble, busiest_link, hourly_usd, staff, with_bound
from solver.optimize.assembly.binding import binding
from solver.optimize.assembly.worth import memory_binding
from solver.optimize.layout.mapping import Mapping
from solver.optimize.layout.market import Offer, market, offer
from solver.optimize.layout.program import Market
from solver.optimize.layout.realise import Judge, realise
from solver.optimize.layout.search import Layout, NoLayout
from solver.optimize.layout.standing import Standing
from solver.plan import Plan
from solver.replica import Engine
from topologies import Routes

#: Times that the fabric may correct the prices.
MOST_ROUNDS = 6
#: Share of a link that the mean loads may fill.
BUDGET = 1.0
NOT_SETTLED = (
    f"No plan was found that keeps its promises at the rates that the fabric leaves to it, in {MOST_ROUNDS} corrections "
    "of the prices. Allow more devices, looser promises, or faster links."
)


@dataclass(frozen=True)
class _Round:
    """What is solved next: who may be served how, the bandwidth at which devices of a kind are priced, and the shapes that a
    role must not have."""

    market: Market
    scale_out: dict[str, float]
    forbidden: Forbidden


@dataclass(frozen=True)
class Search:
    """A search for the best plan of one engine.

    Attributes
    ----------
    forbidden: shapes that a role must not have.
    standing: replicas that run already.
    """

    instance: Instance
    engine: Engine
    effort: Effort
    forbidden: Forbidden = frozenset()
    standing: tuple[Standing, ...] = ()

    def best(self) -> tuple[Plan | NoLayout, Offer]:
        """The best plan of all rounds, and what the first round chose from.

        Raises
        ------
        SolverDefect: the witness rejects a plan for another reason than the fabric.
        """
        whole, routes = replace(market(self.instance), standing=self.standing), Routes(self.instance.cluster)
        first = offer(self.instance, self.engine, whole, self.forbidden, effort=self.effort)
        best: Plan | None = None
        reason, bound = "", 0.0
        rounds = deque([_Round(whole, {}, self.forbidden)])
        met = [rounds[0]]
        for _ in range(MOST_ROUNDS):
            if not rounds or (best and (self.effort.late or self._near(best, bound))):
                break
            now = rounds.popleft()
            offered = first
            if now != met[0]:
                offered = offer(
                    self.instance, self.engine, now.market, now.forbidden, now.scale_out, self.effort
                )
            found = realise(offered.within(now.market), offered.columns, self._judge(offered, routes), self.effort)
            if isinstance(found, NoLayout):
                continue
            pools = staff(self.instance, offered, routes, *found)
            plan = self._plan(offered, routes, found, pools)
            plan = self._with_memory(plan, now.market, offered, found[0])
            if now.market.needs == whole.needs and now.forbidden == self.forbidden:
                bound = max(bound, plan.objective.bound)
            less, full = _less(self.instance, pools, now.scale_out), _overfull(plan)
            reason = full or reason
            broken = violations(plan, self.instance)
            if not broken:
                best = plan if best is None else min(best, plan, key=_cost)
            elif not less and not full:
                raise SolverDefect(f"the witness rejects the plan: {'; '.join(broken[:3])}")
            corrected = now.scale_out | less
            following = [replace(now, scale_out=corrected)]
            if full:
                following += [
                    replace(now, scale_out=corrected, forbidden=now.forbidden | _widest(plan)),
                    replace(now, scale_out=corrected, market=_without_handover(now.market)),
                ]
            for each in following:
                if each not in met:
                    met.append(each)
                    rounds.append(each)
        if best is not None:
            return with_bound(best, bound), first
        if isinstance(found, NoLayout):
            undecided = replace(found, proven=found.proven and not first.unpriced and first.beyond is None and len(met) == 1)
            return replace(undecided, because=reason) if reason else undecided, first
        return NoLayout(proven=False, because=reason or NOT_SETTLED), first

    def _near(self, plan: Plan, bound: float) -> bool:
        """Whether a plan is as near to the bound as the user asks for."""
        return _cost(plan) * (1 - self.instance.scenario.options.gap) <= bound

    def _plan(self, offered: Offer, routes: Routes, found: tuple[Layout, Mapping], pools: Sequence[Staffed]) -> Plan:
        plan = assemble(self.instance, offered, routes, *found, self.effort.seed)
        return plan.model_copy(update={"binding": binding(self.instance, plan, {p.name: p.exchange for p in pools})})

    def _with_memory(self, plan: Plan, whole: Market, offered: Offer, layout: Layout) -> Plan:
        """The plan with what binds in the tiers where its idle KV waits."""
        if not plan.kv_tiers:
            return plan
        found = memory_binding(plan, layout, offered.within(whole), offered.columns, self.effort)
        return plan.model_copy(update={"binding": (*plan.binding, *found)})

    def _judge(self, offered: Offer, routes: Routes) -> Judge:
        return Judge(
            usd_per_hour=self._usd,
            busiest=lambda layout, mapping: busiest_link(self.instance, offered, routes, layout, mapping),
            gap=self.instance.scenario.options.gap,
        )

    def _usd(self, mapping: Mapping) -> float:
        used = [device for pool in mapping.devices for replica in pool for device in replica]
        return hourly_usd(self.instance, used)


def _cost(plan: Plan) -> float:
    return plan.objective.usd_per_million_output_tokens


def _less(instance: Instance, pools: Sequence[Staffed], priced: dict[str, float]) -> dict[str, float]:
    """Devices whose pools get less of the fabric than they were priced at, and the least that one gets [B/s]."""
    found: dict[str, float] = {}
    for pool in pools:
        name = pool.chosen.column.footprint.device
        before = priced.get(name, instance.fleet(name).device.scale_out_bytes_per_s)
        if pool.exchange is not None and pool.exchange.bytes_per_s < before * (1 - ROUNDING):
            found[name] = min(found.get(name, before), pool.exchange.bytes_per_s)
    return found


def _overfull(plan: Plan) -> str:
    """The link that is filled most beyond its budget, in words; empty where none is."""
    fullest = max(plan.links, key=lambda link: link.utilisation, default=None)
    if fullest is None or fullest.utilisation <= BUDGET:
        return ""
    return (
        f"No plan was found whose traffic the network carries: the link from {fullest.source} to {fullest.target} would be "
        f"{fullest.utilisation:.0%} full. Allow unified pools, fewer requests/s, or faster links."
    )


def _widest(plan: Plan) -> Forbidden:
    """The shape of the replicas with most devices, among those that hand over where there are any."""
    pools = [pool for pool in plan.pools if pool.role != "unified"] or plan.pools
    widest = max(pools, key=lambda pool: pool.parallelism.shape().devices)
    return frozenset({(widest.role, widest.parallelism.shape())})


def _without_handover(whole: Market) -> Market:
    """The market in which promises that may be served by unified pools are."""
    return replace(whole, needs=tuple(replace(n, disaggregated=n.disaggregated and not n.unified) for n in whole.needs))
