"""One cluster from what files say: hosts matched with the fabric, gaps filled, the result checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import networkx as nx

from topologies.builders.arguments import within_limit
from topologies.cluster import validate
from topologies.components import scale_up_components
from topologies.errors import BadCluster, BadInput
from topologies.hardware import Device
from topologies.importers.cables import add_assumed_fabric, add_fabric
from topologies.importers.domains import labels_of
from topologies.importers.fabric import Fabric
from topologies.importers.fill import Fill
from topologies.importers.findings import Findings, Import, Notes, listed
from topologies.importers.hosts import add_machine, add_way_between_islands
from topologies.importers.kinds import kinds_of
from topologies.importers.machine import Machine
from topologies.importers.matching import Names
from topologies.importers.placing import place
from topologies.importers.template import merged


def compose(findings: Sequence[Findings], fill: Fill) -> Import:
    """The cluster that some files describe together.

    Raises
    ------
    BadInput: they do not fit each other, or leave open what nothing fills.
    """
    notes = Notes()
    for one in findings:
        notes.take(one)
    whole = [(one.source, one.graph) for one in findings if one.graph is not None]
    if whole:
        graph = _whole(*whole[0], len(findings), fill)
    else:
        machines, fabric = merged(findings, notes), _fabric(findings, notes)
        _check_names(fabric)
        placed = place(machines, fabric, fill, notes)
        graph = _cluster(placed, fabric, fill, notes) if placed else _bare(fabric or Fabric(), fill, notes)
    return Import(graph, notes.fault_lines(), list(notes.assumptions), tuple(findings))


def _whole(source: str, graph: nx.Graph[str], files: int, fill: Fill) -> nx.Graph[str]:
    """The graph of a file that holds a whole cluster, which must be alone."""
    if files > 1:
        raise BadInput(f"{source} holds a whole cluster; join it to others with topologies.join, or drop the others")
    if fill.device is not None or fill.hosts is not None:
        raise BadInput(f"{source} holds a whole cluster; neither device nor hosts can be given for it")
    return _checked(graph, source, Notes())


def _checked(graph: nx.Graph[str], where: str, notes: Notes) -> nx.Graph[str]:
    """The validated cluster; what is wrong with one is said with the faults that may be why."""
    try:
        return validate(graph)
    except BadCluster as error:
        faults = notes.fault_lines()
        why = f" (faults found: {'; '.join(faults[:3])[:600]})" if faults else ""
        raise BadCluster(" ".join(f"{where}: {error}{why}".split())) from error


def _check_names(fabric: Fabric | None) -> None:
    clash = set(fabric.hosts) & set(fabric.switches) if fabric is not None else set()
    if clash:
        raise BadInput(f"{listed(sorted(clash))}: the name of a host and of a switch; rename one")


def _fabric(findings: Sequence[Findings], notes: Notes) -> Fabric | None:
    """The fabric of all files: links from the one with speeds, scale-up domains and products from any."""
    found = [(one.source, one.fabric) for one in findings if one.fabric is not None]
    if not found:
        return None
    switched = [pair for pair in found if pair[1].ports]
    timed = [pair for pair in switched if any(port.bytes_per_s for port in pair[1].ports)]
    name, main = (timed or switched or found)[0]
    for other, fabric in found:
        if fabric is main:
            continue
        if fabric.ports:
            notes.assume(f"{other} tells of switches as {name} does; those of {name} are taken")
        main = _with_domains(main, other, fabric, notes)
    return main


def _with_domains(main: Fabric, other: str, fabric: Fabric, notes: Notes) -> Fabric:
    """The fabric with the domains and products of another file, under its own names of hosts."""
    known = Names(main.hosts)
    names = {host: known.find(host) if main.ports else host for host in fabric.hosts}
    strange = [host for host, name in names.items() if not name]
    if strange:
        notes.fault(f"{other} names hosts that are on no switch; left out: {listed(strange)}")
    domains = dict(main.domains)
    for label, members in fabric.domains.items():
        renamed = (names[host] for host in members if names[host])
        domains[label] = tuple(dict.fromkeys((*domains.get(label, ()), *renamed)))
    products = {names[host]: kind for host, kind in fabric.products.items() if names[host]}
    counts = {names[host]: count for host, count in fabric.counts.items() if names[host]}
    memories = {names[host]: size for host, size in fabric.memories.items() if names[host]}
    return replace(
        main,
        domains=domains,
        products={**products, **main.products},
        counts={**counts, **main.counts},
        memories={**memories, **main.memories},
    )


def _cluster(placed: Mapping[str, Machine], fabric: Fabric | None, fill: Fill, notes: Notes) -> nx.Graph[str]:
    """The checked cluster of hosts, scale-up domains and fabric."""
    within_limit(sum(len(machine.slots) for machine in placed.values()))
    known: dict[tuple[object, ...], dict[str, Device]] = {}
    machines: dict[str, tuple[Machine, Mapping[str, Device]]] = {}
    for host, machine in placed.items():
        key = tuple((slot.name, slot.product, slot.memory_bytes) for slot in machine.slots)
        if key not in known:
            known[key] = kinds_of(machine, fill, notes)
        machines[host] = machine, known[key]
    graph: nx.Graph[str] = nx.Graph()
    labels = labels_of(machines, fabric, fill, notes)
    for host, (machine, kinds) in machines.items():
        add_machine(graph, machine, kinds, labels.get(host, ""), notes)
    _note_catalog(machines, notes)
    if fabric is not None and fabric.ports:
        graph.add_nodes_from((host for host in fabric.hosts if host not in graph), kind="host")
        add_fabric(graph, fabric, machines, fill.oversubscription, notes)
    elif len(machines) > 1:
        add_assumed_fabric(graph, machines.values(), fill.oversubscription, notes)
    elif len(scale_up_components(graph)) > 1:
        add_way_between_islands(graph, *next(iter(machines.values())), notes)
    return _checked(graph, "the cluster as imported", notes)


def _note_catalog(machines: Mapping[str, tuple[Machine, Mapping[str, Device]]], notes: Notes) -> None:
    """Say what every import takes from the catalog."""
    names = Counter(kind.name for _, kinds in machines.values() for kind in kinds.values())
    notes.assume(f"memory, flash and host links as in the catalog for {', '.join(sorted(names))}")


def _bare(fabric: Fabric, fill: Fill, notes: Notes) -> nx.Graph[str]:
    """Hosts and switches without devices, for :func:`topologies.importers.assemble` to fill."""
    graph: nx.Graph[str] = nx.Graph()
    rack = {host: label for label, hosts in fabric.domains.items() for host in hosts}
    for host in fabric.hosts:
        graph.add_node(host, kind="host", rack=rack.get(host, ""))
    add_fabric(graph, fabric, {}, fill.oversubscription, notes)
    notes.assume("no file and no argument tells of devices: a bare fabric, to be assembled with hosts or a device=")
    return graph
