"""Several files that describe one cluster together."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import networkx as nx
import pytest

import topologies
from topologies import BadInput, domain_classes, fabric_tiers, load, save, scale_up_domains, validate
from topologies.importers import assemble, read

_SPEC = importlib.util.spec_from_file_location("import_texts", Path(__file__).with_name("import_texts.py"))
texts = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(texts)

BROKEN = texts.TOPO.replace("NV18", "SYS", 2).replace("GPU1\tNV18", "GPU1\tSYS").replace("GPU2\tNV18", "GPU2\tSYS")


@pytest.fixture
def file(tmp_path):
    def write(text, name):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def unhealthy(graph):
    return [vertex for vertex, data in graph.nodes(data=True) if data.get("healthy") is False]


def leaves(graph, vertex):
    return sorted(other for other in graph[vertex] if "leaf" in other)


def test_matrix_and_log_of_one_host(file):
    found = assemble(file(texts.TOPO, "topo.txt"), file(texts.LOG, "smi.xml"))
    (group,) = domain_classes(validate(found.graph))
    assert (group.device, group.size) == ("h200", 3)
    assert "the files topo, smi are taken to describe one host, each being of another format" in found.assumptions
    slot = found.findings[0].machines[0].slots[0]
    assert (slot.nics, slot.switched) == (("mlx5_0",), None)


def test_files_of_one_name_are_one_host(file):
    files = [file(texts.TOPO, f"node{i}.txt") for i in (1, 2)] + [file(texts.LOG, f"node{i}.xml") for i in (1, 2)]
    found = assemble(*files)
    assert [(domain.name, domain.size) for domain in scale_up_domains(found.graph)] == [("node1", 3), ("node2", 3)]
    assert [len(tier.switches) for tier in fabric_tiers(found.graph)] == [3, 1]
    assert any("no file tells of switches" in line for line in found.assumptions)


def test_files_of_one_host_that_do_not_fit(file):
    with pytest.raises(BadInput, match="'a' list 3 and 2 devices; they must be of the same host"):
        assemble(file(texts.TOPO, "a.txt"), file(texts.NCCL, "a.xml"))


def test_a_fault_of_the_matrix_stays_when_the_log_knows_better(file):
    found = assemble(file(BROKEN, "topo.txt"), file(texts.LOG, "smi.xml"))
    assert unhealthy(found.graph) == ["topo/gpu0"]


def test_hosts_of_one_nvlink_domain_by_uuid_and_clique(file):
    log = texts.LOG.replace("00000000-0000-0000-0000-000000000000", "0badcafe-0000-4000-8000-000000000001")
    log = log.replace("<status>Success</status></fabric>", log.split("</state>")[1].split("</fabric>")[0] + "</fabric>")
    log = log.replace("H200", "GB200").replace("143771", "189471")
    other = log.replace("<cliqueId>0", "<cliqueId>7")
    found = assemble(file(log, "t1.xml"), file(log, "t2.xml"), file(other, "t3.xml"))
    sizes = {domain.name: domain.size for domain in scale_up_domains(found.graph)}
    assert sizes == {
        "0badcafe-0000-4000-8000-000000000001.0": 6,
        "0badcafe-0000-4000-8000-000000000001.7": 3,
    }


def test_hosts_are_matched_by_name_and_nics_by_name(file):
    fabric = file(texts.fabric(hosts=2, nics=5), "ib.txt")
    log = file(texts.LOG, "node-0.xml")
    found = assemble(fabric, file(texts.TOPO, "NODE-0.example.txt"), log, file(texts.TOPO, "node-1.txt"), device="h200")
    assert leaves(found.graph, "node-0/gpu0") == ["leaf-0"]
    near = assemble(fabric, read(file(texts.TOPO, "x.txt"), host="node-1", device="h200"), device="h200")
    assert leaves(near.graph, "node-1/gpu0") == ["leaf-0"]
    assert leaves(near.graph, "node-1/gpu1") == leaves(near.graph, "node-1/gpu2") == ["leaf-4"]
    rate = near.graph.edges["node-1/gpu1", "leaf-4"]["bandwidth_bytes_per_s"]
    assert rate == 25e9


def test_a_host_is_matched_by_the_guid_of_its_nic(file):
    machine = texts.NCCL.replace("0xe09d730300000001", "0xe09d730300000003")
    found = assemble(file(texts.IB, "ib.txt"), file(machine, "unnamed.xml"), file(texts.NCCL, "other.xml"))
    assert found.graph.nodes["node-2/gpu0"]["host"] == "node-2"
    assert not any("left out" in line and "unnamed" in line for line in found.faults)


def test_one_host_stands_for_all_and_its_fault_stays_where_it_is(file):
    fabric = file(texts.SLURM, "topology.conf")
    named = assemble(fabric, file(BROKEN, "node3.txt"), device="h200")
    assert unhealthy(named.graph) == ["node3/gpu0"]
    assert "3 hosts of the fabric taken to be like node3" in named.assumptions
    unnamed = assemble(fabric, file(BROKEN, "some.txt"), device="h200")
    assert unhealthy(unnamed.graph) == []
    assert "which host some is, is not known; its faults are on none" in unnamed.faults
    assert [(group.device, group.size, group.count) for group in domain_classes(unnamed.graph)] == [("h200", 3, 4)]


def test_copies_of_one_host(file):
    found = assemble(file(BROKEN, "box.txt"), hosts=8, device="h200", oversubscription=2.0)
    assert unhealthy(found.graph) == ["host0/gpu0"]
    assert [(group.size, group.count) for group in domain_classes(found.graph)] == [(3, 7), (2, 1)]
    assert [tier.oversubscription for tier in fabric_tiers(found.graph)] == [2.0, None]
    racks = assemble(file(texts.TOPO, "tray.txt"), hosts=50, device="gb200")
    assert sorted(domain.size for domain in scale_up_domains(racks.graph)) == [6, 72, 72]


def test_hosts_from_one_file_and_domains_from_another(file):
    ib = file(texts.fabric(hosts=4, nics=2).replace("node-", "NODE"), "ib.txt")
    blocks = file("BlockName=a Nodes=node[0-1]\nBlockName=b Nodes=node[2-3],node9\n", "topology.conf")
    found = assemble(blocks, ib, device="gb200")
    assert {domain.name: domain.size for domain in scale_up_domains(found.graph)} == {"a": 8, "b": 8}
    assert any("names hosts that are on no switch; left out: node9" in line for line in found.faults)


def test_speeds_win_over_a_scheduler(file):
    found = assemble(file(texts.SLURM, "t.conf"), file(texts.fabric(4, 2), "ib.txt"), device="h200", devices_per_host=2)
    assert [len(tier.switches) for tier in fabric_tiers(found.graph)] == [2, 1]
    assert any("those of" in line and "ib.txt are taken" in line for line in found.assumptions)


def test_graphs_and_imports_are_sources_too(file):
    bare = read(file(texts.SLURM, "t.conf"))
    found = assemble(bare, read(file(texts.TOPO, "box.txt"), device="h200"), device="h200")
    assert len(scale_up_domains(found.graph)) == 4
    fabric = nx.Graph()
    fabric.add_node("a", kind="host")
    fabric.add_node("s", kind="switch")
    fabric.add_edge("a", "s", fabric="scale_out", bandwidth_bytes_per_s=1e9)
    filled = assemble(fabric, device="h100").graph
    assert filled.edges["a", "s"]["bandwidth_bytes_per_s"] == 1e9
    assert len(filled) == 12
    assert assemble(topologies.hgx(1)).complete


def test_hosts_that_no_file_describes_are_told(file):
    files = [file(texts.TOPO, f"node{i}.txt") for i in (1, 2, 9)]
    with pytest.raises(BadInput, match="fit h100, h200"):
        assemble(file(texts.SLURM, "t.conf"), *files)
    logs = [file(texts.LOG, f"node{i}.xml") for i in (1, 2, 9)]
    found = assemble(file(texts.SLURM, "t.conf"), *logs)
    assert "files describe hosts that the fabric does not name; left out: node9" in found.faults
    assert "2 hosts of the fabric without devices, being in no other file: node3, node4" in found.faults


@pytest.mark.parametrize(
    ("names", "given", "says"),
    [
        ([], {}, "needs at least one file"),
        (["t.conf"], {"hosts": 2}, "the fabric names its 4 hosts; leave hosts out"),
        (["a.xml", "b.xml"], {"hosts": 2}, "hosts copies one host; the files describe 2"),
        (["g.graphml", "t.conf"], {}, "holds a whole cluster; join it to others with topologies.join"),
        (["g.graphml"], {"device": "h100"}, "neither device nor hosts can be given"),
        (["t.conf"], {"device": "h300"}, "nearest: b300, h100, h200"),
        (["t.conf"], {"device": 5}, "device is 5; it must be a catalog name"),
        (["t.conf"], {"device": "h100", "oversubscription": 0}, "oversubscription is 0"),
        (["a.xml"], {"hosts": 10**9}, "hosts is 1000000000; it must be a whole number from 1 to 50,000"),
        (["a.xml"], {"device": "h100", "devices_per_host": "8"}, "devices_per_host is 8"),
        (["clash.conf"], {}, "node1: the name of a host and of a switch"),
        (["absent.txt"], {}, "cannot read"),
    ],
)
def test_what_does_not_fit_is_refused(file, tmp_path, names, given, says):
    file(texts.SLURM, "t.conf"), file(texts.GRAPHML, "g.graphml")
    file(texts.LOG, "a.xml"), file(texts.LOG, "b.xml")
    file(texts.SLURM.replace("spine", "node1"), "clash.conf")
    with pytest.raises(BadInput) as caught:
        assemble(*(tmp_path / name for name in names), **given)
    assert says in str(caught.value)


def test_a_cluster_with_one_device_off_nvlink_and_one_dead_nic(file):
    names = [f"GPU{i}" for i in range(8)]
    rows = {a: [a, *("X" if a == b else "NV18" for b in names), *("PIX" if j == i else "SYS" for j in range(8))]
            for i, a in enumerate(names)}  # fmt: skip
    rows["GPU2"][1:9] = ["SYS", "SYS", "X", *["SYS"] * 5]
    for name in names[:2] + names[3:]:
        rows[name][3] = "SYS"
    head = [*names, *(f"NIC{i}" for i in range(8)), "CPU"]
    legend = [f"NIC{i}: mlx5_{i}" for i in range(8)]
    topo = file("\n".join([" ".join(head), *(" ".join(row) for row in rows.values()), *legend]), "node-5.txt")
    found = assemble(topo, file(texts.fabric(8, 8, dead={(3, 6)}), "ib.txt"), device="h200")
    assert found.faults == [
        "1 host without a link of NIC mlx5_6 to any switch: node-3",
        "node-5/gpu2: no NVLink though others of its host have some; marked as not healthy",
    ]
    assert [(group.size, group.count) for group in domain_classes(found.graph)] == [(8, 6), (8, 1), (7, 1)]
    assert [(fault.what.split(" though")[0], fault.vertices) for fault in topologies.find_faults(found.graph)] == [
        ("not healthy", ("node-5/gpu2",)),
        ("without a NIC", ("node-3/gpu6",)),
    ]
    assert leaves(found.graph, "node-3/gpu5") == ["leaf-5"]


def test_an_import_saves_and_loads(file, tmp_path):
    found = assemble(file(texts.NCCL.replace("0x2330", "0x20b0"), "a.xml"), file(texts.IB, "ib.txt"))
    save(found.graph, tmp_path / "cluster.json")
    again = load(tmp_path / "cluster.json")
    assert nx.utils.graphs_equal(nx.Graph(again), nx.Graph(found.graph))
    assert read(tmp_path / "cluster.json").graph.nodes == again.nodes


def test_the_report_is_text_for_people(file):
    found = assemble(file(BROKEN, "box.txt"), hosts=2, device="h200")
    lines = found.report().splitlines()
    assert lines[0] == "fault: host0/gpu0: no NVLink though others of its host have some; marked as not healthy"
    assert all(line.startswith(("fault: ", "assumed: ")) for line in lines)
