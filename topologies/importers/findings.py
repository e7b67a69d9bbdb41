"""What one file says, and what an import yields."""

from __future__ import annotations

from dataclasses import dataclass, field

import networkx as nx

from topologies.importers.fabric import Fabric
from topologies.importers.machine import Machine


@dataclass(frozen=True)
class Findings:
    """What one file says.

    Attributes
    ----------
    source: the file; format: one of :data:`topologies.importers.FORMATS`.
    machines: hosts with their devices; fabric: what joins hosts; graph: a whole cluster.
    faults: what is broken or missing in the file, each one line.
    assumptions: what was read into it, each one line.
    """

    source: str
    format: str
    machines: tuple[Machine, ...] = ()
    fabric: Fabric | None = None
    graph: nx.Graph[str] | None = None
    faults: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Import:
    """A cluster from files.

    Attributes
    ----------
    graph: validated; a bare fabric of hosts and switches where no file and no argument tells of devices.
    faults: what is broken or missing, each one line.
    assumptions: what no file says and was filled in or guessed, each one line.
    findings: what each file said, for :func:`topologies.importers.assemble`.
    """

    graph: nx.Graph[str]
    faults: list[str]
    assumptions: list[str]
    findings: tuple[Findings, ...] = field(default=(), repr=False)

    @property
    def complete(self) -> bool:
        """Whether it is a cluster: a bare fabric has no devices and cannot be solved."""
        return any(data["kind"] == "device" for _, data in self.graph.nodes(data=True))

    def report(self) -> str:
        """Faults and assumptions as text for people; empty where there are none."""
        parts = [("fault", self.faults), ("assumed", self.assumptions)]
        return "\n".join(f"{word}: {line}" for word, lines in parts for line in lines)


@dataclass
class Notes:
    """Faults and assumptions while they are collected; each is kept once."""

    faults: dict[str, None] = field(default_factory=dict)
    assumptions: dict[str, None] = field(default_factory=dict)
    shared: dict[str, list[str]] = field(default_factory=dict)

    def fault(self, line: str) -> None:
        """Note what is broken or missing."""
        self.faults[_one_line(line)] = None

    def fault_of(self, vertex: str, what: str) -> None:
        """Note what is the matter with a vertex; vertices that share it are told of together."""
        self.shared.setdefault(_one_line(what), []).append(vertex)

    def fault_lines(self) -> list[str]:
        """All faults, each one line."""
        return [*self.faults, *(f"{listed(vertices)}: {what}" for what, vertices in self.shared.items())]

    def assume(self, line: str) -> None:
        """Note what was filled in or guessed."""
        self.assumptions[_one_line(line)] = None

    def take(self, findings: Findings) -> None:
        """Note everything that a file said."""
        self.faults |= dict.fromkeys(findings.faults)
        self.assumptions |= dict.fromkeys(findings.assumptions)


def _one_line(text: str) -> str:
    """Text from files as one line that a terminal can show."""
    return "".join(letter if letter.isprintable() else "?" for letter in " ".join(text.split()))


def counted(count: int, noun: str) -> str:
    """A number of things.

    >>> counted(1, "host"), counted(1200, "host")
    ('1 host', '1,200 hosts')
    """
    return f"{count:,} {noun if count == 1 else noun + 's'}"


def listed(names: list[str], most: int = 4) -> str:
    """Some names in one line.

    >>> listed(["a", "b", "c", "d", "e", "f"], most=2)
    'a, b and 4 more'
    """
    shown = ", ".join(name[:80] for name in names[:most])
    return f"{shown} and {len(names) - most} more" if len(names) > most else shown
