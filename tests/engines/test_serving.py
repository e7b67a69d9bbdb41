"""An exported deployment, started by its own up.sh on this CPU: router, prefill, decode, caches handed over by NIXL."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from checkpoints import folder_of
from deployments import own_ports

from solver import Scenario
from solver.export import export
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario

REQUESTS, OUTPUT = 100, 12
#: What a CPU and a folder without tokenizer and weights need beside the exported words.
ADDED = "--skip-tokenizer-init --load-format dummy --enforce-eager"


@pytest.fixture
def deployment(engines: Path, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """The table of a deployment that serves."""
    model = folder_of("tiny", tmp_path)
    scenario = {
        "llm": {"config": str(model)},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
        "traffic": {"classes": [{"name": "chat", "prompt_tokens": 200, "output_tokens": 20, "requests_per_s": 5}]},
        "slo": {"ttft_p95": "2s", "tpot_p95": "50ms"},
        "engine": "vllm",
        "constraints": {"roles": ["prefill", "decode"], "forbid": ["tp", "pp"]},
    }
    plan = solve_scenario(Scenario.from_mapping(scenario, "tiny"), Effort(time_limit_s=120, gap=0.05)).plan
    out = tmp_path / "out"
    export(plan, "vllm").save(out)
    table = json.loads((out / "hosts.json").read_text())
    table["addresses"] = dict.fromkeys(table["addresses"], "127.0.0.1")
    (out / "hosts.json").write_text(json.dumps(table))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, added in (("vllm", ADDED), ("vllm-router", "")):
        (programs / name).write_text(f'#!/bin/sh\nexec {engines}/vllm/bin/{name} "$@" {added}\n')
        (programs / name).chmod(0o755)
    environment = os.environ | {
        "PATH": f"{programs}:{engines}/vllm/bin:{os.environ['PATH']}", "MODEL": str(model), "UCX_TLS": "tcp,sm,self",
        "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind", "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1",
    }  # fmt: skip
    with own_ports():
        yield from _served(table, out, environment, str(model))


def _served(table: dict[str, Any], out: Path, environment: dict[str, str], model: str) -> Iterator[dict[str, Any]]:
    for port in [int(entry["environment"]["PORT"]) for entry in table["start"]] + [table["serve"]["port"]]:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                pytest.skip(f"port {port} of this machine is in use")
    try:
        up = subprocess.run(
            ["bash", out / "up.sh", "--timeout", "240"], capture_output=True, text=True, check=False, env=environment
        )
        logs = {path.name: path.read_text()[-2000:] for path in out.glob("run/*.log")}
        assert up.returncode == 0, (up.stderr, logs)
        yield {**table, "said": up.stdout, "model": model}
    finally:
        subprocess.run(["bash", out / "down.sh"], check=True, env=environment)


def tokens(deployment: dict[str, Any], port: int, number: int) -> list[int]:
    """What a server answers to a prompt drawn for a number."""
    draw = random.Random(number)
    body = {
        "model": deployment["model"], "prompt": [draw.randrange(3, 1000) for _ in range(draw.randrange(50, 250))],
        "max_tokens": OUTPUT, "temperature": 0, "ignore_eos": True, "return_token_ids": True,
    }  # fmt: skip
    url = f"http://127.0.0.1:{port}/v1/completions"
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=120) as answer:
        found: list[int] = json.load(answer)["choices"][0]["token_ids"]
    return found


def test_a_hundred_requests_are_served_at_the_one_address(deployment: dict[str, Any]) -> None:
    """Every answer is the one of a server that prefills and decodes itself, so that caches arrive whole."""
    port = int(deployment["serve"]["port"])
    assert f":{port}/v1" in deployment["said"]
    with ThreadPoolExecutor(16) as pool:
        served = list(pool.map(lambda number: tokens(deployment, port, number), range(REQUESTS)))
    assert [len(answer) for answer in served] == [OUTPUT] * REQUESTS
    [alone] = {
        int(e["environment"]["PORT"]) for e in deployment["start"] if e["pool"] == "prefill" and e["replica"] == 0
    }
    assert served == [tokens(deployment, alone, number) for number in range(REQUESTS)]
    # Decode read the prompts' caches from prefill: it counts the bytes.
    [port] = {int(e["environment"]["PORT"]) for e in deployment["start"] if e["pool"] == "decode" and e["replica"] == 0}
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    moved = [float(line.rpartition(" ")[2]) for line in lines if line.startswith("vllm:nixl_bytes_transferred_sum")]
    assert sum(moved) > 0
