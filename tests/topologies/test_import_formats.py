"""Each format by a small file: what it tells, and where a broken one is broken."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from topologies import BadInput, UnknownName, devices_of, domain_classes, fabric_tiers, scale_up_domains, validate
from topologies.importers import FORMATS, read

_SPEC = importlib.util.spec_from_file_location("import_texts", Path(__file__).with_name("import_texts.py"))
texts = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(texts)


@pytest.fixture
def file(tmp_path):
    def write(text, name="node-1.txt"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def kinds(graph):
    found = [data["kind"] for _, data in graph.nodes(data=True)]
    return {kind: found.count(kind) for kind in sorted(set(found))}


def refused(path, **given):
    with pytest.raises(BadInput) as caught:
        read(path, **given)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", texts.TEXTS)
def test_the_format_is_known_by_the_content(file, name):
    found = read(file(texts.TEXTS[name]), device="h100" if name == "nvidia-smi-topo" else None)
    assert found.findings[0].format == name
    assert sorted(texts.TEXTS) == sorted(FORMATS)
    if found.complete:
        validate(found.graph)


def test_unknown_formats(file):
    assert "of no format that is read" in refused(file("hello\n"))
    assert "nearest: nccl-xml" in refused(file(texts.NCCL), format="nccl_xml")
    assert "root is <system>" in refused(file(texts.NCCL), format="nvidia-smi-xml")


class TestNvidiaSmiTopo:
    def test_links_and_nics(self, file):
        found = read(file(texts.TOPO), device="h200")
        assert kinds(found.graph) == {"device": 3, "host": 1, "storage": 1, "switch": 1}
        (machine,) = found.findings[0].machines
        assert [slot.nics for slot in machine.slots] == [("mlx5_0",), ("mlx5_4",), ("mlx5_4",)]
        assert machine.slots[0].peers == {"gpu1": 18, "gpu2": 18}
        assert machine.coherent is False
        assert found.faults == []

    def test_spaces_do_as_tabs_do(self, file):
        spaced = texts.TOPO.replace("\t", "    ").replace("\x1b[4m", "").replace("\x1b[0m", "")
        assert read(file(spaced), device="h200").findings == read(file(texts.TOPO), device="h200").findings

    def test_the_product_is_asked_for(self, file):
        says = refused(file(texts.TOPO))
        assert (
            "18 NVLinks fit h100, h200, h20, b200, b300, h200-nvl, h20-141gb; say which it is, such as device='h100'"
            in says
        )
        assert read(file(texts.TOPO, "dgx-h200.txt")).graph.nodes["dgx-h200/gpu0"]["device"] == "h200"

    def test_fewer_links_are_less_bandwidth(self, file):
        found = read(file(texts.TOPO.replace("NV18", "NV12")), device="h200")
        assert found.graph.edges["node-1/gpu0", "node-1/nvswitch"]["bandwidth_bytes_per_s"] == 300e9
        assert found.faults == ["node-1/gpu0, node-1/gpu1, node-1/gpu2: 12 NVLinks where h200 is made with 18"]

    def test_four_devices_in_a_mesh(self, file):
        rows = ["GPU0 GPU1 GPU2", "GPU0 X NV4 NV4", "GPU1 NV4 X NV4", "GPU2 NV4 NV4 X"]
        graph = read(file("\n".join(rows)), device="a100").graph
        assert graph.edges["node-1/gpu0", "node-1/gpu2"]["bandwidth_bytes_per_s"] == 4 * 25e9
        assert [group.profile.shape for group in domain_classes(graph)] == ["mesh"]

    def test_rows_that_disagree(self, file):
        found = read(file(texts.TOPO.replace("GPU0\t X \tNV18", "GPU0\t X \tSYS")), device="h200")
        assert "rows disagree on the NVLinks of 1 pair; the lower number is taken: GPU0-GPU1" in found.faults[0]

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("GPU1\tNV18\t X \tNV18", "GPU1\tNV18\t X ", ":3: the row of GPU1 has 4 links for 5 columns"),
            ("GPU1\tNV18\t X \tNV18\tSYS\tPXB", "GPU1\tNV18\t X \tN?\tSYS", ":3: the row of GPU1 has 2 links for 5"),
            ("GPU2\tNV18", "GPU1\tNV18", ":4: the row of GPU1 stands twice"),
            ("GPU2\tNV18", "GPU9\tNV18", ":4: the row of GPU9 has no column"),
            ("GPU0\t X \tNV18", "GPU0\tNV18\t X ", ":2: the row of GPU0 must hold X in its own column"),
            ("NIC1\tCPU", "NIC0\tCPU", ":1: the head of the table names 5 columns, some twice"),
            ("NIC1\tCPU", "Fan\tCPU", ":1: the head of the table names 'Fan'"),
        ],
    )
    def test_a_broken_row_is_named(self, file, old, new, says):
        assert old in texts.TOPO
        assert says in refused(file(texts.TOPO.replace(old, new)), device="h200")

    def test_a_table_without_rows(self, file):
        assert ":1: the table ends without a row" in refused(file(texts.TOPO.split("\n")[0]), device="h200")


class TestNvidiaSmiXml:
    def change(self, file, old, new):
        assert old in texts.LOG
        return read(file(texts.LOG.replace(old, new, 1)))

    def test_products_memory_and_domain(self, file):
        found = read(file(texts.LOG))
        assert [(domain.name, domain.device, domain.size) for domain in scale_up_domains(found.graph)] == [
            ("node-1", "h200", 3)
        ]
        assert found.faults == [
            f"{found.findings[0].source}:13: gpu1 has dram_uncorrectable 2 since the driver was loaded; it is kept"
        ]

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("<state>Completed</state>", "<state>In Progress</state>", "fabric state 'In Progress'"),
            ("<status>Success</status>", "<status>Insufficient Resources</status>", "'Insufficient Resources'"),
            ("_action>None<", "_action>Drain and Reset<", "recovery action 'Drain and Reset'"),
            ("_pending>No<", "_pending>Yes<", "a pending row remapping"),
            ("<product_name>NVIDIA H200<", "<product_name>Unknown Error<", "a device that the driver has lost"),
            ("<fabric>", "<mig_mode><current_mig>Enabled</current_mig></mig_mode><fabric>", "MIG"),
            (
                "<fabric>",
                "<ecc_errors><unrepairable_memory>Yes</unrepairable_memory></ecc_errors><fabric>",
                "memory that cannot be repaired",
            ),
        ],
    )
    def test_what_marks_a_device(self, file, old, new, says):
        found = self.change(file, old, new)
        assert [v for v, d in found.graph.nodes(data=True) if d.get("healthy") is False] == ["node-1/gpu0"]
        fault = next(line for line in found.faults if line.startswith("node-1/gpu0: "))
        assert says in fault
        assert fault.endswith("; marked as not healthy")
        assert [domain.size for domain in scale_up_domains(found.graph)] == [2]

    def test_a_domain_beyond_the_host(self, file):
        uuid = "0badcafe-0000-4000-8000-000000000001"
        found = self.change(file, "00000000-0000-0000-0000-000000000000", uuid)
        assert found.graph.nodes["node-1/gpu0"]["domain"] == f"{uuid}.0"

    def test_devices_that_are_missing(self, file):
        found = self.change(file, "<attached_gpus>3", "<attached_gpus>8")
        assert "attached_gpus is 8 but 3 devices are listed" in found.faults[0]

    def test_other_memory_makes_another_device(self, file):
        found = read(file(texts.LOG.replace("143771", "98304")))
        assert devices_of(found.graph)["h200-103gb"].hbm_usable_bytes == 98304 * 2**20
        assert devices_of(found.graph)["h200-103gb"].hbm_bytes_per_s == pytest.approx(4.8e12 * 98304 * 2**20 / 141e9)
        assert "'NVIDIA H200' with 103.1 GB is in no catalog: taken as h200-103gb" in found.assumptions[0]

    def test_unknown_products(self, file):
        with pytest.raises(UnknownName, match="unknown product 'NVIDIA Z999'; nearest: ") as caught:
            read(file(texts.LOG.replace("H200", "Z999")))
        assert len(caught.value.nearest) == 3
        assert "device='h200'" in str(caught.value)
        assert read(file(texts.LOG.replace("H200", "Z999")), device="h200").complete

    def test_no_healthy_device_is_told_with_the_reason(self, file):
        says = refused(file(texts.LOG.replace("<state>Completed", "<state>Not Started")))
        assert "no healthy device" in says
        assert "fabric state 'Not Started'" in says

    def test_a_log_without_devices(self, file):
        assert ":1: the log holds 0 devices" in refused(file("<nvidia_smi_log></nvidia_smi_log>"))
        assert ":24: not well-formed XML" in refused(file(texts.LOG.replace("</nvidia_smi_log>\n", "")))


class TestNccl:
    def test_a_dump(self, file):
        found = read(file(texts.NCCL))
        (machine,) = found.findings[0].machines
        assert [slot.product for slot in machine.slots] == ["NVIDIA H100 80GB HBM3"] * 2
        assert [slot.nics for slot in machine.slots] == [("mlx5_0",), ()]
        assert (machine.nics[0].bytes_per_s, machine.nics[0].guid) == (50e9, "e09d730300000001")
        assert [(domain.device, domain.size) for domain in scale_up_domains(found.graph)] == [("h100", 2)]

    def test_a_device_off_the_switch(self, file):
        found = read(file(texts.NCCL.replace('count="18" tclass="0x068000"', 'count="1" tclass="0x068001"', 1)))
        assert found.faults == ["node-1/gpu0: 1 NVLinks where h100 is made with 18"]
        link = '<nvlink target="0000:05:00.0" count="18" tclass="0x068000"/>'
        found = read(file(texts.NCCL.replace(link, "", 1)))
        assert found.graph.nodes["node-1/gpu0"]["healthy"] is False

    def test_direct_links(self, file):
        direct = texts.NCCL.replace("0x068000", "0x030200").replace('count="18"', 'count="4"')
        direct = direct.replace("0000:05:00.0", "0000:1b:00.0", 1).replace("0000:05:00.0", "0000:0b:00.0", 1)
        graph = read(file(direct)).graph
        assert graph.edges["node-1/gpu0", "node-1/gpu1"]["bandwidth_bytes_per_s"] == 100e9

    def test_broken_files(self, file):
        assert ":5: count of nvlink is 'many'" in refused(file(texts.NCCL.replace('count="18"', 'count="many"', 1)))
        assert "none of the 3 pci entries is a device" in refused(
            file(texts.NCCL.replace("0x030200", "0x010000").replace("<gpu", "<cpu").replace("</gpu", "</cpu"))
        )


class TestIbnetdiscover:
    def test_speeds_and_cables(self, file):
        found = read(file(texts.IB))
        assert [(tier.name, len(tier.switches)) for tier in fabric_tiers(found.graph)] == [("leaf", 2), ("spine", 1)]
        edges = found.graph.edges
        assert edges["leaf-1", "spine-1"]["bandwidth_bytes_per_s"] == 2 * 50e9
        assert edges["node-1", "leaf-1"]["bandwidth_bytes_per_s"] == 50e9
        assert edges["node-2", "leaf-2"]["bandwidth_bytes_per_s"] == 25e9
        assert "SHARP aggregation nodes inside switches are left out (2)" in found.assumptions[0]
        assert found.faults == []

    def test_devices_by_rail(self, file):
        graph = read(file(texts.IB), device="h200", devices_per_host=2).graph
        assert set(graph["node-2/gpu1"]) == {"node-2", "node-2/nvswitch", "leaf-2"}
        assert graph.edges["node-2/gpu1", "leaf-2"]["bandwidth_bytes_per_s"] == 25e9

    def test_more_devices_than_nics_share_those_of_the_host(self, file):
        graph = read(file(texts.IB), device="h200", devices_per_host=8).graph
        assert graph.has_edge("node-1", "leaf-1")
        assert graph.has_edge("node-1", "leaf-2")

    def test_a_missing_switch_is_told(self, file):
        start, end = texts.IB.index("devid=0xd2f2\nswitchguid=0xb1"), texts.IB.index("devid=0xcf09")
        found = read(file(texts.IB[:start] + texts.IB[end:]))
        assert "switch spine-1 has no section of its own; it is known from 3 cables" in found.faults[0]
        assert [len(tier.switches) for tier in fabric_tiers(found.graph)] == [2, 1]

    def test_a_dead_nic_is_told(self, file):
        found = read(file(texts.fabric(hosts=3, nics=4, dead={(1, 2)})), device="h200", devices_per_host=4)
        assert found.faults == ["1 host without a link of NIC mlx5_2 to any switch: node-1"]
        assert {v for v in found.graph["node-1/gpu2"] if "leaf" in v} == set()
        assert {v for v in found.graph["node-1/gpu3"] if "leaf" in v} == {"leaf-3"}

    def test_hosts_with_few_nics_have_no_devices(self, file):
        found = read(file(texts.fabric(hosts=3, nics=4, dead={(1, 2), (1, 3)})), device="h200")
        assert found.faults == []
        assert "1 host with at most half of the usual NICs, taken to have no devices: node-1" in found.assumptions
        assert found.graph.nodes["node-1"]["kind"] == "host"
        assert "node-1/gpu0" not in found.graph

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("[2]\t\t# ", "[2]\t\t ", ":11: '[34]"),
            ('lid 13 4xNDR', "lid 13", ":9: port 2 of S-00000000000000a1 gives no speed"),
            ('a2"\t\t# "MF0;leaf-2', 'a1"\t\t# "MF0;leaf-2', "has a section on line 7"),
            ("devid=0xcf09", "device 0xcf09", "is no line of ibnetdiscover"),
        ],
    )  # fmt: skip
    def test_a_broken_line_is_named(self, file, old, new, says):
        assert old in texts.IB
        assert says in refused(file(texts.IB.replace(old, new, 1)))

    def test_a_dump_that_breaks_off(self, file):
        says = refused(file(texts.IB[: texts.IB.index("[1]")]))
        assert ":7: the dump ends without a cable" in says
        assert "'MF0;leaf-1:MQM9700/U1') on line 7 lists no port" in says

    def test_switches_of_one_name_are_told_apart(self, file):
        twice = texts.IB.replace("MF0;leaf-2:MQM9700/U1", "MF0;leaf-1:MQM9700/U2")
        assert {"leaf-1/U1", "leaf-1/U2"} <= set(read(file(twice)).graph)


class TestSlurm:
    def test_a_tree(self, file):
        found = read(file(texts.SLURM), device="h100", oversubscription=2.0)
        assert kinds(found.graph) == {"device": 32, "host": 4, "storage": 4, "switch": 7}
        assert found.graph.edges["node1", "leaf1"]["bandwidth_bytes_per_s"] == 8 * 50e9
        assert found.graph.edges["leaf1", "spine"]["bandwidth_bytes_per_s"] == 8 * 50e9
        assert [tier.oversubscription for tier in fabric_tiers(found.graph)] == [2.0, None]

    def test_blocks_are_scale_up_domains(self, file):
        found = read(file(texts.SLURM_BLOCKS), device="gb200")
        assert [(domain.name, domain.size) for domain in scale_up_domains(found.graph)] == [("rack1", 8), ("rack2", 8)]
        assert any(line.startswith("no file tells of switches") for line in found.assumptions)

    def test_a_missing_switch_is_told(self, file):
        found = read(file(texts.SLURM.replace("leaf[1-2]", "leaf[1-3]")))
        assert ":4: switch leaf3 is named but nowhere described" in found.faults[0]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("SwitchName=a Nodes=n[1-", ":1: 'n[1-' is not a hostlist"),
            ("SwitchName=a Nodes=n1\nSwitchName=b Nodes=n[2-1]", ":2: hostlist 'n[2-1]'"),
            ("SwitchName=a Switches=b\nSwitchName=b Switches=a Nodes=n1", ":1: switches stand below each other"),
            ("SwitchName=a Nodes=n1\nSwitchName=a Nodes=n2", ":2: switch 'a' is described twice"),
            ("SwitchName=a Nodes=@all", "'@all' is not a hostlist"),
            ("SwitchName=a Node=n1", ":1: parameter 'node' is not known here"),
            ("\nSwitchName=a n1", ":2: 'n1' is not Name=value"),
            ("BlockName=a Nodes=n1\nBlockName=b Nodes=n1", ":2: host 'n1' is in 'a' and in 'b'"),
            ("SwitchName=a Switches=b", ":1: the file ends without a host; its switches are a"),
            ("BlockName=a Nodes=n[1-99999999]", "names 99,999,999 hosts"),
        ],
    )
    def test_a_broken_line_is_named(self, file, text, says):
        assert says in refused(file(text))

    def test_yaml_tells_of_both(self, file):
        found = read(file(texts.SLURM_YAML), device="gb200")
        assert [(domain.name, domain.size) for domain in scale_up_domains(found.graph)] == [("rack1", 8), ("rack2", 8)]
        assert [len(tier.switches) for tier in fabric_tiers(found.graph)] == [2, 1]

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("children:", "nodes: n9, children:", ""),
            ("{switch: leaf1, ", "{", ":7: an entry lacks its name"),
            ('    switches:\n      - {switch: spine, children: "leaf[1-2]"}\n', "    switches:\n", ""),
            ("    blocks:", "    blocks: 5\n    x:", ":11: blocks must be a list"),
            ('nodes: "node[3-4]"}\n- ', 'nodes: [node3]}\n- ', ":8: nodes must be a hostlist"),
            ("- topology: fabric", "- topology: [", "not YAML"),
            ("block_sizes", "topology: x\n    topology", "stands twice"),
        ],
    )  # fmt: skip
    def test_broken_yaml_is_named(self, file, old, new, says):
        assert old in texts.SLURM_YAML
        path = file(texts.SLURM_YAML.replace(old, new))
        assert says in refused(path) if says else read(path)

    def test_flat_topologies_say_nothing(self, file):
        assert "no topology is a tree or a block; found: flat" in refused(file("- topology: a\n  flat: true\n"))


class TestTopograph:
    def test_both_ages_of_models(self, file):
        new, old = read(file(texts.TOPOGRAPH), device="gb200"), read(file(texts.TOPOGRAPH_OLD))
        assert [(domain.name, domain.size) for domain in scale_up_domains(new.graph)] == [("nvl1", 8), ("nvl2", 8)]
        assert [(domain.name, domain.device, domain.size) for domain in scale_up_domains(old.graph)] == [
            ("nvl1", "gb200", 8)
        ]

    def test_a_request_is_followed_to_its_model(self, file, tmp_path):
        file(texts.TOPOGRAPH, "model.yaml")
        asked = '{"provider": {"name": "test", "params": {"modelFileName": "%s"}}, "engine": {"name": "slurm"}}'
        assert len(read(file(asked % "model.yaml", "request.json")).graph) == 7
        assert "which is not beside it" in refused(file(asked % "other.yaml"))
        assert "holds no topology" in refused(file(asked % "../model.yaml"))
        assert "provider 'aws' holds no topology" in refused(file('{"provider": {"name": "aws"}}'))

    @pytest.mark.parametrize(
        ("old", "new", "says"),
        [
            ("[node3, node4]", "{a: b}", ":12: nodes must be a list of names"),
            ("- switch: leaf-2", "- switch: [x]", ":11: switch must be a name"),
            ("  nodes: [node3, node4]\n", "", ":11: a block lists no nodes"),
            ("[node3, node4]", "[node1]", ":11: host 'node1' is in 'nvl1' and in 'nvl2'"),
            ("leaf-2: {}", "leaf-2: [a]", ":5: switch 'leaf-2' must be a mapping"),
        ],
    )
    def test_a_broken_place_is_named(self, file, old, new, says):
        assert old in texts.TOPOGRAPH
        assert says in refused(file(texts.TOPOGRAPH.replace(old, new)))


def test_kubernetes_labels(file):
    found = read(file(texts.KUBERNETES))
    assert [(domain.name, domain.device, domain.size) for domain in scale_up_domains(found.graph)] == [
        ("nvl1", "gb200", 8)
    ]
    assert [len(tier.switches) for tier in fabric_tiers(found.graph)] == [2, 1]
    assert "a node lacks metadata.name" in refused(file(texts.KUBERNETES.replace('"name": "node1"', '"x": 1')))


class TestForeignGraphs:
    def test_graphml_with_strings_and_other_words(self, file):
        found = read(file(texts.GRAPHML))
        assert found.graph.nodes["b"]["healthy"] is False
        assert found.graph.nodes["a"]["device"] == "l40s"
        assert found.graph.nodes["a"]["host"] == "box"
        assert found.graph.edges["a", "box"]["bandwidth_bytes_per_s"] == 64e9
        assert "colour" not in found.graph.nodes["box"]
        assert any("left out: colour" in line for line in found.assumptions)
        assert any("the bandwidth of 1 links is not given" in line for line in found.assumptions)

    def test_node_link_with_links_both_ways_and_in_parallel(self, file):
        found = read(file(texts.NODE_LINK))
        assert found.graph.edges["0", "2"]["bandwidth_bytes_per_s"] == 100e9
        assert found.graph.edges["0", "1"]["bandwidth_bytes_per_s"] == 64e9
        assert devices_of(found.graph)["mine"].hbm_bytes == 96e9
        assert [domain.size for domain in scale_up_domains(found.graph)] == [2]

    @pytest.mark.parametrize(
        ("text", "old", "new", "says"),
        [
            (texts.GRAPHML, ">server<", ">toaster<", ":9: at 'box': kind is 'toaster'; it must be one of device, host"),
            (texts.GRAPHML, "64GB/s", "fast", ":12: at 'box - a': bandwidth_bytes_per_s is 'fast'"),
            (texts.GRAPHML, 'target="a"', 'target="z"', ":12: at 'box - z': no vertex is named 'z'"),
            (texts.GRAPHML, "NVIDIA L40S", "NVIDIA L41", ":10: at 'a': unknown product 'NVIDIA L41'; nearest: "),
            (texts.GRAPHML, 'id="b"', 'id="a"', ":11: at 'a': the vertex is listed twice"),
            (texts.GRAPHML, "<edge source", "<edge port", ":12: <edge> lacks source or target"),
            (texts.GRAPHML, ">false<", ">maybe<", ":11: at 'b': healthy is 'maybe'; it must be a flag"),
            (texts.NODE_LINK, '"id": 3, ', "", "nodes[3] must be an object with id"),
            (texts.NODE_LINK, '"key": 1, "fabric": "infiniband"', '"fabric": "storage"', "given twice, and not alike"),
            (texts.NODE_LINK, '"96GB"', '"much"', "`devices` of the graph"),
            (texts.NODE_LINK, '"kind": "switch"', '"kind": 5', "nodes[2] '2': kind is 5"),
        ],
    )
    def test_a_broken_place_is_named(self, file, text, old, new, says):
        assert old in text
        assert says in refused(file(text.replace(old, new)))

    def test_a_graph_of_hosts_and_switches_is_a_bare_fabric(self, file):
        text = '{"nodes": [{"id": "a", "kind": "host"}, {"id": "s", "kind": "switch"}, {"id": "t", "kind": "switch"}],'
        text += '"edges": [{"source": "a", "target": "s"}, {"source": "t", "target": "s"}]}'
        found = read(file(text), device="h100")
        assert found.graph.edges["s", "t"]["bandwidth_bytes_per_s"] == 8 * 50e9
        assert "neither devices nor hosts on switches" in refused(file('{"nodes": [{"id": "s", "kind": "switch"}]}'))
