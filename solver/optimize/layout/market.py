"""From a scenario to what the program is about: what can be rented, what is asked for, and every column that could serve it."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product

import numpy as np

from solver.cost.instance import Instance, PromiseGroup
from solver.cost.network.contention import slowed
from solver.cost.pool.promise import Promise
from solver.engines import EngineRules, engine_rules
from solver.experts.recorded import balance_of
from solver.optimize.arithmetic.run import Deadline, Effort
from solver.optimize.layout.failing import failures
from solver.optimize.layout.kv_tiers import keepings
from solver.optimize.layout.kv_tiers.places import places
from solver.optimize.layout.pricing import Shelf, worthwhile
from solver.optimize.layout.program import HostKind, Market, Need, Supply
from solver.replica import ROLES, Engine, Parallelism, Role
from solver.space.candidates import Candidates, Startable, candidates, context_degrees, startable, with_limits
from solver.space.certainty import certain
from solver.space.handover import Handover, handover
from solver.space.profiles import Column, cells_of
from solver.space.shapes import ReplicaShape, shapes
from solver.workload import Constraints, Scenario

#: Divisions of an end-to-end promise between the first token and the rest that are tried.
SPLITS = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7)
#: Share of the time after which no further way to keep idle KV is priced.
SHARE_FOR_PRICES = 0.5


@dataclass(frozen=True)
class Offer:
    """All columns of one version of an engine.

    Attributes
    ----------
    dropped: candidates that cannot be used, by role and reason.
    extrapolated: why predictions should be trusted less, by kind of device; for all under ``""``.
    handovers: which replicas may feed which.
    unpriced: ways to keep idle KV for which there was no time.
    beyond: what no layout beats with columns that are not here; None where none of those is better.
    known: columns of a layout that was found while they were priced.
    """

    rules: EngineRules
    columns: tuple[Column, ...]
    handovers: Handover
    dropped: dict[Role, Counter[str]]
    priced: int
    extrapolated: Mapping[str, tuple[str, ...]]
    unpriced: int = 0
    beyond: float | None = None
    known: tuple[Column, ...] = ()

    def doubts(self, devices: Iterable[str]) -> list[str]:
        """Why predictions for some kinds of devices should be trusted less."""
        return list(chain.from_iterable(self.extrapolated.get(name, ()) for name in ("", *devices)))

    @property
    def engine(self) -> Engine:
        """The engine."""
        return self.rules.name

    def within(self, whole: Market) -> Market:
        """The market in which pools hand over as this engine can, with what is known of these columns and beyond them."""
        connections = whole.connections if self.handovers.free else self.handovers.connections
        return replace(whole, connections=connections, beyond=self.beyond, known=self.known)


def market(instance: Instance) -> Market:
    """What can be rented and what is asked for."""
    scenario = instance.scenario
    supplies = [
        Supply(index, domain_class, instance.usd_per_hour(domain_class.device))
        for index, domain_class in enumerate(c for fleet in instance.fleets for c in fleet.classes)
    ]
    needs = tuple(_need(group, scenario) for group in instance.groups)
    tiers = places(instance, tuple(supply.domain_class for supply in supplies))
    ways = [
        keepings(instance, group, tuple(_roles(need)), tiers)
        for group, need in zip(instance.groups, needs, strict=True)
    ]
    return Market(
        supplies=tuple(supplies),
        needs=needs,
        objective=scenario.objective,
        billing=scenario.billing,
        owned=scenario.owned,
        max_pools=scenario.options.max_pools,
        max_devices=scenario.constraints.max_devices,
        failures=tuple(
            failures(supplies, scenario.options.survive_domain_failures, scenario.options.survive_host_failures)
        ),
        pins=tuple(pool.replicas for pool in scenario.constraints.pools),
        keepings=tuple(chain.from_iterable(ways)),
        places=tiers,
        simplicity=scenario.options.simplicity,
        host_kinds=_host_kinds(instance, supplies) if scenario.billing == "host" else (),
    )


def _host_kinds(instance: Instance, supplies: Sequence[Supply]) -> tuple[HostKind, ...]:
    """The hosts by what they cost and whose parts they hold; nothing where each supply has its own, all alike."""
    parts: dict[str, Counter[int]] = defaultdict(Counter)
    for supply in supplies:
        for domain in supply.domain_class.domains:
            for host in domain.host_names:
                parts[host][supply.index] += 1
    devices: dict[str, Counter[str]] = defaultdict(Counter)
    for _, data in instance.cluster.nodes(data=True):
        if data["kind"] == "device" and data["host"] in parts:
            devices[data["host"]][data["device"]] += 1
    prices = {name: instance.usd_per_hour(name) for held in devices.values() for name in held}
    usd = {host: sum(prices[name] * count for name, count in sorted(held.items())) for host, held in devices.items()}
    alike = Counter((usd[host], tuple(sorted(held.items()))) for host, held in parts.items())
    whole = any(sum(count for _, count in held) > 1 for _, held in alike) or len(alike) > len(supplies)
    return tuple(HostKind(count, price, held) for (price, held), count in sorted(alike.items())) if whole else ()


def _need(group: PromiseGroup, scenario: Scenario) -> Need:
    roles = set(scenario.constraints.roles or ("prefill", "decode", "unified"))
    wanted = scenario.options.disaggregate
    return Need(
        group.requests_per_s,
        unified="unified" in roles and wanted is not True,
        disaggregated={"prefill", "decode"} <= roles and wanted is not False,
    )


def offer(
    instance: Instance,
    engine: Engine,
    whole: Market,
    forbidden: frozenset[tuple[Role, Parallelism]] = frozenset(),
    scale_out: Mapping[str, float] | None = None,
    effort: Effort | None = None,
) -> Offer:
    """Every column with which an engine could serve, for each promise, role, way to keep KV and kind of device.

    Parameters
    ----------
    forbidden: shapes that a role must not have.
    scale_out: bandwidth at which devices of a kind are priced, where the fabric leaves them less than their NIC's.
    effort: of the search for a first layout; with most of its time spent, further ways to keep idle KV are left out.
    """
    effort = replace(effort or Effort(), progress=None).started()
    clock = effort.clock or Deadline()
    shelves: dict[int | None, list[Shelf]] = defaultdict(list)
    dropped: dict[Role, Counter[str]] = {}
    rules, balance = engine_rules(engine, instance.scenario.engine_version), balance_of(instance)
    handovers = _handovers(instance, rules)
    constraints = instance.scenario.constraints
    extrapolated, priced, unpriced = {"": tuple(instance.llm.notes)}, 0, 0
    for fleet in (slowed(fleet, (scale_out or {}).get(fleet.device.name)) for fleet in instance.fleets):
        calibration, doubt = instance.calibration(engine, fleet.device.name)
        doubts = [doubt] if doubt else []
        if balance is not None:
            doubts.append(
                "experts are priced by the recorded loads and their placement, not by the imbalance of "
                f"{calibration.imbalance:.2f} with which the calibration was fitted"
            )
        extrapolated[fleet.device.name] = tuple(doubts)
        started: dict[Role, Startable] = {}
        for group, role, way, served in _served(instance, whole):
            if way is not None and clock.spent(SHARE_FOR_PRICES):
                unpriced += 1
                continue
            if role not in started:
                drafting = {drafts: instance.accepted(drafts, role) for drafts in instance.drafts(role)}
                if role == "prefill" and 0 in drafting and not _both_sides_draft(rules):
                    drafting = {0: drafting[0]}
                started[role] = startable(
                    instance.llm, fleet, rules, role, constraints, drafting, balance, handovers,
                    instance.scenario.options.memory_fraction,
                )  # fmt: skip
                dropped.setdefault(role, Counter()).update(started[role].dropped)
            legal, reasons = candidates(started[role], calibration, served.mix, constraints, instance.longest)
            if way is None:
                dropped[role].update(reasons)
            if legal is not None and forbidden:
                allowed = np.array([(role, row.setup.parallelism) not in forbidden for row in legal.rows], bool)
                legal = legal.keep(allowed) if allowed.any() else None
            if legal is None:
                continue
            legal = certain(legal, instance)
            priced += len(legal)
            for split, promise in promises(group, role):
                shelves[way] += _shelves(legal, served, promise, split, constraints, way)
    ordered = [shelf for way in (None, *range(len(whole.keepings))) for shelf in shelves[way]]
    found = worthwhile(
        whole if handovers.free else replace(whole, connections=handovers.connections), ordered, effort
    )
    return Offer(
        rules, found.columns, handovers, dropped, priced, extrapolated, unpriced, found.beyond, found.known
    )


def _both_sides_draft(rules: EngineRules) -> bool:
    """Whether a connector asks of prefill replicas, which need no drafts themselves, that they draft as decode ones do."""
    return any("p.draft_tokens" in rule.when.names for connector in rules.connectors for rule in connector.pairs)


def _handovers(instance: Instance, rules: EngineRules) -> Handover:
    """Which replicas of any kind of device may feed which: legal ones and others alike."""
    setups = []
    for fleet, role in product(instance.fleets, ROLES[:2]):
        alike: dict[tuple[int, ...], ReplicaShape] = {}
        for shape in shapes(instance.llm, fleet, context=context_degrees(instance.scenario.constraints, role)):
            alike.setdefault((shape.tp, shape.pp, shape.cp), shape)
        setups += [
            replace(shape.setup(rules, role), draft_tokens=drafts)
            for shape in alike.values()
            for drafts in instance.drafts(role)
        ]
    return handover(instance.llm, rules, instance.fleets[0].device, setups)


def _served(instance: Instance, whole: Market) -> Iterator[tuple[PromiseGroup, Role, int | None, PromiseGroup]]:
    """Every role of a promise with nothing kept, then with each way to keep its idle KV: (promise, role, way, what is served).

    Ways come so that the first few already span from the fewest prompt tokens to the most.
    """
    for group, need in zip(instance.groups, whole.needs, strict=True):
        for role in _roles(need):
            yield group, role, None, group
    by_tokens = sorted(
        range(len(whole.keepings)), key=lambda n: whole.keepings[n].mix.mean(whole.keepings[n].mix.prompt)
    )
    for position in _spread(len(by_tokens)):
        way = whole.keepings[by_tokens[position]]
        group = instance.groups[way.group]
        if way.role in _roles(whole.needs[way.group]):
            yield group, way.role, by_tokens[position], replace(group, mix=way.mix)


def _spread(count: int) -> Iterator[int]:
    """0 to count - 1, both ends first, then what halves the widest gaps.

    >>> list(_spread(6))
    [0, 5, 2, 1, 3, 4]
    """
    if count:
        yield 0
    if count > 1:
        yield count - 1
    gaps = deque([(0, count - 1)])
    while gaps:
        low, high = gaps.popleft()
        if high - low > 1:
            middle = (low + high) // 2
            yield middle
            gaps += [(low, middle), (middle, high)]


def _roles(need: Need) -> Iterator[Role]:
    if need.disaggregated:
        yield "prefill"
        yield "decode"
    if need.unified:
        yield "unified"


def promises(group: PromiseGroup, role: Role) -> Iterator[tuple[int, Promise]]:
    """What a role must keep of a group's promise, for every division of the end-to-end limit."""
    whole = group.promise
    if role == "unified":
        yield 0, whole
        return
    for index, share in enumerate(SPLITS if whole.end_to_end else (0.0,)):
        yield index, whole.first(share) if role == "prefill" else whole.later(share, group.mix.later_tokens)


def _shelves(
    legal: Candidates, group: PromiseGroup, promise: Promise, split: int, constraints: Constraints, way: int | None
) -> Iterator[Shelf]:
    """The cells of all candidates where the user allows others, and those of each pinned pool by itself."""
    free = legal.keep(np.array([row.setup.parallelism.cp == 1 for row in legal.rows], bool))
    if constraints.other_pools and len(free):
        cells = cells_of(free, group.mix, promise, group.index, split, constraints.min_replicas)
        if cells is not None:
            yield Shelf(cells, way)
    for number, pool in enumerate(constraints.pools):
        if pool.device not in (None, legal.fleet.device.name):
            continue
        settled = legal.keep(np.array([pool.fits(row.setup) for row in legal.rows], bool))
        if not len(settled):
            continue
        if pool.batch_per_rank is not None:
            settled = with_limits(replace(settled, settled=float(pool.batch_per_rank)), group.mix)
        cells = cells_of(settled, group.mix, promise, group.index, split)
        if cells is not None:
            yield Shelf(cells, way, number)
