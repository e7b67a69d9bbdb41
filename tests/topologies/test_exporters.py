"""Clusters as files for other tools, and back."""

from __future__ import annotations

import networkx as nx
import pytest

import topologies
from topologies import BadInput, devices_of, fabric_tiers, scale_up_domains, validate
from topologies.exporters import to_graphml, to_slurm, to_topograph
from topologies.exporters.schedulers import fold
from topologies.importers import read

OWN = {"name": "mine", "like": "h200", "hbm_bytes": 200e9}
FLEETS = {
    "own devices": lambda: topologies.hgx(2, OWN, 2.0),
    "racks": lambda: topologies.nvl72(2, trays_per_rack=2),
    "torus": lambda: topologies.torus((2, 4), pods=2),
    "broken": lambda: topologies.mark_unhealthy(topologies.fat_tree(4, hosts_per_leaf=2), ["rack0/host1"]),
}


@pytest.mark.parametrize("make", FLEETS.values(), ids=FLEETS)
def test_graphml_reads_back_as_it_was(tmp_path, make):
    graph = validate(make())
    to_graphml(graph, tmp_path / "a.graphml")
    again = read(tmp_path / "a.graphml")
    assert nx.utils.graphs_equal(nx.Graph(again.graph.edges), nx.Graph(graph.edges))
    assert dict(again.graph.nodes) == dict(graph.nodes)
    assert {frozenset(pair): graph.edges[pair] for pair in graph.edges} == {
        frozenset(pair): again.graph.edges[pair] for pair in again.graph.edges
    }
    assert (again.faults, again.assumptions) == ([], [])
    used = {data["device"] for _, data in graph.nodes(data=True) if "device" in data}
    assert [devices_of(again.graph)[name] for name in used] == [devices_of(graph)[name] for name in used]


def test_networkx_reads_the_graphml(tmp_path):
    to_graphml(topologies.hgx(1, spines=1), tmp_path / "a.graphml")
    graph = nx.read_graphml(tmp_path / "a.graphml")
    assert graph.nodes["rack0/host0/gpu0"]["healthy"] is True
    assert graph.edges["leaf0", "spine0"]["bandwidth_bytes_per_s"] == 50e9
    to_graphml(topologies.hgx(1, spines=1), tmp_path / "b.graphml")
    assert (tmp_path / "a.graphml").read_bytes() == (tmp_path / "b.graphml").read_bytes()


def test_rails_are_one_switch_to_slurm(tmp_path):
    text = to_slurm(topologies.hgx(6, hosts_per_unit=4))
    assert text == (
        "SwitchName=leaf0 Nodes=rack0-host[0-3]\nSwitchName=leaf8 Nodes=rack1-host[0-1]\n"
        "SwitchName=top Switches=leaf[0,8]\n"
    )
    (tmp_path / "topology.conf").write_text(text)
    again = read(tmp_path / "topology.conf", device="h200")
    assert [len(tier.switches) for tier in fabric_tiers(again.graph)] == [2, 1]
    assert len(scale_up_domains(again.graph)) == 6


def test_racks_are_blocks(tmp_path):
    racks = topologies.nvl72(2)
    text = to_slurm(racks, "block")
    assert text == ("BlockName=rack0 Nodes=rack0-host[0-17]\nBlockName=rack1 Nodes=rack1-host[0-17]\nBlockSizes=18\n")
    (tmp_path / "model.yaml").write_text(to_topograph(racks))
    again = read(tmp_path / "model.yaml", device="gb200")
    assert {domain.name: domain.size for domain in scale_up_domains(again.graph)} == {"rack0": 72, "rack1": 72}
    (tmp_path / "model.yaml").write_text(to_topograph(topologies.fat_tree(4, hosts_per_leaf=2)))
    assert [len(tier.switches) for tier in fabric_tiers(read(tmp_path / "model.yaml").graph)] == [2, 1]


def test_what_a_scheduler_cannot_be_told():
    with pytest.raises(BadInput, match="no scale-up domain joins several hosts"):
        to_slurm(topologies.hgx(2), "block")
    with pytest.raises(BadInput, match="no scale-out fabric"):
        to_topograph(topologies.torus((2, 2)))
    with pytest.raises(BadInput, match="must be tree or block"):
        to_slurm(topologies.hgx(2), "ring")
    clash = nx.relabel_nodes(topologies.fat_tree(2), {"rack0/host1": "rack0-host0"})
    for _, data in clash.nodes(data=True):
        data.update({"host": "rack0-host0"} if data.get("host") == "rack0/host1" else {})
    with pytest.raises(BadInput, match="rename one"):
        to_slurm(clash)


@pytest.mark.parametrize(
    ("names", "folded"),
    [
        (["n1"], "n1"),
        (["n01", "n02", "n10", "n11"], "n[01-02],n[10-11]"),
        (["a", "b"], "a,b"),
        (["n9", "n10", "n11"], "n[9-11]"),
        (["n1x", "n2x"], "n1x,n2x"),
    ],
)
def test_folding(names, folded):
    assert fold(names) == folded
