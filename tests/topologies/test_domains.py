"""Domains, classes of identical ones, and the tiers of the fabric."""

from __future__ import annotations

import random

import networkx as nx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from topologies import domain_classes, fabric_tiers, mark_unhealthy, scale_up_domains
from topologies.routes.parts import Parts

FLEETS = {
    "hgx": lambda: topologies.hgx(5, hosts_per_unit=4),
    "racks": lambda: topologies.nvl72(3, trays_per_rack=3, racks_per_unit=2),
    "mesh": lambda: topologies.hgx(2, "mi300x"),
    "fat tree": lambda: topologies.fat_tree(5, "l40s", hosts_per_leaf=2),
    "torus": lambda: topologies.torus((2, 4), pods=2),
    "mixed": lambda: topologies.join(topologies.hgx(2, "h100"), topologies.hgx(2, "h200"), topologies.fat_tree(1)),
    "broken torus": lambda: mark_unhealthy(topologies.torus((3, 3), pods=2, devices_per_host=3), ["rack0/host1/gpu1"]),
}


def sketch(classes):
    return [(group.name, group.count, group.profile) for group in classes]


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
@settings(deadline=None, max_examples=8)
@given(seed=st.integers(0, 1000))
def test_renaming_changes_nothing_but_names(make, seed):
    graph = make()
    names = [f"v{i}" for i in range(len(graph))]
    random.Random(seed).shuffle(names)
    to = dict(zip(sorted(graph), names, strict=True))
    renamed = nx.relabel_nodes(graph, to)
    for _, data in renamed.nodes(data=True):
        data.update({"host": to[data["host"]]} if "host" in data else {})
    assert sketch(domain_classes(renamed)) == sketch(domain_classes(graph))
    groups = {frozenset(to[v] for d in group.domains for v in d.devices) for group in domain_classes(graph)}
    assert groups == {frozenset(v for d in group.domains for v in d.devices) for group in domain_classes(renamed)}
    assert [t.oversubscription for t in fabric_tiers(renamed)] == [t.oversubscription for t in fabric_tiers(graph)]


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
def test_every_healthy_device_is_in_exactly_one_class(make):
    graph = mark_unhealthy(make(), ["rack0/host0/gpu0"])
    placed = [v for group in domain_classes(graph) for domain in group.domains for v in domain.devices]
    healthy = {v for v, d in graph.nodes(data=True) if d["kind"] == "device" and d["healthy"]}
    assert len(placed) == len(set(placed)) == len(healthy)
    assert set(placed) == healthy


def test_a_profile_says_what_a_planner_needs():
    (group,) = domain_classes(topologies.nvl72(2))
    assert (group.device, group.size, group.count) == ("gb200", 72, 2)
    assert group.profile.devices_per_host == (4,) * 18
    assert group.profile.least == topologies.Rates(900e9, 50e9, 225e9)
    assert group.profile.total.scale_out == 72 * 50e9
    assert group.profile.dram_bytes == 72 * 240e9
    assert group.profile.flash_bytes == 18 * 15.36e12
    assert group.profile.leaves == ((18, 1.0),) * 4
    assert group.domains[1].leaves == ("leaf0", "leaf1", "leaf2", "leaf3")
    assert group.domains[1].host_names[:2] == ("rack1/host0", "rack1/host1")


@pytest.mark.parametrize(
    ("shape", "graph"),
    [
        ("switch", topologies.hgx(1)),
        ("mesh", topologies.hgx(1, "mi300x")),
        ("torus", topologies.torus((4, 4))),
        ("other", mark_unhealthy(topologies.torus((4, 4)), ["rack0/host0/gpu0"])),
        ("single", topologies.hgx(1, devices_per_host=1)),
    ],
)
def test_shapes(shape, graph):
    assert [group.profile.shape for group in domain_classes(graph)] == [shape]


def test_the_position_of_a_broken_device_in_a_torus_does_not_matter_but_two_do():
    def profile(*broken):
        return domain_classes(mark_unhealthy(topologies.torus((4, 4), devices_per_host=1), broken))[0].profile

    one, other = profile("rack0/host0/gpu0"), profile("rack0/host9/gpu0")
    assert one == other
    near, far = ("rack0/host0", "rack0/host1"), ("rack0/host0", "rack0/host10")
    assert profile(*near) != profile(*far)
    assert profile(*near) == profile("rack0/host5", "rack0/host9")


@pytest.mark.parametrize(
    "change",
    [
        lambda g: g.edges["rack0/host0/gpu0", "leaf0"].update(bandwidth_bytes_per_s=25e9),
        lambda g: g.edges["rack0/host0/gpu0", "rack0/host0/nvswitch"].update(bandwidth_bytes_per_s=225e9),
        lambda g: g.edges["rack0/host0/gpu0", "rack0/host0"].update(bandwidth_bytes_per_s=32e9),
        lambda g: g.nodes["rack0/host0"].update(dram_bytes=1e12),
        lambda g: g.nodes["rack0/host0/flash"].update(capacity_bytes=1e12),
        lambda g: g.nodes["rack0/host0/gpu0"].update(healthy=False),
        lambda g: g.remove_edge("rack0/host0/gpu0", "leaf0"),
        lambda g: g.remove_node("rack0/host0/flash"),
    ],
)
def test_whatever_a_planner_can_see_splits_a_class(change):
    graph = topologies.hgx(4)
    change(graph)
    assert sorted(group.count for group in domain_classes(topologies.validate(graph))) == [1, 3]


def test_the_leaf_does_not_split_a_class_but_its_oversubscription_does():
    graph = topologies.hgx(7, hosts_per_unit=4)
    assert [group.count for group in domain_classes(graph)] == [7]
    for number in range(8):
        for spine in (v for v in graph[f"leaf{number}"] if v.startswith("spine")):
            graph.edges[f"leaf{number}", spine]["bandwidth_bytes_per_s"] /= 2
    assert sorted(group.count for group in domain_classes(graph)) == [3, 4]


def test_a_device_off_the_switch_is_a_domain_of_its_own():
    graph = topologies.hgx(1)
    graph.remove_edge("rack0/host0/gpu2", "rack0/host0/nvswitch")
    domains = scale_up_domains(topologies.validate(graph))
    assert {domain.name: domain.size for domain in domains} == {"rack0/host0/gpu0": 7, "rack0/host0/gpu2": 1}
    big, small = domain_classes(graph)
    assert big.profile.dram_bytes == 7 * small.profile.dram_bytes, "the host's memory is shared"


def test_a_device_without_a_nic_counts_on_those_beside_it():
    graph = topologies.hgx(2)
    graph.remove_edges_from([(f"rack0/host0/gpu{i}", f"leaf{i}") for i in range(4)])
    whole, half = domain_classes(topologies.validate(graph))
    assert {whole.profile.least.scale_out, half.profile.least.scale_out} == {50e9, 4 * 50e9 / 8}


def test_two_kinds_on_one_switch_are_two_domains():
    graph = topologies.hgx(1)
    for number in (6, 7):
        graph.nodes[f"rack0/host0/gpu{number}"]["device"] = "h100"
    assert [(group.name, group.count) for group in domain_classes(graph)] == [("h100-2", 1), ("h200-6", 1)]
    assert topologies.Routes(graph).hops("rack0/host0/gpu0", "rack0/host0/gpu7") == 2


def test_tiers_say_what_the_links_say():
    leaf, spine = fabric_tiers(topologies.hgx(4, spine_oversubscription=3.0))
    assert (leaf.name, leaf.down_bytes_per_s, leaf.oversubscription) == ("leaf", 32 * 50e9, pytest.approx(3.0))
    assert leaf.up_bytes_per_s == pytest.approx(spine.down_bytes_per_s)
    assert (spine.name, spine.oversubscription) == ("spine", None)
    assert fabric_tiers(topologies.torus((4, 4))) == ()
    (only,) = fabric_tiers(topologies.fat_tree(2))
    assert (only.name, len(only.switches), only.oversubscription) == ("leaf", 1, None)


def test_parts_found_already_give_the_same_domains_and_routes() -> None:
    graph = topologies.mark_unhealthy(topologies.hgx(nodes=3, device="h100"), ["rack0/host1/gpu5"])
    parts = Parts.of(graph)
    assert topologies.domain_classes(graph, parts) == topologies.domain_classes(graph)
    devices = [d for group in topologies.domain_classes(graph) for domain in group.domains for d in domain.devices]
    given, own = topologies.Routes(graph, parts), topologies.Routes(graph)
    assert given.all_to_all_loads(devices, 1e9) == own.all_to_all_loads(devices, 1e9)
