"""Writes the layout program: its variables, the rows of every rule, the objective."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from solver.optimize.arithmetic.linear import Expression, total
from solver.optimize.layout.program import LEVELS, Choice, Keeps, LayoutProgram, Market, Supply
from solver.optimize.layout.rules import RULES
from solver.space.profiles import Column


def write(
    market: Market, columns: Sequence[Column], optimistic: bool = False, ceiling: float | None = None
) -> LayoutProgram:
    """The program of a market and its columns.

    Parameters
    ----------
    ceiling: a multiple of the mix that cannot be exceeded, where a tighter one than the obvious is known.
    """
    program = LayoutProgram(market, columns, optimistic)
    _variables(program, ceiling)
    for rule in RULES:
        program.linear.require(rule.name, rule.demands(program))
    _objective(program)
    return program


def _variables(program: LayoutProgram, ceiling: float | None) -> None:
    linear, market = program.linear, program.market
    for supply in market.supplies:
        program.domains[supply.index] = linear.integer(f"domains.{supply.index}", 0, supply.count)
        hosts = supply.count * len(supply.host_sizes)
        program.hosts[supply.index] = linear.integer(f"hosts.{supply.index}", 0, hosts)
    for number, kind in enumerate(market.host_kinds):
        program.rented.append(linear.integer(f"rented.{number}", 0, kind.count))
    for group, need in enumerate(market.needs):
        program.disaggregated.append(linear.boolean(f"disaggregated.{group}"))
        open_to = len(market.connections) if need.disaggregated else 0
        program.connected.append([linear.boolean(f"connected.{group}.{number}") for number in range(open_to)])
    for number, column in enumerate(program.columns):
        footprint = column.footprint
        used = linear.boolean(f"used.{number}")
        replicas = linear.integer(f"replicas.{number}", 0, column.high)
        fragments = {
            supply.index: linear.integer(f"fragments.{number}.{supply.index}", 0, _most_fragments(supply, column))
            for supply in market.supplies
            if supply.device == footprint.device and supply.holds(footprint.fragment)
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
    return min(supply.holds(column.footprint.fragment), column.high * column.footprint.domains)


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
    if market.owned:
        return
    if market.billing == "host" and market.host_kinds:
        for kind, rented in zip(market.host_kinds, program.rented, strict=True):
            yield rented * kind.usd_per_hour
        return
    for supply in market.supplies:
        price = supply.usd_per_device_hour
        if market.billing == "device":
            yield program.devices(supply.index) * price
        elif market.billing == "host":
            yield program.hosts[supply.index] * (price * supply.rented_host)
        else:
            yield program.domains[supply.index] * (price * supply.rented_domain)


def tier_rent(program: LayoutProgram) -> Iterable[Expression]:
    """USD per hour of the memory that is paid beside the devices, by what waits there."""
    for place in program.market.places:
        if place.usd_per_byte_hour:
            for number in program.keeps:
                yield program.waiting(number, "bytes", place.name) * place.usd_per_byte_hour
