"""The layout program: what is decided, and the list of everything that is demanded.

Identical things are counted, never named: a column is chosen with a number of replicas, a class of identical scale-up
domains holds so many fragments. Names come later (:mod:`solver.optimize.layout.mapping`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from solver.optimize.arithmetic.linear import Expression, LinearProgram, Variable, total
from solver.optimize.layout.kv_tiers import Keeping, Place
from solver.optimize.layout.kv_tiers.keeping import TierAmount
from solver.optimize.layout.standing import Standing
from solver.replica import Role
from solver.space.handover import Connection
from solver.space.profiles import Column
from solver.space.shapes import Footprint, Fragment, most_fragments
from solver.workload.kv_tiers import KVTierName
from topologies import DomainClass

#: Fragments of each kind in one domain.
DomainContent = dict[Fragment, int]
#: Steps into which the objective ``throughput`` divides the largest multiple of the traffic that could be served.
LEVELS = 2**13


@dataclass(frozen=True)
class Supply:
    """One class of identical domains and what renting it costs.

    Attributes
    ----------
    usd_per_device_hour: price of one device, healthy or not, when its host or domain is rented.
    host_size: devices of a host; hosts: hosts of the whole class.
    """

    index: int
    domain_class: DomainClass
    usd_per_device_hour: float

    @property
    def device(self) -> str:
        """Kind of device."""
        return self.domain_class.device

    @property
    def size(self) -> int:
        """Healthy devices of a domain."""
        return self.domain_class.size

    @property
    def count(self) -> int:
        """Domains."""
        return self.domain_class.count

    @property
    def host_sizes(self) -> tuple[int, ...]:
        """Healthy devices of each host of one domain, largest first."""
        return self.domain_class.profile.devices_per_host

    def holds(self, fragment: Fragment) -> int:
        """Fragments of a kind that all its domains hold together when nothing else runs."""
        return self.count * most_fragments(self.host_sizes, fragment)

    @property
    def rented_host(self) -> int:
        """Devices paid for when the largest host is rented."""
        return max(host.rented for host in self.domain_class.profile.hosts)

    @property
    def rented_domain(self) -> int:
        """Devices paid for when a domain is rented."""
        return sum(host.rented for host in self.domain_class.profile.hosts)


@dataclass(frozen=True)
class HostKind:
    """Hosts that cost the same and hold parts of as many domains of each supply.

    Attributes
    ----------
    count: hosts. usd_per_hour: of one of them.
    parts: (supply, domains of it that have devices there) pairs.
    """

    count: int
    usd_per_hour: float
    parts: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Need:
    """What one promise asks for.

    Attributes
    ----------
    requests_per_s: arrivals, or the share of the mix.
    modes: whether unified and disaggregated service are allowed.
    """

    requests_per_s: float
    unified: bool
    disaggregated: bool


#: By kind of device, devices on each host of a domain, or on one host in each of the domains that it has a part in.
Rooms = tuple[tuple[str, tuple[int, ...]], ...]


class ReplicaKind(NamedTuple):
    """Replicas of one footprint that serve a promise in a role; there is at most one pool of them."""

    group: int
    role: Role
    footprint: Footprint

    @classmethod
    def of(cls, column: Column) -> ReplicaKind:
        """The kind that a column's replicas are of."""
        return cls(column.group, column.role, column.footprint)


@dataclass(frozen=True)
class Units:
    """Domains or hosts that fail whole, and are alike.

    Attributes
    ----------
    count: how many. rooms: what one of them has room for.
    """

    count: int
    rooms: Rooms

    def most(self, device: str, part: Fragment) -> int:
        """Parts of replicas on devices of a kind that one of them holds when nothing else runs."""
        return max((most_fragments(room, part) for kind, room in self.rooms if kind == device), default=0)


@dataclass(frozen=True)
class UnitLoss:
    """Units of one sort of which any so many may be lost.

    Attributes
    ----------
    unit: what fails. units: all of them, by kind.
    """

    unit: Literal["domain", "host"]
    failures: int
    units: tuple[Units, ...]

    def part(self, footprint: Footprint) -> Fragment:
        """What one unit holds of a replica that it has a part in."""
        return footprint.fragment if self.unit == "domain" else Fragment(1, footprint.per_host)

    def parts(self, footprint: Footprint) -> int:
        """Units that a replica has a part in, each of which takes it down."""
        return footprint.domains * self.parts_of_fragment(footprint)

    def parts_of_fragment(self, footprint: Footprint) -> int:
        """Units that a fragment of a replica has a part in."""
        return 1 if self.unit == "domain" else footprint.hosts

    def able(self, footprint: Footprint) -> int:
        """Units that have room for a part of a replica."""
        return sum(units.count for units in self.units if self.most(units, footprint))

    def most(self, units: Units, footprint: Footprint) -> int:
        """Parts of replicas that one of some units holds when nothing else runs."""
        return units.most(footprint.device, self.part(footprint))


@dataclass(frozen=True)
class Packing:
    """Kinds of fragments of which the contents of a supply's domains are enumerated."""

    supply: int
    kinds: tuple[Fragment, ...]


@dataclass(frozen=True)
class Joint:
    """Columns of which the contents of a supply's domains are enumerated."""

    supply: int
    columns: tuple[Column, ...]


@dataclass(frozen=True)
class Market:
    """Everything the program is about, apart from the columns.

    Attributes
    ----------
    pins: replicas of each pool that the user has settled; None = any number.
    failures: what may fail while the demand is still met.
    exposed: kinds of replicas of each role whose losses are exact: what units that may fail hold of them is enumerated.
    beside: kinds of all roles of which what units hold beside each other is enumerated.
    packings: kinds of fragments for which the contents of a domain are enumerated.
    joint: columns that do not always fit together, of which each domain's content is enumerated.
    whole_hosts: where failures are to be survived, count hosts role by role, as if no two roles shared one.
    standing: replicas that run already; of equally good layouts the one that loads the fewest weights is best.
    keepings: ways to keep idle KV that columns are priced for; places: the tiers outside of HBM where it can wait.
    connections: ways to hand KV caches over, the preferred ones first; empty where every replica connects with every one.
    simplicity: share by which a simpler layout may cost more than the cheapest.
    beyond: USD per hour, or a multiple of the mix, that no layout beats which has a column that is not offered.
    known: columns of a layout that is known, which a search does well to begin with.
    host_kinds: all hosts, where some hold parts of several domains, which pay for them together, or cost less than others of
        their supply; empty where the hosts of every supply are its own and alike.
    """

    supplies: tuple[Supply, ...]
    needs: tuple[Need, ...]
    objective: Literal["cost", "throughput"]
    billing: Literal["device", "host", "domain"]
    owned: bool = False
    max_pools: int = 2
    max_devices: int | None = None
    failures: tuple[UnitLoss, ...] = ()
    exposed: tuple[tuple[ReplicaKind, ...], ...] = ()
    beside: tuple[tuple[ReplicaKind, ...], ...] = ()
    pins: tuple[int | None, ...] = ()
    packings: tuple[Packing, ...] = ()
    joint: tuple[Joint, ...] = ()
    whole_hosts: bool = False
    standing: tuple[Standing, ...] = ()
    keepings: tuple[Keeping, ...] = ()
    places: tuple[Place, ...] = ()
    connections: tuple[Connection, ...] = ()
    simplicity: float = 0.0
    beyond: float | None = None
    known: tuple[Column, ...] = ()
    host_kinds: tuple[HostKind, ...] = ()

    def allowed(self, least: float) -> float:
        """What a simpler layout may cost, or must serve, where the best one costs or serves so much."""
        return least / (1 + self.simplicity) if self.objective == "throughput" else least * (1 + self.simplicity)

    def supply(self, index: int) -> Supply:
        """The supply of that index."""
        return next(supply for supply in self.supplies if supply.index == index)


def device_prices(market: Market) -> dict[str, float]:
    """The least that a device of each kind can cost [USD/h]; nothing where the cluster is owned."""
    kinds: dict[str, float] = {}
    for supply in market.supplies:
        price = 0.0 if market.owned else supply.usd_per_device_hour
        kinds[supply.device] = min(price, kinds.get(supply.device, price))
    return kinds


@dataclass(frozen=True)
class Choice:
    """Variables of one column.

    Attributes
    ----------
    used: whether the column is chosen.
    replicas: how many.
    fragments: how many of its fragments each supply holds, by index of the supply.
    """

    column: Column
    used: Variable
    replicas: Variable
    fragments: dict[int, Variable]


@dataclass(frozen=True)
class Keeps:
    """Variables of one way to keep idle KV.

    Attributes
    ----------
    chosen: whether it is.
    splits: by class and split, whether that one is chosen; None where there is only one.
    """

    chosen: Variable
    splits: tuple[tuple[Variable | None, ...], ...]


@dataclass(frozen=True)
class DomainContents:
    """What a domain of one supply may hold, and how many domains hold it.

    Attributes
    ----------
    kinds: fragments that are counted.
    held: every content (fragments of each kind), with the number of domains that hold it.
    """

    kinds: tuple[Fragment, ...]
    held: tuple[tuple[tuple[int, ...], Variable], ...]

    def chosen(self, values: Sequence[int]) -> tuple[DomainContent, ...]:
        """What every domain in use holds: fragments by kind."""
        return tuple(
            dict(zip(self.kinds, content, strict=True))
            for content, domains in self.held
            for _ in range(values[domains.index])
        )


@dataclass
class LayoutProgram:
    """The program with its variables, and verbs to ask for them.

    Attributes
    ----------
    optimistic: whether columns count at their most favourable rate: the twin that bounds every plan.
    domains, hosts: units in use, by index of the supply. rented: hosts of each kind that are paid for.
    disaggregated: whether a promise is served by prefill and decode pools.
    level: served multiple of the mix, in steps (objective ``throughput``); levels: by promise, what of it is served
        unified and what disaggregated.
    most: largest multiple that could be served, the value of all steps.
    contents: by supply, what its domains may hold where that is enumerated.
    keeps: by keeping that is in question, whether it is chosen, and the split of each of its classes.
    served_with: by keeping and class, steps of the multiple that each split serves (objective ``throughput``).
    connected: by promise, whether its pools hand over by each connection; empty where nothing needs to be demanded.
    """

    market: Market
    columns: Sequence[Column]
    optimistic: bool
    linear: LinearProgram = field(default_factory=LinearProgram)
    choices: list[Choice] = field(default_factory=list)
    domains: dict[int, Variable] = field(default_factory=dict)
    hosts: dict[int, Variable] = field(default_factory=dict)
    rented: list[Variable] = field(default_factory=list)
    disaggregated: list[Variable] = field(default_factory=list)
    level: Variable | None = None
    levels: list[tuple[Variable, Variable]] = field(default_factory=list)
    most: float = 0.0
    contents: dict[int, DomainContents] = field(default_factory=dict)
    keeps: dict[int, Keeps] = field(default_factory=dict)
    served_with: dict[tuple[int, int], list[Variable]] = field(default_factory=dict)
    connected: list[list[Variable]] = field(default_factory=list)

    def rate(self, choice: Choice) -> float:
        """Requests/s of one replica, as this program counts them."""
        return choice.column.best_rate if self.optimistic else choice.column.rate

    def serving(self, group: int, role: Role) -> Iterator[Choice]:
        """Columns that serve a promise in a role."""
        return (c for c in self.choices if c.column.group == group and c.column.role == role)

    def capacity(self, group: int, role: Role) -> Expression:
        """Requests/s of all replicas in a role."""
        return total(c.replicas * self.rate(c) for c in self.serving(group, role))

    def waiting(self, keeping: int, what: TierAmount, tier: KVTierName) -> Expression:
        """Bytes that wait in a tier, or bytes/s that go in and out, as chosen; at full rates (objective ``cost``)."""
        keeps, ways = self.keeps[keeping], self.market.keepings[keeping].splits
        return total(
            (keeps.chosen if variable is None else variable) * split.amount(what).get(tier, 0.0)
            for way, variables in zip(ways, keeps.splits, strict=True)
            for split, variable in zip(way, variables, strict=True)
        )

    def on(self, supply: int) -> Iterator[tuple[Choice, Variable]]:
        """Columns that may use a supply, with their fragments there."""
        return ((c, c.fragments[supply]) for c in self.choices if supply in c.fragments)

    def devices(self, supply: int) -> Expression:
        """Devices in use on a supply."""
        return total(fragments * choice.column.footprint.size for choice, fragments in self.on(supply))
