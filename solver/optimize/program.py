"""The layout program: what is decided, and the list of everything that is demanded.

Identical things are counted, never named: a column is chosen with a number of replicas, a class of identical scale-up
domains holds so many fragments. Names come later (:mod:`solver.optimize.mapping`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from solver.optimize.kv_tiers import Keeping, Place
from solver.optimize.linear import Expression, LinearProgram, Variable, total
from solver.optimize.standing import Standing
from solver.replica import Role
from solver.space.profiles import Column
from solver.workload.scenario import KVTierName
from topologies import DomainClass

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
        return tuple(host.devices for host in self.domain_class.profile.hosts)

    @property
    def rented_host(self) -> int:
        """Devices paid for when the largest host is rented."""
        return max(host.neighbours for host in self.domain_class.profile.hosts)


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


@dataclass(frozen=True)
class Market:
    """Everything the program is about, apart from the columns.

    Attributes
    ----------
    pins: replicas of each pool that the user has settled; None = any number.
    packings: sizes of fragments for which the contents of a domain are enumerated, by supply.
    joint: columns that do not always fit together, of which each domain's content is enumerated, by supply.
    whole_hosts: count hosts fragment by fragment, as if none were shared by fragments of different sizes.
    standing: replicas that run already; of equally good layouts the one that loads the fewest weights is best.
    keepings: ways to keep idle KV that columns are priced for; places: the tiers outside of HBM where it can wait.
    """

    supplies: tuple[Supply, ...]
    needs: tuple[Need, ...]
    objective: Literal["cost", "throughput"]
    billing: Literal["device", "host", "domain"]
    owned: bool = False
    max_pools: int = 2
    max_devices: int | None = None
    survive_domains: int = 0
    survive_hosts: int = 0
    pins: tuple[int | None, ...] = ()
    packings: tuple[tuple[int, tuple[int, ...]], ...] = ()
    joint: tuple[tuple[int, tuple[Column, ...]], ...] = ()
    whole_hosts: bool = False
    standing: tuple[Standing, ...] = ()
    keepings: tuple[Keeping, ...] = ()
    places: tuple[Place, ...] = ()


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


@dataclass
class LayoutProgram:
    """The program with its variables, and verbs to ask for them.

    Attributes
    ----------
    optimistic: whether columns count at their most favourable rate: the twin that bounds every plan.
    domains, hosts: units in use, by index of the supply.
    disaggregated: whether a promise is served by prefill and decode pools.
    level: served multiple of the mix, in steps (objective ``throughput``); levels: by promise, what of it is served
        unified and what disaggregated.
    most: largest multiple that could be served, the value of all steps.
    contents: by supply, the sizes whose contents are enumerated, and how many domains hold each content.
    keeps: by keeping that is in question, whether it is chosen, and the split of each of its classes.
    served_with: by keeping and class, steps of the multiple that each split serves (objective ``throughput``).
    """

    market: Market
    columns: Sequence[Column]
    optimistic: bool
    linear: LinearProgram = field(default_factory=LinearProgram)
    choices: list[Choice] = field(default_factory=list)
    domains: dict[int, Variable] = field(default_factory=dict)
    hosts: dict[int, Variable] = field(default_factory=dict)
    disaggregated: list[Variable] = field(default_factory=list)
    level: Variable | None = None
    levels: list[tuple[Variable, Variable]] = field(default_factory=list)
    most: float = 0.0
    contents: dict[int, tuple[tuple[int, ...], tuple[tuple[tuple[int, ...], Variable], ...]]] = field(
        default_factory=dict
    )
    keeps: dict[int, Keeps] = field(default_factory=dict)
    served_with: dict[tuple[int, int], list[Variable]] = field(default_factory=dict)

    def rate(self, choice: Choice) -> float:
        """Requests/s of one replica, as this program counts them."""
        return choice.column.best_rate if self.optimistic else choice.column.rate

    def serving(self, group: int, role: Role) -> Iterator[Choice]:
        """Columns that serve a promise in a role."""
        return (c for c in self.choices if c.column.group == group and c.column.role == role)

    def capacity(self, group: int, role: Role) -> Expression:
        """Requests/s of all replicas in a role."""
        return total(c.replicas * self.rate(c) for c in self.serving(group, role))

    def waiting(self, keeping: int, what: Literal["bytes", "bytes_per_s"], tier: KVTierName) -> Expression:
        """Bytes that wait in a tier, or bytes/s that go in and out, as chosen; at full rates (objective ``cost``)."""
        keeps, ways = self.keeps[keeping], self.market.keepings[keeping].splits
        return total(
            (keeps.chosen if variable is None else variable) * getattr(split, what).get(tier, 0.0)
            for way, variables in zip(ways, keeps.splits, strict=True)
            for split, variable in zip(way, variables, strict=True)
        )

    def on(self, supply: int) -> Iterator[tuple[Choice, Variable]]:
        """Columns that may use a supply, with their fragments there."""
        return ((c, c.fragments[supply]) for c in self.choices if supply in c.fragments)

    def devices(self, supply: int) -> Expression:
        """Devices in use on a supply."""
        return total(fragments * choice.column.footprint.size for choice, fragments in self.on(supply))


@dataclass(frozen=True)
class Rule:
    """One demand of the program.

    Attributes
    ----------
    because: what it means, for a person.
    apply: adds its rows.
    """

    name: str
    because: str
    apply: Callable[[LayoutProgram], None]


def write(
    market: Market, columns: Sequence[Column], optimistic: bool = False, ceiling: float | None = None
) -> LayoutProgram:
    """The program of a market and its columns.

    Parameters
    ----------
    ceiling: a multiple of the mix that cannot be exceeded, where a tighter one than the obvious is known.
    """
    from solver.optimize.rules import RULES

    program = LayoutProgram(market, columns, optimistic)
    _variables(program, ceiling)
    for rule in RULES:
        rule.apply(program)
    _objective(program)
    return program


def _variables(program: LayoutProgram, ceiling: float | None) -> None:
    linear, market = program.linear, program.market
    for supply in market.supplies:
        program.domains[supply.index] = linear.integer(f"domains.{supply.index}", 0, supply.count)
        hosts = supply.count * len(supply.host_sizes)
        program.hosts[supply.index] = linear.integer(f"hosts.{supply.index}", 0, hosts)
    for group in range(len(market.needs)):
        program.disaggregated.append(linear.boolean(f"disaggregated.{group}"))
    for number, column in enumerate(program.columns):
        footprint = column.footprint
        used = linear.boolean(f"used.{number}")
        replicas = linear.integer(f"replicas.{number}", 0, column.high)
        fragments = {
            supply.index: linear.integer(f"fragments.{number}.{supply.index}", 0, _most_fragments(supply, column))
            for supply in market.supplies
            if supply.device == footprint.device and supply.size >= footprint.size
        }
        program.choices.append(Choice(column, used, replicas, fragments))
    for number in sorted({c.keeping for c in program.columns if c.keeping is not None}):
        ways = market.keepings[number].splits
        program.keeps[number] = Keeps(
            linear.boolean(f"keep.{number}"),
            tuple(
                tuple(linear.boolean(f"split.{number}.{c}.{s}") if len(way) > 1 else None for s in range(len(way)))
                for c, way in enumerate(ways)
            ),
        )
    if market.objective == "throughput":
        program.most = _most_level(program) if ceiling is None else ceiling
        program.level = linear.integer("level", 1, LEVELS)
        for group in range(len(market.needs)):
            modes = (linear.integer(f"level.{mode}.{group}", 0, LEVELS) for mode in ("unified", "disaggregated"))
            program.levels.append((next(modes), next(modes)))


def _most_fragments(supply: Supply, column: Column) -> int:
    return min(supply.count * (supply.size // column.footprint.size), column.high * column.footprint.fragments)


def _most_level(program: LayoutProgram) -> float:
    """A multiple of the mix that cannot be exceeded: every device at the best rate that any column reaches."""
    limits = []
    for group, need in enumerate(program.market.needs):
        best = 0.0
        for supply in program.market.supplies:
            rates = [
                program.rate(c) / c.column.footprint.devices
                for c in program.choices
                if c.column.group == group and c.column.footprint.device == supply.device
            ]
            best += max(rates, default=0.0) * supply.size * supply.count
        limits.append(best / need.requests_per_s)
    return min(limits)


def _objective(program: LayoutProgram) -> None:
    linear = program.linear
    if program.level is not None:
        linear.objective, linear.maximise = program.level * 1.0, True
        return
    linear.objective = total([*rent(program), *tier_rent(program)])


def rent(program: LayoutProgram) -> Iterable[Expression]:
    """USD per hour of each supply's units in use."""
    market = program.market
    for supply in market.supplies:
        if market.owned:
            continue
        price = supply.usd_per_device_hour
        if market.billing == "device":
            yield program.devices(supply.index) * price
        elif market.billing == "host":
            yield program.hosts[supply.index] * (price * supply.rented_host)
        else:
            yield program.domains[supply.index] * (
                price * sum(host.neighbours for host in supply.domain_class.profile.hosts)
            )


def tier_rent(program: LayoutProgram) -> Iterable[Expression]:
    """USD per hour of the memory that is paid beside the devices, by what waits there."""
    for place in program.market.places:
        if place.usd_per_byte_hour:
            for number in program.keeps:
                yield program.waiting(number, "bytes", place.name) * place.usd_per_byte_hour
