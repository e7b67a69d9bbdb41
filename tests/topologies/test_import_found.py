"""Files as people have them: islands, reports around tables, glued cells, tools of AMD, labels of clouds."""

from __future__ import annotations

import importlib.util
import itertools
import json
from pathlib import Path

import pytest

from topologies import BadInput, devices_of, domain_classes, fabric_tiers, scale_up_domains
from topologies.importers import read

_SPEC = importlib.util.spec_from_file_location("import_texts", Path(__file__).with_name("import_texts.py"))
texts = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(texts)


@pytest.fixture
def file(tmp_path):
    def write(text, name="node-1.txt"):
        path = tmp_path / name
        path.write_text(text if isinstance(text, str) else json.dumps(text))
        return path

    return write


def matrix(islands, link, other="SYS"):
    """A table of devices in islands of some sizes."""
    home = [number for number, size in enumerate(islands) for _ in range(size)]
    names = [f"GPU{i}" for i in range(len(home))]
    lines = ["\t" + "\t".join(names) + "\tCPU Affinity\tNUMA Affinity"]
    for i, ours in enumerate(home):
        cells = [" X " if i == j else link if ours == theirs else other for j, theirs in enumerate(home)]
        lines.append("\t".join([f"GPU{i}", *cells, "0-23", "0"]))
    return "\n".join(lines) + "\n"


def devices_in(graph):
    return {data["device"] for _, data in graph.nodes(data=True) if data["kind"] == "device"}


def sizes(graph):
    return [domain.size for domain in scale_up_domains(graph)]


class TestIslands:
    @pytest.mark.parametrize(
        ("islands", "link", "device"),
        [
            ((4, 4), "NV18", "h200"),
            ((2, 2, 4), "NV18", "h100"),
            ((2, 2), "NV12", "h100-nvl"),
            ((2, 2, 2, 2), "NV4", "a40"),
        ],
    )
    def test_parts_of_the_link_matrix_are_domains(self, file, islands, link, device):
        found = read(file(matrix(islands, link)), device=device)
        assert sorted(sizes(found.graph)) == sorted(islands)
        assert f"islands of {'+'.join(map(str, islands))}" in found.report()
        assert not found.faults

    def test_islands_of_a_host_alone_reach_each_other_over_pcie(self, file):
        found = read(file(matrix((2, 2), "NV12")), device="h100-nvl")
        (tier,) = fabric_tiers(found.graph)
        assert "its islands exchange over PCIe" in found.report()
        assert tier.down_bytes_per_s == 4 * 64e9

    def test_bridges_of_cards_are_slower_than_nvlinks_of_modules(self, file):
        found = read(file(matrix((2, 2), "NV4")), device="a6000")
        assert found.graph.edges["node-1/gpu0", "node-1/gpu1"]["bandwidth_bytes_per_s"] == 56.25e9

    def test_a_card_without_a_bridge_is_whole_and_a_module_without_links_is_not(self, file):
        text = matrix((2, 1), "NV12")
        assert sizes(read(file(text), device="h100-nvl").graph) == [2, 1]
        assert len(read(file(text.replace("NV12", "NV18")), device="h100").faults) == 1


class TestReports:
    def test_the_product_is_named_beside_the_table(self, file):
        text = f"CUDA available: True\nGPU 0,1-3: NVIDIA GB200\nNVIDIA Topology:\n{matrix((4,), 'NV18')}"
        assert devices_in(read(file(text)).graph) == {"gb200"}

    @pytest.mark.parametrize(
        "line",
        [
            "GPU 0: NVIDIA H200 (UUID: GPU-6a1b)\nGPU 1: NVIDIA H200 (UUID: GPU-6a1c)",
            "|   0  NVIDIA H200                    On  |   00000000:19:00.0 Off |                    0 |",
        ],
    )
    def test_of_nvidia_smi_too(self, file, line):
        assert devices_in(read(file(f"{line}\n{matrix((2,), 'NV18')}")).graph) == {"h200"}

    def test_the_first_of_two_tables_is_read(self, file):
        peers = " \tGPU0\tGPU1\t\n GPU0\tX\tGNS\t\n GPU1\tGNS\tX\t\n"
        for text in (f"{matrix((2,), 'PHB')}\n{peers}", f"{peers}\n{matrix((2,), 'PHB')}"):
            found = read(file(text), device="rtx5090")
            assert sizes(found.graph) == [2]
            assert "holds several tables" in found.report()

    def test_the_table_with_nvlinks_comes_before_one_without(self, file):
        found = read(file(f"{matrix((2,), 'SYS')}\n{matrix((2,), 'NV18')}"), device="h100")
        assert not found.faults

    def test_cells_that_a_terminal_glued(self, file):
        text = (
            "GPU0    GPU1    NIC0    NIC1NIC2    CPU Affinity\n"
            "GPU0     X      NV18    PIX     SYSSYS     0-47\n"
            "GPU1    NV18     X      SYS     NODEPIX     48-95\n"
            "NIC0    PIX     SYS      X      NODENODE\n"
            "NIC1    SYS     NODE    NODE     XNODE\n"
        )
        (machine,) = read(file(text), device="h100").findings[0].machines
        assert [slot.nics for slot in machine.slots] == [("NIC0",), ("NIC2",)]

    def test_topo_mp_never_shows_nvlinks(self, file):
        found = read(file(f"root@host:~# nvidia-smi topo -mp\n{matrix((4, 4), 'NODE')}"), device="h800")
        assert "`topo -mp` never shows NVLinks" in found.report()
        assert not found.faults
        assert domain_classes(found.graph)[0].profile.size == 8


@pytest.mark.parametrize(
    ("link", "fitting"), [("NV8", "h800, a800"), ("NV12", "a100, "), ("NV4", "a40, a6000, rtx3090")]
)
def test_a_product_is_never_guessed_from_its_links(file, link, fitting):
    with pytest.raises(BadInput, match=f"fit {fitting}"):
        read(file(matrix((2,), link)))


class TestAmd:
    def test_links_of_one_hop_join(self, file):
        found = read(file(texts.ROCM), device="mi300x")
        joined = {
            pair
            for pair in itertools.combinations(range(3), 2)
            if found.graph.has_edge(*(f"node-1/gpu{i}" for i in pair))
        }
        assert joined == {(0, 1), (1, 2)}, "the third pair is two hops apart"
        assert found.graph.edges["node-1/gpu0", "node-1/gpu1"]["bandwidth_bytes_per_s"] == 64e9

    def test_the_product_of_the_report_is_taken(self, file):
        assert devices_in(read(file(texts.ROCM)).graph) == {"mi300x"}
        with pytest.raises(BadInput, match="XGMI links fit mi300x, mi325x"):
            read(file(texts.ROCM.partition("\n")[2]))

    def test_amd_smi_as_text_and_as_json(self, file):
        text = (
            "LINK TYPE TABLE:\n             0000:05:00.0 0000:26:00.0\n0000:05:00.0 SELF         XGMI\n"
            "0000:26:00.0 XGMI         SELF\n\nNUMA BW TABLE:\n             0000:05:00.0 0000:26:00.0\n"
        )
        links = [{"gpu": 1 - gpu, "link_type": "XGMI", "num_hops": 1} for gpu in (0, 1)]
        listed = [{"gpu": gpu, "bdf": "0000:05:00.0", "links": [links[gpu]]} for gpu in (0, 1)]
        keyed = {"system": {"(Topology) Link type between DRM devices 0 and 1": "XGMI"}}
        for one in (text, listed, keyed):
            assert sizes(read(file(one), device="mi325x").graph) == [2]

    def test_rccl_lists_xgmi_or_there_is_none(self, file):
        def system(*links):
            gpus = "".join(
                f'<pci busid="0000:0{i}:00.0" class="0x038000"><gpu dev="{i}" gcn="942" rank="{i}">{links[i]}</gpu></pci>'
                for i in range(len(links))
            )
            return f'<system version="2"><cpu numaid="0">{gpus}</cpu></system>'

        def to(i):
            return f'<xgmi target="0000:0{i}:00.0" count="1" tclass="0x038000"/>'

        square = read(file(system(to(1) + to(2), to(0) + to(3), to(0) + to(3), to(1) + to(2))), device="mi300x")
        assert not square.graph.has_edge("node-1/gpu0", "node-1/gpu3")
        assert square.graph.edges["node-1/gpu0", "node-1/gpu1"]["bandwidth_bytes_per_s"] == 64e9
        none = read(file(system("", "", "", "")), device="mi300x")
        assert "lists no XGMI between its devices" in none.report()
        assert none.graph.edges["node-1/gpu0", "node-1/pcieswitch"]["bandwidth_bytes_per_s"] == 64e9


class TestNcclSwitches:
    @staticmethod
    def text(links, sm="70"):
        inner = "".join(f'<nvlink target="0000:6{i}:00.0" count="1" tclass="0x068000"/>' for i in range(links))
        gpus = "".join(
            f'<pci busid="0000:3{i}:00.0" class="0x030200"><gpu dev="{i}" sm="{sm}" rank="{i}">{inner}</gpu></pci>'
            for i in (0, 1)
        )
        return f'<system version="1"><cpu numaid="0">{gpus}</cpu></system>'

    def test_links_to_switches_are_counted(self, file):
        with pytest.raises(BadInput, match="its 6 NVLinks fit v100, v100-16gb; say which"):
            read(file(self.text(6)))

    def test_half_the_links_is_a_fault(self, file):
        whole, half = (read(file(self.text(links)), device="v100") for links in (6, 3))
        assert not whole.faults
        assert half.faults == ["node-1/gpu0, node-1/gpu1: 3 NVLinks where v100 is made with 6"]
        assert half.graph.edges["node-1/gpu0", "node-1/nvswitch"]["bandwidth_bytes_per_s"] == 75e9


def nodes(*labels, capacity=None):
    items = [
        {"kind": "Node", "metadata": {"name": f"n{i}", "labels": own}, "status": {"capacity": capacity or {}}}
        for i, own in enumerate(labels)
    ]
    return {"kind": "List", "items": items}


class TestKubernetes:
    def test_memory_of_the_label_makes_its_own_device(self, file):
        label = {
            "nvidia.com/gpu.product": "NVIDIA-A100-SXM-64GB",
            "nvidia.com/gpu.count": "4",
            "nvidia.com/gpu.memory": "65536",
        }
        assert devices_of(read(file(nodes(label, label))).graph)["a100-64gb"].hbm_usable_bytes == 65536 * 2**20

    def test_hosts_of_which_only_the_capacity_is_known(self, file):
        bare = file(nodes({}, {}, capacity={"nvidia.com/gpu": "8"}))
        assert sizes(read(bare, device="h100").graph) == [8, 8]
        assert not read(bare).complete

    def test_hosts_without_devices_are_left_out(self, file):
        content = nodes({}, {}, {}, capacity={"nvidia.com/gpu": "8"})
        content["items"][1]["status"] = {"capacity": {"cpu": "64"}}
        assert sizes(read(file(content), device="h100").graph) == [8, 8]

    def test_labels_of_amd(self, file):
        label = {"amd.com/gpu.product-name": "AMD_Instinct_MI300X_OAM", "amd.com/gpu.vram": "192G"}
        assert sizes(read(file(nodes(label, label, capacity={"amd.com/gpu": "8"}))).graph) == [8, 8]

    def test_labels_of_gke(self, file):
        labels = [
            {
                "cloud.google.com/gce-topology-block": f"block-{i // 2}",
                "cloud.google.com/gce-topology-subblock": f"sub-{i}",
                "cloud.google.com/gke-accelerator": "nvidia-h200-141gb",
            }
            for i in range(4)
        ]
        found = read(file(nodes(*labels, capacity={"nvidia.com/gpu": "8"})))
        assert [len(tier.switches) for tier in fabric_tiers(found.graph)] == [4, 2, 1]
        assert "no label tells what joins block-0, block-1" in found.report()
        assert "no file tells of switches" not in found.report()

    def test_layers_of_aws_count_from_above(self, file):
        layer = "topology.k8s.aws/network-node-layer-"
        labels = [{f"{layer}1": "nn-top", f"{layer}2": "nn-mid", f"{layer}3": f"nn-{i}"} for i in range(2)]
        labels = [own | {"node.kubernetes.io/instance-type": "p5.48xlarge"} for own in labels]
        found = read(file(nodes(*labels, capacity={"nvidia.com/gpu": "8"})))
        assert {"nn-0", "nn-mid", "nn-top"} <= set(found.graph)
        assert found.graph.has_edge("nn-0", "nn-mid")
        assert devices_in(found.graph) == {"h100"}

    def test_one_node_alone(self, file):
        one = nodes({"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}, capacity={"nvidia.com/gpu": "8"})["items"][0]
        assert sizes(read(file(one)).graph) == [8]

    def test_slices_are_refused(self, file):
        with pytest.raises(BadInput, match="is a slice"):
            read(
                file(nodes({"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", "nvidia.com/gpu.count": "7"}))
            )


class TestInfiniBandPorts:
    @pytest.mark.parametrize("text", [texts.IB_PORTS, texts.IB_LINKS])
    def test_one_fabric_in_two_spellings(self, file, text):
        graph = read(file(text)).graph
        assert graph.has_edge("leaf-1", "spine-1")
        assert {"node-1", "node-2"} == set(graph["leaf-1"]) - {"spine-1"}
        assert graph.edges["leaf-1", "spine-1"]["bandwidth_bytes_per_s"] == 50e9

    def test_a_broken_line_is_named(self, file):
        with pytest.raises(BadInput, match=":2: 'SW 2' is no line of ibnetdiscover -p"):
            read(file(texts.IB_PORTS.partition("\n")[0] + "\nSW 2\n"))
        with pytest.raises(BadInput, match=r":4: a link of .* tells no speed"):
            read(
                file(
                    texts.IB_LINKS.replace(
                        "4X       106.25 Gbps Active/  LinkUp)==>       5", "4X 9 Gbps Active/ LinkUp)==> 5"
                    )
                )
            )


class TestLstopo:
    def test_devices_and_near_nics(self, file):
        found = read(file(texts.LSTOPO))
        (machine,) = found.findings[0].machines
        assert (machine.name, len(machine.slots), machine.slots[0].nics) == ("node-7", 2, ("mlx5_0",))
        assert devices_in(found.graph) == {"h100"}

    def test_measured_nvlinks_make_islands(self, file):
        table = (
            '<distances2 type="PCIDev" nbobjs="2" name="NVLinkBandwidth" indexing="gp"><indexes length="2">4 10 </indexes>'
            '<u64values length="4">1000000 0 0 1000000 </u64values></distances2></topology>'
        )
        found = read(file(texts.LSTOPO.replace("</topology>", table)))
        assert "no device has an NVLink though h100 is made with 18" in found.report()
