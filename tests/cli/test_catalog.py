"""``rackplan list`` and ``rackplan show scenario``; devices of one's own on the command line."""

from __future__ import annotations

import json

import pytest

from tests.cli.command_line import rackplan

OWN = '{"name": "rtx5090x", "like": "l40s", "hbm_bytes": 32e9}'


@pytest.mark.parametrize(
    ("kind", "pattern", "name"),
    [
        ("llms", "qwen3.6", "qwen3.6-27b"),
        ("devices", "h*-141gb", "h20-141gb"),
        ("scenarios", "llama", "llama-70b-16xh100"),
        ("engines", "sglang", "sglang"),
        ("families", "deepseek*", "deepseek_v3"),
    ],
)
def test_names_are_listed(kind, pattern, name):
    table, told = rackplan("list", kind, pattern), rackplan("list", kind, pattern, "--json")
    assert table.status == told.status == 0
    rows = json.loads(told.out)
    assert name in [row["name"] for row in rows]
    assert len(table.out.splitlines()) == len(rows) + 1
    assert table.out.startswith("name")


def test_devices_say_which_are_unverified():
    line = next(line for line in rackplan("list", "devices").out.splitlines() if line.startswith("vr200"))
    assert line.endswith("unverified")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [(("llm",), "nearest: llms"), (("devices", "h300"), "nearest: "), (("engines", "vlm"), "nearest: vllm")],
)
def test_a_name_that_is_not_there_is_answered_with_the_nearest(arguments, says):
    ran = rackplan("list", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.error


def test_a_packaged_scenario_is_printed_and_reads_back(tmp_path):
    ran = rackplan("show", "scenario", "gpt-oss-120b-8xb200")
    mine = tmp_path / "mine.yaml"
    mine.write_text(ran.out)
    assert ran.out.startswith("# ")
    assert rackplan("cluster", "show", mine).status == 0
    assert "nearest: gpt-oss-120b-8xb200" in rackplan("show", "scenario", "gpt-oss").error


def test_an_own_device_works_wherever_a_name_does():
    predicted = rackplan("predict", "--llm", "qwen3-8b", "--device", OWN, "--json")
    assert "1 rtx5090x" in json.loads(predicted.out)["layout"]
    assert json.loads(predicted.out)["memory"]["capacity_bytes"] == pytest.approx(32e9 * 45.776e9 / 48e9, rel=0.05)
    shown = rackplan("cluster", "show", f"hgx:nodes=1,device={OWN},devices_per_host=4")
    assert "4 rtx5090x, 32 GB each" in shown.out


@pytest.mark.parametrize("device", ["not-an-h100", "NVIDIA A100-4C", '{"name": "x", "like": "h2000"}', "{name: [x"])
def test_a_device_that_is_none_is_refused(device, tmp_path):
    topo = tmp_path / "node.txt"
    topo.write_text("\tGPU0\tGPU1\nGPU0\t X \tNV18\nGPU1\tNV18\t X \n")
    ran = rackplan("cluster", "import", topo, "--device", device)
    assert ran.status == 2
    assert ran.error.count("\n") == 1
