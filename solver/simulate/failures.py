"""Failures: what is lost when, and which replicas stop with it."""

from __future__ import annotations

import re
from dataclasses import dataclass

import networkx as nx

from solver.errors import BadInput, nearest
from solver.plan import Plan
from topologies import units

_WRITTEN = re.compile(r"(?P<name>.+?)@(?P<at>[^@+]+)(\+(?P<after>[^@+]+))?$")


@dataclass(frozen=True)
class Failure:
    """Devices that stop at a time, and start again after another.

    Attributes
    ----------
    vertex: a device, host, rack or scale-up domain, or a prefix of names.
    at_s: since the start [s]. recover_s: until it is back [s]; None = never.
    """

    vertex: str
    at_s: float
    recover_s: float | None = None

    @classmethod
    def parse(cls, text: str) -> Failure:
        """Read ``rack0@600s`` or ``rack0/host3@10min+300s``.

        >>> Failure.parse("rack0@600s+60s")
        Failure(vertex='rack0', at_s=600.0, recover_s=60.0)

        Raises
        ------
        BadInput
        """
        found = _WRITTEN.match(text)
        if not found:
            raise BadInput(
                f"--fail {text[:60]!r}: write what fails and when, such as rack0@600s, or rack0@600s+300s if it recovers"
            )
        after = found["after"]
        return cls(found["name"], units.seconds(found["at"]), None if after is None else units.seconds(after))


def replicas_hit(plan: Plan, cluster: nx.Graph[str], vertex: str) -> list[tuple[str, int]]:
    """Pool and number of every replica with a rank on a device that is, or is in, a vertex.

    Raises
    ------
    BadInput: no device is, or is in, it.
    """
    nodes = cluster.nodes
    lost = {name for name, data in nodes(data=True) if data["kind"] == "device" and _within(vertex, name, data)}
    if not lost:
        near = ", ".join(nearest(vertex[:100], sorted(nodes)[:20_000]))
        raise BadInput(f"--fail: no device is, or is in, {vertex[:60]!r}; nearest vertices: {near}")
    return sorted({(placed.pool, placed.replica) for placed in plan.placement if placed.device in lost})


def _within(vertex: str, device: str, data: dict[str, object]) -> bool:
    return vertex in (device, data["host"], data.get("rack"), data.get("domain")) or device.startswith(f"{vertex}/")
