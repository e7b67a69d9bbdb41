"""Whatever is wrong with a command is said in one line that names it, with exit status 2, or 1 where no plan exists."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import Ran, rackplan

import topologies

SMALL = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 4}]},
    "slo": {"ttft_p95": "2s", "tpot_p95": "40ms"},
    "options": {"disaggregate": False},
}


def refused(ran: Ran, status: int, *said: str) -> None:
    assert ran.status == status, ran.error
    assert ran.error.count("\n") == 1, ran.error
    assert ran.error.startswith("rackplan: ")
    assert "Traceback" not in ran.error
    for words in said:
        assert words in ran.error


def scenario(folder: Path, **changes: object) -> Path:
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump({**SMALL, **changes}))
    return path


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["solve", "nowhere.yaml"], ["nowhere.yaml"]),
        (["solve", "deepseek-v3-2xnvl27"], ["deepseek-v3-2xnvl72"]),
        (["solve", "llama-70b-16xh100", "--llm", "lama-3.1-8b"], ["lama-3.1-8b", "llama-3.1-8b"]),
        (["solve", "llama-70b-16xh100", "--set", "cluster.device=h1000"], ["h1000", "h100"]),
        (["solve", "llama-70b-16xh100", "--set", "traffic.classes.7.output_tokens=5"], ["traffic.classes"]),
        (["solve", "llama-70b-16xh100", "--requests-per-s", "-3"], ["requests_per_s"]),
        (["solve", "llama-70b-16xh100", "--tpot-p95", "soon"], ["soon"]),
        (["solve", "llama-70b-16xh100", "--engine", "vlm"], ["vllm"]),
        (["check", "nowhere.json"], ["nowhere.json"]),
        (["predict", "--llm", "llama-3.1-8b", "--device", "h100", "--tp", "3", "--concurrency", "4"], ["tp"]),
        (["predict", "--llm", "llama-3.1-405b", "--device", "h100", "--concurrency", "4"], ["GB"]),
        (["fidelity", "nowhere.csv"], ["nowhere.csv"]),
        (["solv"], ["solv"]),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else None,
)
def test_bad_words(words: list[str], said: list[str]) -> None:
    refused(rackplan(*words), 2, *said)


def test_a_shell_sees_the_same() -> None:
    words = [Path(sys.executable).with_name("rackplan"), "solv"]
    ran = subprocess.run(words, capture_output=True, text=True, check=False, timeout=300)
    refused(Ran(ran.returncode, ran.stdout, ran.stderr), 2, "solv")


def test_malformed_files(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text("llm: {config: [unclosed\n")
    refused(rackplan("solve", broken), 2, "broken.yaml")
    refused(rackplan("solve", scenario(tmp_path, trafic={})), 2, "trafic", "traffic")
    binary = tmp_path / "binary.yaml"
    binary.write_bytes(bytes(range(256)))
    refused(rackplan("solve", binary), 2, "binary.yaml")


def test_a_promise_below_the_physical_floor_names_the_floor(tmp_path: Path) -> None:
    refused(rackplan("solve", scenario(tmp_path, slo={"tpot_p95": "0.1ms"})), 1, "TPOT", "ms is reachable")


def test_a_demand_beyond_the_cluster_names_what_is_reachable(tmp_path: Path) -> None:
    classes = [{**SMALL["traffic"]["classes"][0], "requests_per_s": 1e6}]  # type: ignore[index]
    refused(rackplan("solve", scenario(tmp_path, traffic={"classes": classes})), 1, "requests/s")


def test_graphs_that_cannot_be_used_say_why(tmp_path: Path) -> None:
    plain = topologies.to_plain(topologies.hgx(nodes=1, device="h100"))
    sick = json.loads(json.dumps(plain))
    for node in sick["nodes"]:
        node["healthy"] = False
    (tmp_path / "sick.json").write_text(json.dumps(sick))
    refused(rackplan("solve", scenario(tmp_path, cluster={"file": "sick.json"})), 2, "healthy")
    torn = {**plain, "nodes": [node for node in plain["nodes"] if node["kind"] != "host"]}
    (tmp_path / "torn.json").write_text(json.dumps(torn))
    refused(rackplan("solve", scenario(tmp_path, cluster={"file": "torn.json"})), 2, "torn.json")
