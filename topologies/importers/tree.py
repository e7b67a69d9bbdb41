"""Switches that name their children, as schedulers describe a fabric: collected, checked, made a fabric."""

from __future__ import annotations

from collections.abc import Iterable

import networkx as nx

from topologies.importers.fabric import Fabric, Port, Trunk
from topologies.importers.findings import Findings, Notes, listed
from topologies.importers.source import Source

MAX_PORTS = 200_000


class Tree:
    """What a file says of switches, hosts and scale-up domains, as it is read."""

    def __init__(self, source: Source) -> None:
        self.source, self.notes = source, Notes()
        self._lines: dict[str, int | None] = {}
        self._children: dict[str, list[str]] = {}
        self._mentioned: dict[str, int | None] = {}
        self._ports: dict[tuple[str, str], None] = {}
        self._domains: dict[str, dict[str, None]] = {}
        self._domain_of: dict[str, str] = {}
        self.products: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.memories: dict[str, float] = {}

    def add_switch(self, line: int | None, name: str, children: Iterable[str], hosts: Iterable[str]) -> None:
        """A switch with the switches below it and the hosts on it."""
        if self.source.name_at(line, name) in self._lines:
            raise self.source.error(line, f"switch {name[:60]!r} is described twice")
        self._lines[name] = line
        self._children[name] = [self.source.name_at(line, child) for child in children]
        self._mentioned |= {child: self._mentioned.get(child, line) for child in self._children[name]}
        self.add_hosts(line, name, hosts)

    def add_hosts(self, line: int | None, switch: str, hosts: Iterable[str]) -> None:
        """Hosts on a switch."""
        self._ports |= {(self.source.name_at(line, host), switch): None for host in hosts}
        self._count(line, len(self._ports))

    def mention(self, line: int | None, switch: str) -> None:
        """A switch that something else names."""
        self._mentioned.setdefault(self.source.name_at(line, switch), line)

    def add_domain(self, line: int | None, label: str, hosts: Iterable[str]) -> None:
        """Hosts of one scale-up domain."""
        self.source.name_at(line, label)
        for host in hosts:
            if self._domain_of.setdefault(host, label) != label:
                raise self.source.error(
                    line, f"host {host[:60]!r} is in {self._domain_of[host][:60]!r} and in {label[:60]!r}; one is right"
                )
            self._domains.setdefault(label, {})[host] = None
        self._count(line, len(self._domain_of))

    def _count(self, line: int | None, hosts: int) -> None:
        if hosts > MAX_PORTS:
            raise self.source.error(line, f"the file names more than {MAX_PORTS:,} hosts on switches or in domains")

    def findings(self, kind: str) -> Findings:
        """The fabric that was read, with what is missing in it noted."""
        self._check_circles()
        known = {switch for _, switch in self._ports} | self._lines.keys()
        for name, line in self._mentioned.items():
            if name not in known:
                where = self.source.where(line)
                self.notes.fault(f"{where}: switch {name[:60]} is named but nowhere described; nothing hangs on it")
        trunks = [
            Trunk(child, name)
            for name, children in self._children.items()
            for child in dict.fromkeys(children)
            if child in known
        ]
        switches = dict.fromkeys((*self._lines, *(switch for _, switch in self._ports)))
        ports = [Port(host, "", switch) for host, switch in self._ports]
        if not ports and not self._domains and not self.products and not self.counts:
            raise self.source.error(self.source.last_line, f"the file ends without a host{self._switches_say()}")
        fabric = Fabric(
            tuple(switches),
            tuple(ports),
            tuple(trunks),
            {label: tuple(hosts) for label, hosts in self._domains.items()},
            dict(self.products),
            dict(self.counts),
            dict(self.memories),
        )
        faults, assumptions = tuple(self.notes.faults), tuple(self.notes.assumptions)
        return Findings(self.source.name, kind, fabric=fabric, faults=faults, assumptions=assumptions)

    def _switches_say(self) -> str:
        return f"; its switches are {listed(list(self._lines))}" if self._lines else ""

    def _check_circles(self) -> None:
        below = nx.DiGraph((name, child) for name, children in self._children.items() for child in children)
        try:
            circle = [switch for switch, _ in nx.find_cycle(below)]
        except nx.NetworkXNoCycle:
            return
        line = next((self._lines[name] for name in circle if name in self._lines), None)
        raise self.source.error(line, f"switches stand below each other in a circle: {listed(circle)}")
