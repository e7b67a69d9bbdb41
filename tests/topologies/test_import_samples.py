"""Files from real machines: what a person reads in them is what is imported."""

from __future__ import annotations

from pathlib import Path

import pytest

from topologies import BadInput, domain_classes, fabric_tiers, scale_up_domains, validate
from topologies.importers import assemble, read

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "topology"
pytestmark = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples of ../shared/data/topology are absent")
HOPPER = {"device": "h100"}


def imported(name, **given):
    return read(SAMPLES / name, **given)


def devices(graph):
    return [vertex for vertex, data in graph.nodes(data=True) if data["kind"] == "device"]


def unhealthy(graph):
    return [vertex for vertex in devices(graph) if not graph.nodes[vertex]["healthy"]]


def nics(found):
    return {slot.name: slot.nics for slot in found.findings[0].machines[0].slots}


@pytest.mark.parametrize(
    ("name", "device", "count", "rate"),
    [
        ("nvidia-smi-topo/a100-8gpu-nv12.txt", "a100", 8, 300e9),
        ("nvidia-smi-topo/h100-8gpu-nv18.txt", "h100", 8, 450e9),
        ("nvidia-smi-topo/dgxa100-8gpu-12nic.partial.txt", "a100", 8, 300e9),
        ("nvidia-smi-topo/gb200-4gpu-6nic.partial.txt", "gb200", 4, 900e9),
        ("nvidia-smi-topo/hgxh100-8gpu-9nic.partial.txt", "h100", 8, 450e9),
        ("nvidia-smi-qx/qx-h100.xml", "h100", 8, 450e9),
        ("nvidia-smi-qx/qx-b200.xml", "b200", 8, 900e9),
        ("nvidia-smi-qx/qx-gb200.xml", "gb200", 4, 900e9),
        ("nvidia-smi-qx/qx-gb300.xml", "gb300", 4, 900e9),
        ("nccl-xml/aws-p4d-24xl-topo.xml", "a100-40gb", 8, 300e9),
        ("nccl-xml/aws-p4de-24xl-topo.xml", "a100", 8, 300e9),
        ("nccl-xml/azure-ncv4-topo.xml", "a100-pcie-80gb", 4, 32e9),
    ],
)
def test_a_host_is_one_domain_of_its_devices(name, device, count, rate):
    graph = validate(imported(name).graph)
    (group,) = domain_classes(graph)
    assert (group.device, group.size, group.count, group.profile.shape) == (device, count, 1, "switch")
    assert {rates.scale_up for rates in group.profile.rates} == {rate}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("qx-h100.xml", "qx-h100"),
        ("qx-b200.xml", "qx-b200"),
        ("qx-gb200.xml", "00000001-0000-0000-0000-000000000001.2"),
        ("qx-gb300.xml", "00000001-0000-0000-0000-000000000001.32766"),
    ],
)
def test_the_log_tells_the_nvlink_domain_without_a_guess(name, label):
    found = imported(f"nvidia-smi-qx/{name}")
    (domain,) = scale_up_domains(found.graph)
    assert domain.name == label
    assert found.faults == []
    assert found.assumptions == [f"memory, flash and host links as in the catalog for {domain.device}"]


def test_a_device_off_nvlink_is_marked_and_in_no_domain():
    found = imported("nvidia-smi-topo/b200-8gpu-broken-nvlink-gpu2.partial.txt")
    host = "b200-8gpu-broken-nvlink-gpu2"
    assert unhealthy(found.graph) == [f"{host}/gpu2"]
    (domain,) = scale_up_domains(found.graph)
    assert domain.devices == tuple(f"{host}/gpu{i}" for i in (0, 1, 3, 4, 5, 6, 7))
    assert sorted(found.graph[f"{host}/gpu2"]) == [host]
    assert "no row for GPU6, GPU7;" in found.faults[0]
    assert found.faults[1] == f"{host}/gpu2: no NVLink though others of its host have some; marked as not healthy"
    assert "columns 1 to 8 are taken for devices, the other 12 for NICs" in found.assumptions[0]
    assert nics(found)["gpu2"] == ("NIC2",)
    assert nics(found)["gpu4"] == ("NIC4",)
    assert nics(found)["gpu6"] is None


def test_nics_near_each_device():
    hgx = nics(imported("nvidia-smi-topo/hgxh100-8gpu-9nic.partial.txt"))
    assert [hgx[f"gpu{i}"] for i in range(6)] == [(f"NIC{i}",) for i in (0, 1, 2, 4, 5, 6)]
    dgx = nics(imported("nvidia-smi-topo/dgxa100-8gpu-12nic.partial.txt"))
    assert [dgx[f"gpu{i}"] for i in range(4)] == [("NIC0", "NIC1")] * 2 + [("NIC2", "NIC3")] * 2
    assert set(nics(imported("nvidia-smi-topo/gb200-4gpu-6nic.partial.txt")).values()) == {(), None}
    cards = nics(imported("nvidia-smi-topo/pcie-8x4090-2nic.tabs.txt", device={"name": "rtx4090", "like": "l40s"}))
    assert cards == {f"gpu{i}": ("NIC0", "NIC1") if i == 6 else () for i in range(8)}
    p4d = nics(imported("nccl-xml/aws-p4d-24xl-topo.xml"))
    assert p4d["gpu0"] == p4d["gpu1"] == ("0000:10:1b.0",)
    ndv4 = nics(imported("nccl-xml/azure-ndv4-topo.xml", device="a100"))
    assert ndv4["gpu0"] == ndv4["gpu1"] == ("0103:00:00.0", "0104:00:00.0")
    ndv5 = nics(imported("nccl-xml/azure-ndv5-topo.xml", **HOPPER))
    assert ndv5["gpu0"] == ("0101:00:00.0",)
    assert ndv5["gpu7"] == ("0108:00:00.0",)


def test_cards_without_nvlink_are_joined_by_pcie():
    found = imported("nvidia-smi-topo/pcie-2gpu-phb.txt", **HOPPER)
    assert "pcie-2gpu-phb/pcieswitch" in found.graph
    assert [line.partition(" (")[0] for line in found.faults] == [
        "pcie-2gpu-phb: no device has an NVLink though h100 is made with 18"
    ]
    cards = imported("nvidia-smi-topo/pcie-8x4090-2nic.tabs.txt", device={"name": "rtx4090", "like": "l40s"})
    assert [(group.device, group.size) for group in domain_classes(cards.graph)] == [("rtx4090", 8)]
    assert cards.faults == []


def test_a_bridge_of_two_nvlinks():
    graph = imported("nvidia-smi-topo/pcie-2gpu-nv2.txt", **HOPPER).graph
    assert graph.edges["pcie-2gpu-nv2/gpu0", "pcie-2gpu-nv2/gpu1"]["bandwidth_bytes_per_s"] == 2 * 25e9


def test_nccl_tells_speeds_and_odd_nvlinks():
    found = imported("nccl-xml/azure-ncv4-topo.xml")
    (nic,) = found.findings[0].machines[0].nics
    assert (nic.name, nic.bytes_per_s) == ("eth0", 12.5e9)
    assert len(found.faults) == 4
    assert "azure-ncv4-topo.xml:5: 12 links of 0001:00:00.0 lead to itself" in found.faults[0]


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nccl-xml/azure-ncv4-graph.xml", "azure-ncv4-graph.xml:1: a NCCL graph file holds the rings and trees"),
        ("nccl-xml/aws-g5.48xl-topo.xml", "aws-g5.48xl-topo.xml:14: pci 0000:00:16.0 has neither a class nor a <gpu>"),
        ("nccl-xml/azure-ndv2-topo.xml", "names no product, and it shows no NVLink"),
        ("nccl-xml/azure-ndv5-topo.xml", "names no product"),
        ("nvidia-smi-topo/pcie-2gpu-nv2.txt", "its 2 NVLinks fit none of the catalog"),
        ("nvidia-smi-topo/pcie-8x4090-2nic.tabs.txt", "names no product, and it shows no NVLink"),
        ("ib/example-bad.out", "example-bad.out:10: the dump ends without a cable from a host to a switch"),
        ("topograph/node-labels.md", "of no format that is read"),
    ],
)
def test_what_cannot_be_imported_is_told_why(name, says):
    with pytest.raises(BadInput) as caught:
        imported(name)
    assert says in str(caught.value)


def test_every_file_imports_or_says_why():
    files = [path for path in SAMPLES.rglob("*") if path.is_file()]
    assert len(files) == 29
    for path in files:
        try:
            assert len(read(path).graph) > 1
        except BadInput as error:
            assert path.name.split(".")[0] in str(error)  # noqa: PT017
            assert "\n" not in str(error)  # noqa: PT017


def test_the_infiniband_fabric_has_its_leaves_and_spines():
    found = imported("ib/example.out")
    assert not found.complete
    leaf, spine = fabric_tiers(found.graph)
    assert (len(leaf.switches), len(spine.switches)) == (31, 9)
    assert all("IBLEAF" in one.name for one in leaf.switches)
    assert all("IBSPINE" in one.name for one in spine.switches)
    ports = {one.name: one for one in leaf.switches}["A09-P1-IBLEAF-01-03"]
    assert ports.down_bytes_per_s == 18 * 50e9
    assert ports.up_bytes_per_s == 16 * 50e9
    hosts = [vertex for vertex, data in found.graph.nodes(data=True) if data["kind"] == "host"]
    assert len(hosts) == 121
    assert "left out 72 NICs" in found.faults[0]
    assert found.faults[1].startswith("10 hosts without a link of NIC HCA-5 to any switch: a05-p1-dgx-01-c01")
    assert "SHARP aggregation nodes inside switches are left out (40)" in found.assumptions[0]


def test_hosts_of_the_fabric_are_filled_with_devices():
    found = imported("ib/example.out", device="gb200")
    graph = validate(found.graph)
    assert len(devices(graph)) == 119 * 4
    assert [len(tier.switches) for tier in fabric_tiers(graph)] == [31, 9]
    host = "b05-p1-dgx-05-c09"
    leaves = [next(o for o in graph[f"{host}/gpu{i}"] if "IBLEAF" in o) for i in range(4)]
    assert leaves == [f"B09-P1-IBLEAF-0{i}-05" for i in (1, 2, 3, 4)]
    assert graph.edges[f"{host}/gpu3", "B09-P1-IBLEAF-04-05"]["bandwidth_bytes_per_s"] == 50e9
    assert not any(graph.nodes[o]["kind"] == "device" for o in graph["ubuntu"])


def test_a_tray_stands_for_every_host_of_the_fabric():
    topo, log = "nvidia-smi-topo/gb200-4gpu-6nic.partial.txt", "nvidia-smi-qx/qx-gb200.xml"
    found = assemble(SAMPLES / "ib/example.out", SAMPLES / topo, SAMPLES / log)
    assert len(devices(found.graph)) == 119 * 4
    assert "119 hosts of the fabric taken to be like gb200-4gpu-6nic" in found.assumptions
    assert {domain.size for domain in scale_up_domains(found.graph)} == {4}


@pytest.mark.parametrize(
    ("name", "hosts", "tiers", "labels"),
    [
        ("medium.yaml", 8, [4, 2, 1], {"nvl1": 2, "nvl2": 2, "nvl3": 2, "nvl4": 2}),
        ("nvl72.yaml", 72, [4, 2, 1], {"nvl-1-1": 18, "nvl-1-2": 18, "nvl-2-1": 18, "nvl-2-2": 18}),
        ("small-tree.yaml", 6, [2, 1], {"nvl2": 3, "nvl3": 3}),
        ("toposim-block.json", 8, [4, 2, 1], {"nvl1": 2, "nvl2": 2, "nvl3": 2, "nvl4": 2}),
        ("toposim-tree.json", 8, [4, 2, 1], {"nvl1": 2, "nvl2": 2, "nvl3": 2, "nvl4": 2}),
    ],
)
def test_topograph_models(name, hosts, tiers, labels):
    bare = imported(f"topograph/{name}")
    assert not bare.complete
    assert [len(tier.switches) for tier in fabric_tiers(bare.graph)] == tiers
    assert sum(data["kind"] == "host" for _, data in bare.graph.nodes(data=True)) == hosts
    filled = validate(imported(f"topograph/{name}", device="gb200").graph)
    assert {domain.name: domain.size for domain in scale_up_domains(filled)} == {
        label: 4 * count for label, count in labels.items()
    }


def test_devices_made_for_eight_do_not_join_a_rack():
    found = imported("topograph/small-tree.yaml", **HOPPER)
    assert {domain.size for domain in scale_up_domains(found.graph)} == {8}
    assert any(line.startswith("domains nvl2, nvl3 hold more devices than") for line in found.assumptions)
