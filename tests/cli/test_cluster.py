"""``rackplan cluster``: files become clusters, clusters are shown, exports are read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import rackplan

import topologies
from topologies.importers import read

SAMPLES = Path(__file__).parents[2].parent / "shared" / "data" / "topology"
samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the samples of ../shared/data/topology are absent")

FABRIC = """\
SwitchName=leaf0 Nodes=n[0-1]
SwitchName=leaf1 Nodes=n[2-3]
SwitchName=spine Switches=leaf[0-1]
"""


@pytest.fixture
def fabric(tmp_path):
    path = tmp_path / "topology.conf"
    path.write_text(FABRIC)
    return path


def summed(*arguments):
    ran = rackplan("cluster", *arguments, "--json")
    assert ran.status == 0, ran.error
    return json.loads(ran.out)


def test_a_builder_is_shown_as_a_tree():
    ran = rackplan("cluster", "show", "nvl72:racks=2,device=gb200")
    assert ran.status == 0
    assert ran.out.splitlines()[0] == "144 devices on 36 hosts in 2 scale-up domains"
    assert "gb200-72: 2 of 72 devices" in ran.out
    assert "└─ faults" in ran.out


def test_oversubscription_and_faults_are_shown(tmp_path):
    graph = topologies.hgx(nodes=4, device="h200", spine_oversubscription=4.0)
    path = tmp_path / "ill.json"
    topologies.save(topologies.mark_unhealthy(graph, ["rack0/host2/gpu5"]), path)
    told = summed("show", path)
    assert told["totals"]["devices"] == 32
    assert told["totals"]["healthy_devices"] == 31
    assert {domain["class"]: domain["count"] for domain in told["domains"]} == {"h200-8": 3, "h200-7": 1}
    assert told["tiers"][0]["oversubscription"] == 4.0
    assert [fault["vertices"] for fault in told["faults"]] == [["rack0/host2/gpu5"]]


def test_scenarios_and_plans_have_clusters_too(tmp_path):
    scenario = tmp_path / "mine.yaml"
    scenario.write_text("llm: {config: qwen3-32b}\ncluster: {builder: hgx, nodes: 3}\ntraffic: {classes: []}\n")
    assert summed("show", scenario)["totals"]["devices"] == 24
    plan = tmp_path / "plan.json"
    plan.write_text(
        json.dumps({"schema_version": "2.0", "scenario": {"cluster": {"builder": "hgx", "nodes": 2}, "traffic": {}}})
    )
    assert summed("show", plan)["totals"]["devices"] == 16
    assert summed("show", "deepseek-v3-2xnvl72")["totals"]["devices"] == 144


def test_a_fabric_becomes_a_cluster_once_devices_are_named(fabric, tmp_path):
    bare = rackplan("cluster", "import", fabric, "-o", tmp_path / "never.json")
    assert bare.status == 2
    assert "without devices" in bare.error
    assert "--device" in bare.error
    assert not (tmp_path / "never.json").exists()
    written = tmp_path / "cluster.json"
    told = summed("import", fabric, "--device", "h200", "-o", written)
    assert told["totals"]["devices"] == 32
    assert any("h200" in line for line in told["assumptions"])
    assert topologies.load(written).number_of_nodes() == len(topologies.validate(read(fabric, device="h200").graph))


def test_the_format_is_of_one_file(fabric):
    ran = rackplan("cluster", "import", fabric, fabric, "--format", "slurm-conf")
    assert (ran.status, "of the 2 given" in ran.error) == (2, True)
    ran = rackplan("cluster", "import", fabric, "--format", "slurm-config")
    assert (ran.status, "nearest: slurm-conf" in ran.error) == (2, True)


@pytest.mark.parametrize("format", ["json", "graphml"])
def test_an_export_reads_back_as_the_same_cluster(tmp_path, format):
    path = tmp_path / f"out.{format}"
    assert rackplan("cluster", "export", "hgx:nodes=2,device=h100", "--format", format, "-o", path).status == 0
    ours = summed("show", "hgx:nodes=2,device=h100")
    assert summed("show", path) == ours


@pytest.mark.parametrize(
    ("format", "line"),
    [
        ("slurm-tree", "SwitchName=leaf0 Nodes=rack0-host[0-1]"),
        ("slurm-block", "BlockName="),
        ("topograph", "accelerator.topology.test/domain: rack0"),
    ],
)
def test_schedulers_get_their_files(format, line):
    builder = "fat_tree:nodes=4,hosts_per_leaf=2" if format == "slurm-tree" else "nvl72:racks=1"
    ran = rackplan("cluster", "export", builder, "--format", format)
    assert (ran.status, line in ran.out) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["show", "nvl73"], "nearest: nvl72"),
        (["show", "nowhere/cluster.json"], "nowhere/cluster.json: no such file"),
        (["show", "hgx:nodes=0"], "nodes"),
        (["show", "hgx:knots=2"], "nearest: "),
        (["export", "nvl72:racks=1", "--format", "slurm"], "nearest: slurm-"),
        (["export", "nvl72:racks=1", "--format", "graphml"], "add -o"),
        (["export", "nvl72:racks=1", "--format", "json", "-o", "/nowhere/at/all.json"], "folder does not exist"),
    ],
)
def test_bad_input_is_one_clear_line(arguments, says):
    ran = rackplan("cluster", *arguments)
    assert ran.status == 2
    assert says in ran.error
    assert ran.error.count("\n") == 1
    assert ran.out == ""


@samples
def test_the_infiniband_dump_has_31_leaves_and_9_spines():
    told = summed("import", SAMPLES / "ib/example.out")
    assert [(tier["name"], tier["switches"]) for tier in told["tiers"]] == [("leaf", 31), ("spine", 9)]


@samples
@pytest.mark.parametrize(("name", "size"), [("gb200", 4), ("h100", 8)])
def test_the_log_of_a_host_gives_its_nvlink_domain(name, size):
    told = summed("import", SAMPLES / f"nvidia-smi-qx/qx-{name}.xml")
    assert [(domain["device"], domain["size"]) for domain in told["domains"]] == [(name, size)]
    assert told["import_faults"] == []


@samples
def test_every_sample_imports_or_fails_in_one_line():
    for path in sorted(SAMPLES.rglob("*.*")):
        ran = rackplan("cluster", "import", path)
        assert ran.status in (0, 2)
        assert ran.error.count("\n") == (ran.status == 2)
