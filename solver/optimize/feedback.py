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
from solver.errors import BadInput, SolverDefect
from solver.optimize.arithmetic.run import Effort
from solver.optimize.assembly.alternatives import Forbidden
from solver.optimize.assembly.assemble import Staffed, assemble, busiest_link, hourly_usd, staff, with_bound
from solver.optimize.assembly.binding import binding
from solver.optimize.assembly.worth import memory_binding
from solver.optimize.layout.latency import latencies
from solver.optimize.layout.mapping import Mapping
from solver.optimize.layout.market import Offer, market, offer
from solver.optimize.layout.program import Market
from solver.optimize.layout.realise import Judge, realise, realised
from solver.optimize.layout.search import Layout, NoLayout
from solver.optimize.layout.simple import Floats, Order, order, simplest
from solver.optimize.layout.standing import Standing
from solver.plan import Plan
from solver.replica import Engine
from solver.space.profiles import Column
from topologies import Routes

#: Times that the fabric may correct the prices.
MOST_ROUNDS = 8
#: Share by which figures that are equal may differ.
EXACT = 1e-9
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
class _Source:
    """What a plan was chosen from: the market, the columns at the bandwidth at which they were priced, and the layout."""

    market: Market
    offer: Offer
    scale_out: dict[str, float]
    routes: Routes
    layout: Layout


@dataclass(frozen=True)
class Cheapest:
    """The cheapest plan, or why there is none.

    Attributes
    ----------
    offer: what the first round chose from. source: what the plan was chosen from.
    """

    result: Plan | NoLayout
    offer: Offer
    source: _Source | None = None

    @property
    def order(self) -> Order:
        """How simple the cheapest plan is."""
        assert self.source is not None
        return order(self.source.layout, self.source.market)


@dataclass(frozen=True)
class Simplest:
    """A plan and how simple it is."""

    order: Order
    plan: Plan


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

    def simple(self, found: Cheapest) -> Plan | None:
        """The simplest plan within the tolerance of the cheapest that was found; None where none was."""
        if not isinstance(found.result, Plan):
            return None
        return self.simplest(found, _cost(found.result) * (1 + self.instance.scenario.options.simplicity)).plan

    def least(self) -> Cheapest:
        """The cheapest plan of all rounds.

        Raises
        ------
        SolverDefect: the witness rejects a plan for another reason than the fabric.
        """
        whole, routes = replace(market(self.instance), standing=self.standing), self.instance.routes
        first = offer(self.instance, self.engine, whole, self.forbidden, effort=self.effort)
        best: tuple[Plan, _Source] | None = None
        reason, bound = "", 0.0
        rounds = deque([_Round(whole, {}, self.forbidden)])
        met = [rounds[0]]
        for _ in range(MOST_ROUNDS):
            if not rounds or (best and (self.effort.late or self._near(best[0], bound))):
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
            source = _Source(now.market, offered, now.scale_out, routes, found[0])
            plan = self._plan(source, found, pools)
            if now.market.needs == whole.needs and now.forbidden == self.forbidden:
                bound = max(bound, plan.objective.bound)
            less, full = _less(self.instance, pools, now.scale_out), _overfull(plan)
            reason = full or reason
            broken = violations(plan, self.instance, sure=False)
            if not broken:
                best = (plan, source) if best is None or _cost(plan) < _cost(best[0]) else best
            elif not less and not full:
                raise SolverDefect(f"the witness rejects the plan: {'; '.join(broken[:3])}")
            corrected = now.scale_out | less
            following = [replace(now, scale_out=corrected)]
            if full:
                following += [
                    replace(now, scale_out=corrected, forbidden=now.forbidden | _widest(plan)),
                    # Which pools hand over does not matter to those that do not: one such round is enough.
                    _Round(_without_handover(now.market), corrected, self.forbidden),
                ]
            for each in following:
                if each not in met:
                    met.append(each)
                    rounds.append(each)
        if best is not None:
            return Cheapest(with_bound(best[0], bound), first, best[1])
        if isinstance(found, NoLayout):
            undecided = replace(found, proven=found.proven and not first.unpriced and first.beyond is None and len(met) == 1)
            return Cheapest(replace(undecided, because=reason) if reason else undecided, first)
        return Cheapest(NoLayout(proven=False, because=reason or NOT_SETTLED), first)

    def simplest(self, found: Cheapest, most: float) -> Simplest:
        """The simplest plan that costs at most so much per million output tokens; the one that was found where no other
        was in time, none settles on the fabric as it was priced, or replicas that run already decide.

        Parameters
        ----------
        found: a plan within that cost.
        """
        plan, source = found.result, found.source
        assert isinstance(plan, Plan)
        assert source is not None
        known = Simplest(found.order, plan)
        if self.standing or self.effort.late:
            return known
        dearer = most / _cost(plan) if _cost(plan) else 1.0
        throughput = source.market.objective == "throughput"
        limit = source.layout.value / dearer if throughput else plan.objective.usd_per_hour * dearer

        def latency(columns: Sequence[Column]) -> Floats:
            return latencies(self.instance, self.engine, source.market, source.scale_out, columns)

        def solve(wider: Market, columns: Sequence[Column], effort: Effort, _: Layout | None) -> Layout | NoLayout:
            return simplest(wider, columns, source.layout, limit, latency, effort) or NoLayout(proven=False)

        offered, judge = source.offer, self._judge(source.offer, source.routes)
        other = realised(offered.within(source.market), offered.columns, judge, self.effort, solve)
        if isinstance(other, NoLayout) or _same(other[0], source.layout):
            return known
        pools = staff(self.instance, offered, source.routes, *other)
        simple = with_bound(self._plan(replace(source, layout=other[0]), other, pools), plan.objective.bound)
        if _cost(simple) > most * (1 + EXACT) or violations(simple, self.instance):
            return known
        if self.instance.is_cautious and simple.prediction.confidence < self.instance.confidence:
            return known
        return min(Simplest(order(other[0], source.market), simple), known, key=lambda each: (each.order, _cost(each.plan)))

    def _near(self, plan: Plan, bound: float) -> bool:
        """Whether a plan is as near to the bound as the user asks for."""
        return _cost(plan) * (1 - self.instance.scenario.options.gap) <= bound

    def _plan(self, source: _Source, found: tuple[Layout, Mapping], pools: Sequence[Staffed]) -> Plan:
        """The plan with what binds, in the tiers where its idle KV waits too."""
        offered = source.offer
        try:
            plan = assemble(self.instance, offered, source.routes, found[0], pools, self.effort.seed)
        except BadInput as error:
            raise SolverDefect(f"the plan that was found cannot be written: {error}") from error
        binds = binding(self.instance, plan, {p.name: p.exchange for p in pools})
        if plan.kv_tiers:
            room = memory_binding(plan, found[0], offered.within(source.market), offered.columns, self.effort)
            binds = (*binds, *room)
        return plan.model_copy(update={"binding": binds})

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


def _same(one: Layout, other: Layout) -> bool:
    """Whether two layouts have the same pools."""
    return {(p.column, p.replicas) for p in one.pools} == {(p.column, p.replicas) for p in other.pools}


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
