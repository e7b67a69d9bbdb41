"""A cluster in words, and what is broken in it."""

from __future__ import annotations

import json

import networkx as nx
import pytest

import topologies
from topologies import describe, find_faults, mark_unhealthy, summary


def faults(graph):
    return {
        (fault.kind, fault.what.split(" that ")[0].split(" though ")[0]): fault.vertices for fault in find_faults(graph)
    }


def test_ten_thousand_devices_fit_on_a_screen():
    text = describe(topologies.nvl72(139))
    assert text.splitlines() == [
        "10,008 devices on 2,502 hosts in 139 scale-up domains",
        "├─ devices",
        "│  └─ 10,008 gb200, 192 GB each, all healthy",
        "├─ scale-up domains",
        "│  └─ gb200-72: 139 of 72 devices, by switch, 900 GB/s a device (rack0 … rack138)",
        "├─ hosts",
        "│  └─ 2,502 hosts with 4 gb200, 960 GB of memory, 15.4 TB of flash (rack0/host0 … rack138/host17)",
        "├─ racks",
        "│  └─ 139 racks of 18 hosts and 72 devices (rack0 … rack138)",
        "├─ scale-out fabric",
        "│  ├─ leaf: 72 switches, 500 TB/s down, 500 TB/s up, oversubscribed 1:1",
        "│  └─ spine: 16 switches, 500 TB/s down",
        "└─ faults",
        "   └─ none",
    ]


def test_what_is_not_healthy_shows_everywhere():
    graph = mark_unhealthy(topologies.hgx(3, "h200", 2.0), ["rack0/host1/gpu2"])
    lines = describe(graph).splitlines()
    assert lines[0] == "24 devices on 3 hosts in 3 scale-up domains; 1 not healthy"
    assert "│  └─ 24 h200, 141 GB each, 23 healthy, 1 not" in lines
    assert "│  ├─ h200-8: 2 of 8 devices, by switch, 450 GB/s a device (rack0/host0, rack0/host2)" in lines
    assert "│  └─ 1 rack of 3 hosts and 24 devices, 1 not healthy (rack0)" in lines
    assert "│  ├─ leaf: 8 switches, 1.2 TB/s down, 600 GB/s up, oversubscribed 2:1" in lines
    assert lines[-1] == "   └─ 1 device not healthy: rack0/host1/gpu2"


def test_a_summary_is_plain_data():
    told = summary(topologies.join(topologies.hgx(2, "h100", 4.0), topologies.hgx(1, "h200")))
    assert json.loads(json.dumps(told)) == told
    assert told["totals"] == {"devices": 24, "healthy_devices": 24, "hosts": 3, "domains": 3, "switches": 23}
    assert [(entry["class"], entry["count"], entry["scale_up_bytes_per_s"]) for entry in told["domains"]] == [
        ("h100-8", 2, 450e9),
        ("h200-8", 1, 450e9),
    ]
    leaf = told["tiers"][0]
    assert (leaf["name"], leaf["switches"], leaf["least_oversubscription"], leaf["oversubscription"]) == (
        "leaf", 16, 1.0, 4.0
    )  # fmt: skip
    assert told["faults"] == []


def test_a_healthy_cluster_has_no_faults():
    for graph in (topologies.torus((2, 4), pods=2), topologies.fat_tree(5, hosts_per_leaf=2), topologies.hgx(1)):
        assert find_faults(topologies.validate(graph)) == ()


def test_a_device_off_the_scale_up_fabric():
    graph = topologies.hgx(2)
    graph.remove_edge("rack0/host1/gpu3", "rack0/host1/nvswitch")
    assert faults(graph) == {("device", "off the scale-up fabric"): ("rack0/host1/gpu3",)}
    assert "h200-1: 1 of 1 device (rack0/host1/gpu3)" in describe(graph)


def test_fewer_nvlinks():
    graph = topologies.hgx(2)
    graph.edges["rack0/host0/gpu3", "rack0/host0/nvswitch"]["bandwidth_bytes_per_s"] *= 17 / 18
    assert faults(graph) == {("device", "with less scale-up bandwidth than most of its kind"): ("rack0/host0/gpu3",)}


def test_a_missing_nic():
    graph = topologies.hgx(3)
    graph.remove_edge("rack0/host1/gpu3", "leaf3")
    assert faults(graph) == {("device", "without a NIC"): ("rack0/host1/gpu3",)}
    shared = topologies.fat_tree(3)
    shared.edges["rack0/host1", "leaf0"]["bandwidth_bytes_per_s"] /= 2
    assert faults(shared) == {("host", "with less bandwidth to the fabric than most of its kind"): ("rack0/host1",)}


def test_a_leaf_without_uplinks():
    graph = topologies.hgx(4, spines=1)
    graph.remove_edge("leaf3", "spine0")
    assert faults(graph) == {("switch", "without a link to the tier above"): ("leaf3",)}


def test_a_bare_fabric():
    graph = nx.Graph()
    graph.add_nodes_from(["a", "b"], kind="host", rack="")
    graph.add_node("s", kind="switch", rack="")
    graph.add_edges_from([("a", "s"), ("b", "s")], fabric="scale_out", bandwidth_bytes_per_s=50e9)
    assert describe(graph).splitlines()[:3] == [
        "a bare fabric: 1 switch and 2 hosts without devices",
        "├─ hosts",
        "│  └─ 2 hosts with no device (a, b)",
    ]
    assert summary(graph)["tiers"][0]["down_bytes_per_s"] == 100e9


@pytest.mark.parametrize("seed", range(3))
def test_names_change_nothing_but_names(seed):
    graph = topologies.hgx(3, "h200", 2.0)
    new = {vertex: f"x{seed}/{vertex}" for vertex in graph}
    renamed = nx.relabel_nodes(graph, new)
    for _, data in renamed.nodes(data=True):
        data.update({key: new[data[key]] for key in ("host",) if key in data})
    told, again = summary(graph), summary(renamed)
    assert told["totals"] == again["totals"]
    assert told["tiers"] == again["tiers"]
    assert [entry["count"] for entry in told["hosts"]] == [entry["count"] for entry in again["hosts"]]
