"""Devices joined to their neighbours in a grid that wraps around."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import networkx as nx

from topologies.builders.arguments import HostShape, Size, count, within_limit
from topologies.builders.ethernet import add_spines
from topologies.builders.host import add_host, add_switch, cluster_of, connect
from topologies.errors import BadInput
from topologies.hardware import Device

HOSTS_PER_RACK = 16
Place = tuple[int, ...]


def torus(
    shape: Sequence[int],
    device: str | Device | Mapping[str, Any] = "tpu-v5e",
    *,
    pods: int = 1,
    wrap: bool = True,
    scale_out: bool | None = None,
    devices_per_host: int | None = None,
    dram_bytes_per_host: Size | None = None,
    flash_bytes_per_host: Size | None = None,
) -> nx.Graph[str]:
    """A torus of devices with a link to each neighbour and no switch.

    Parameters
    ----------
    shape: sides; a side of 2 has both its links between the same pair, so twice the bandwidth.
    device: catalog name, or a device of your own that is made for a torus.
    pods: separate tori, joined by the NICs of their hosts.
    wrap: False leaves out the links that close each ring (a slice smaller than the full side).
    scale_out: whether hosts have NICs on a leaf per pod; by default only where there are several pods.

    >>> graph = torus((4, 4))
    >>> sorted(other for other in graph["rack0/host0/gpu0"] if other != "rack0/host0")
    ['rack0/host0/gpu1', 'rack0/host0/gpu3', 'rack0/host0/gpu4', 'rack0/host1/gpu4']
    """
    sides = _sides(shape)
    count(pods, "pods")
    host = HostShape.of(device, devices_per_host, dram_bytes_per_host, flash_bytes_per_host)
    if host.device.scale_up_fabric != "torus":
        raise BadInput(f"{host.device.name} is not made for a torus; tpu-v5e and tpu-v6e make 2 dimensions, tpu-v5p 3")
    if len(sides) > len(host.device.scale_up_shape):
        most = len(host.device.scale_up_shape)
        raise BadInput(f"shape has {len(sides)} sides; {host.device.name} has links for {most} dimensions")
    within_limit(math.prod(sides) * pods)
    graph, leaves = cluster_of(host), dict[str, float]()
    first = 0
    for pod in range(pods):
        at, hosts = _add_hosts(graph, sides, host, first, f"pod{pod}")
        first += len(hosts)
        _add_links(graph, at, sides, host.device.scale_up_pair_bytes_per_s, wrap)
        if scale_out or (scale_out is None and pods > 1):
            _add_leaf(graph, f"leaf{pod}", hosts, host.device.scale_out_bytes_per_s, leaves)
    add_spines(graph, leaves, 1.0, None)
    return graph


def _sides(shape: Sequence[int]) -> Place:
    if not isinstance(shape, list | tuple) or not 1 <= len(shape) <= 3:
        raise BadInput(f"shape is {str(shape)[:40]}; it must list one to three sides, such as [16, 16]")
    return tuple(count(side, "a side of shape") for side in shape)


def _add_hosts(
    graph: nx.Graph[str], sides: Place, shape: HostShape, first: int, domain: str
) -> tuple[dict[Place, str], list[str]]:
    """Add hosts, each over a block of neighbours; return the device at each place, and the hosts."""
    at: dict[Place, str] = {}
    hosts = []
    for index, places in enumerate(_blocks(sides, shape.devices), start=first):
        hosts.append(f"rack{index // HOSTS_PER_RACK}/host{index % HOSTS_PER_RACK}")
        own = HostShape.of(shape.device, len(places), shape.dram_bytes, shape.flash_bytes)
        at |= zip(places, add_host(graph, hosts[-1], own, domain, coordinates=places), strict=True)
    return at, hosts


def _blocks(sides: Place, size: int) -> Iterator[list[Place]]:
    """Places of each host: boxes of neighbours where they divide the torus, else runs of consecutive places."""
    box = [1] * len(sides)
    while math.prod(box) < size:
        axis = min(
            (axis for axis in range(len(sides)) if sides[axis] % (2 * box[axis]) == 0),
            key=lambda axis: (box[axis], -axis),
            default=None,
        )
        if axis is None:
            break
        box[axis] *= 2
    if math.prod(box) != size:
        places = list(itertools.product(*map(range, sides)))
        yield from (places[start : start + size] for start in range(0, len(places), size))
        return
    for corner in itertools.product(*(range(0, side, step) for side, step in zip(sides, box, strict=True))):
        ranges = (range(start, start + step) for start, step in zip(corner, box, strict=True))
        yield list(itertools.product(*ranges))


def _add_links(graph: nx.Graph[str], at: Mapping[Place, str], sides: Place, bytes_per_s: float, wrap: bool) -> None:
    for place, name in at.items():
        for axis, side in enumerate(sides):
            last = place[axis] == side - 1
            if side == 1 or (last and (side == 2 or not wrap)):
                continue
            other = at[(*place[:axis], (place[axis] + 1) % side, *place[axis + 1 :])]
            connect(graph, name, other, "scale_up", bytes_per_s * (2 if side == 2 and wrap else 1))


def _add_leaf(graph: nx.Graph[str], leaf: str, hosts: list[str], bytes_per_s: float, leaves: dict[str, float]) -> None:
    """Link the hosts of a pod to its leaf, each with the NICs of its devices together."""
    add_switch(graph, leaf)
    leaves[leaf] = 0.0
    for host in hosts:
        nics = bytes_per_s * sum(graph.nodes[other]["kind"] == "device" for other in graph[host])
        connect(graph, host, leaf, "scale_out", nics)
        leaves[leaf] += nics
