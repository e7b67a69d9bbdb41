"""What validate accepts, fills in and refuses."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest

import topologies
from topologies import BadCluster, validate

GPU = "rack0/host0/gpu0"
HOST = "rack0/host0"


def edited(change, nodes=2, **options):
    graph = topologies.hgx(nodes, **options)
    change(graph)
    return graph


@pytest.mark.parametrize(
    "graph",
    [
        topologies.hgx(3, "mi300x"),
        topologies.hgx(2, "l40s", devices_per_host=4),
        topologies.nvl72(1),
        topologies.torus((4, 4)),
        topologies.torus((2, 2, 2), "tpu-v5p", pods=2),
        topologies.fat_tree(5, "h20"),
        topologies.join(topologies.hgx(1, "h100"), topologies.hgx(1, "h200")),
    ],
    ids=["mesh", "pcie", "rack", "torus", "pods", "fat tree", "fleet"],
)
def test_builders_leave_nothing_to_fill_in(graph):
    checked = validate(graph)
    assert dict(checked.nodes(data=True)) == dict(graph.nodes(data=True))
    assert all(checked.edges[edge] == graph.edges[edge] for edge in graph.edges)
    assert checked is not graph


def test_the_least_graph_is_completed_and_the_argument_left_alone():
    graph = nx.Graph()
    graph.add_node("box", kind="host", rack="r7")
    for name in ("a", "b"):
        graph.add_node(name, kind="device", device="h100", host="box")
        graph.add_edge(name, "box", fabric="pcie", bandwidth_bytes_per_s=np.float32(64e9))
    graph.add_edge("a", "b", fabric="scale_up", bandwidth_bytes_per_s=450 * 10**9)
    checked = validate(graph)
    assert checked.nodes["a"] == {
        "kind": "device", "device": "h100", "host": "box", "domain": "a", "rack": "r7", "healthy": True
    }  # fmt: skip
    assert checked.nodes["box"]["dram_bytes"] == 2 * topologies.device("h100").host_dram_bytes
    assert checked.edges["a", "b"]["latency_s"] > 0
    assert "healthy" not in graph.nodes["a"]


def test_other_tools_may_leave_their_marks():
    checked = validate(edited(lambda g: g.nodes[GPU].update(x=1.5, label="GPU 0", uuid="GPU-1")))
    assert checked.nodes[GPU]["uuid"] == "GPU-1"


def test_a_cluster_may_define_its_devices():
    def own(graph):
        graph.graph["devices"] = {"h300": {"like": "h200", "hbm_bytes": 200e9}}
        graph.nodes[GPU]["device"] = "h300"

    assert topologies.devices_of(validate(edited(own)))["h300"].hbm_bytes == 200e9
    bad = edited(lambda g: g.graph.update(devices={"h300": {"like": "h200", "hbm_bytes": -1}}))
    with pytest.raises(BadCluster, match="device 'h300': hbm_bytes is -1"):
        validate(bad)


def without(*prefixes):
    return lambda graph: graph.remove_nodes_from([v for v in list(graph) if v.startswith(prefixes)])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda g: g.nodes[GPU].update(device="h20O"), ("vertex 'rack0/host0/gpu0'", "'h20O'", "nearest: ", "h200")),
        (lambda g: g.nodes[GPU].update(helthy=False), ("'helthy'", "did you mean 'healthy'")),
        (lambda g: g.nodes[GPU].update(healthy="no"), ("healthy is 'no'", "true or false")),
        (lambda g: g.nodes[GPU].update(kind="gpu"), ("kind is 'gpu'", "device, host, switch, storage")),
        (lambda g: g.nodes[GPU].pop("kind"), ("kind is missing",)),
        (lambda g: g.nodes[GPU].pop("device"), ("device is missing",)),
        (lambda g: g.nodes[GPU].update(device=None), ("device is missing",)),
        (lambda g: g.nodes[GPU].update(host=7), ("host is 7", "string")),
        (lambda g: g.nodes[GPU].update(host="rack0/host7"), ("host 'rack0/host7'", "nearest: rack0/host")),
        (lambda g: g.nodes[GPU].update(host="leaf0"), ("host 'leaf0' is no host vertex",)),
        (lambda g: g.nodes[GPU].update(host="rack0/host1"), ("to its host 'rack0/host1'", "links to: 'rack0/host0'")),
        (lambda g: g.nodes[GPU].update(coordinates=[0, -1]), ("coordinates", "whole numbers")),
        (lambda g: g.remove_edge(GPU, HOST), ("needs one pcie or c2c link", "links to: none")),
        (lambda g: g.nodes[HOST].update(dram_bytes=-1.0), ("dram_bytes is -1.0", "bytes")),
        (lambda g: g.nodes[f"{HOST}/flash"].pop("capacity_bytes"), ("capacity_bytes is missing",)),
        (lambda g: g.edges[GPU, "leaf0"].update(bandwidth_bytes_per_s=float("nan")), ("nan", "bytes/s")),
        (lambda g: g.edges[GPU, "leaf0"].update(bandwidth_bytes_per_s=float("inf")), ("inf", "finite")),
        (lambda g: g.edges[GPU, "leaf0"].update(bandwidth_bytes_per_s=10**400), ("finite",)),
        (lambda g: g.edges[GPU, "leaf0"].update(bandwidth_bytes_per_s=-5), ("-5", "at least 0")),
        (lambda g: g.edges[GPU, "leaf0"].update(bandwidth_bytes_per_s=0), ("bandwidth_bytes_per_s is 0",)),
        (lambda g: g.edges[GPU, "leaf0"].update(bandwidth_bytes_per_s=True), ("True", "number")),
        (lambda g: g.edges[GPU, "leaf0"].update(bandwidth_bytes_per_s="50GB/s"), ("'50GB/s'", "number")),
        (lambda g: g.edges[GPU, "leaf0"].update(latency_s=-1e-6), ("latency_s", "at least 0")),
        (lambda g: g.edges[GPU, "leaf0"].update(fabric="ib"), ("fabric is 'ib'", "scale_out")),
        (lambda g: g.edges[GPU, "leaf0"].update(fabric="pcie"), ("pcie cannot join device and switch",)),
        (lambda g: g.add_edge(GPU, GPU), ("joins a vertex to itself",)),
        (lambda g: g.add_edge(GPU, "nowhere"), ("vertex 'nowhere'", "kind is missing")),
        (lambda g: g.add_node(7, kind="switch"), ("vertex 7", "string")),
        (lambda g: g.add_node("disk", kind="storage", capacity_bytes=1e12), ("storage 'disk' has 0 links",)),
        (without("spine"), ("cannot reach each other", "switches are not joined", "scale_out")),
        (without("spine", "leaf"), ("cannot reach each other", "no NIC")),
        (without("rack0/host0/gpu", "rack0/host1/gpu"), ("no device",)),
    ],
)  # fmt: skip
def test_a_bad_cluster_is_named_with_its_limit(change, says):
    with pytest.raises(BadCluster) as caught:
        validate(edited(change))
    assert all(part in str(caught.value) for part in says), str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("graph", [nx.DiGraph(), nx.MultiGraph(), nx.Graph(), None, {"nodes": []}])
def test_what_is_no_cluster_at_all(graph):
    with pytest.raises(BadCluster):
        validate(graph)


def test_something_must_be_healthy():
    with pytest.raises(BadCluster, match="no healthy device"):
        validate(topologies.mark_unhealthy(topologies.hgx(2), ["rack0"]))


def test_one_domain_needs_no_fabric():
    validate(edited(without("spine", "leaf"), nodes=1))
    validate(topologies.torus((4, 4)))


def test_one_host_without_scale_up_needs_no_fabric():
    graph = topologies.hgx(1, "l40s")
    graph.remove_nodes_from([v for v in list(graph) if v.startswith(("spine", "leaf", "rack0/host0/pcie"))])
    assert len(topologies.scale_up_domains(validate(graph))) == 8


def test_a_device_that_only_its_host_connects_is_reached():
    graph = edited(lambda g: g.remove_edge("rack0/host1/gpu3", "leaf3"))
    assert validate(graph)
    assert topologies.Routes(graph).path("rack0/host0/gpu0", "rack0/host1/gpu3")[-3:-1] == [
        "rack0/host1/gpu0",
        "rack0/host1",
    ]


def test_a_broken_part_does_not_need_a_way_out():
    def break_host(graph):
        graph.remove_nodes_from(["rack0/host1/flash"])
        graph.remove_edges_from([(f"rack0/host1/gpu{i}", f"leaf{i}") for i in range(8)])

    with pytest.raises(BadCluster):
        validate(edited(break_host))
    assert validate(topologies.mark_unhealthy(edited(break_host), ["rack0/host1"]))
