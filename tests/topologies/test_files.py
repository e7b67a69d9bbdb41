"""Cluster files."""

from __future__ import annotations

import json
import random

import networkx as nx
import pytest

import topologies
from topologies import BadInput, load, save


@pytest.fixture
def fleet():
    own = {"name": "mine", "like": "h200", "hbm_bytes": 200e9}
    return topologies.join(topologies.hgx(2, own), topologies.torus((2, 4), scale_out=True))


def test_a_cluster_reads_back_as_it_was(tmp_path, fleet):
    save(fleet, tmp_path / "fleet.json")
    again = load(tmp_path / "fleet.json")
    assert nx.utils.graphs_equal(nx.Graph(again), nx.Graph(fleet))
    assert topologies.devices_of(again)["mine"] == topologies.devices_of(fleet)["mine"]


def test_the_same_cluster_is_the_same_bytes(tmp_path, fleet):
    nodes, edges = list(fleet.nodes(data=True)), [(b, a, data) for a, b, data in fleet.edges(data=True)]
    random.Random(1).shuffle(nodes)
    random.Random(2).shuffle(edges)
    shuffled = nx.Graph(**fleet.graph)
    shuffled.add_nodes_from(nodes)
    shuffled.add_edges_from(edges)
    save(fleet, tmp_path / "a.json")
    save(shuffled, tmp_path / "b.json")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_networkx_writes_what_is_read(tmp_path):
    data = nx.node_link_data(topologies.hgx(1), edges="links") | {"schema_version": 1}
    (tmp_path / "x.json").write_text(json.dumps(data))
    assert len(load(tmp_path / "x.json")) == len(topologies.hgx(1))


def test_quantities_may_carry_units(tmp_path):
    data = {
        "schema_version": 1,
        "nodes": [
            {"id": "box", "kind": "host", "dram_bytes": "2TB"},
            {"id": "gpu", "kind": "device", "device": "h100", "host": "box"},
        ],
        "edges": [
            {"source": "gpu", "target": "box", "fabric": "pcie", "bandwidth_bytes_per_s": "512Gbit/s"}
        ],
    }  # fmt: skip
    (tmp_path / "x.json").write_text(json.dumps(data))
    graph = load(tmp_path / "x.json")
    assert graph.nodes["box"]["dram_bytes"] == 2e12
    assert graph.edges["gpu", "box"] == {"fabric": "pcie", "bandwidth_bytes_per_s": 64e9, "latency_s": 1e-6}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: d.update(schema_version=2), "schema_version is 2"),
        (lambda d: d.pop("schema_version"), "schema_version is None"),
        (lambda d: d.update(vertices=[]), "nearest: "),
        (lambda d: d.update(nodes={}), "nodes of the cluster file must be a list"),
        (lambda d: d.pop("edges"), "edges of the cluster file must be a list"),
        (lambda d: d.update(directed=True), "directed"),
        (lambda d: d.update(graph={"device": {}}), "nearest: devices"),
        (lambda d: d["nodes"].append(3), "nodes[20] must be an object"),
        (lambda d: d["nodes"][0].update(helth=1), "nearest: healthy"),
        (lambda d: d["nodes"].append(d["nodes"][0]), "is listed twice"),
        (lambda d: d["nodes"].append({"id": 5, "kind": "switch"}), "id is 5"),
        (lambda d: d["edges"].append(d["edges"][0]), "is listed twice; add their bandwidths"),
        (lambda d: d["edges"][0].update(source="rack9"), "no vertex is named 'rack9'"),
        (lambda d: d["edges"][0].update(target=["x"]), "no vertex is named ['x']"),
        (lambda d: d["edges"][0].update(bandwidth_bytes_per_s="fast"), "edges[0]: bandwidth_bytes_per_s"),
        (lambda d: d["edges"][0].update(bandwidth_bytes_per_s=None), "bandwidth_bytes_per_s is missing"),
    ],
)
def test_a_bad_file_is_refused_with_the_place(tmp_path, change, says):
    data = topologies.to_plain(topologies.hgx(1, spines=1))
    change(data)
    (tmp_path / "bad.json").write_text(json.dumps(data))
    with pytest.raises(BadInput) as caught:
        load(tmp_path / "bad.json")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe", b"[]", b"null", b'{"nodes": [], "nodes": []}', b"[" * 100_000, b"9" * 10_000]
)
def test_what_is_no_cluster_file(tmp_path, content):
    (tmp_path / "bad.json").write_bytes(content)
    with pytest.raises(BadInput):
        load(tmp_path / "bad.json")
    with pytest.raises(BadInput, match="cannot read"):
        load(tmp_path / "absent.json")
    with pytest.raises(BadInput, match="cannot read"):
        load(tmp_path)
