"""Eight cases of AIConfigurator: seconds of the whole command, gap, and what its winner costs under our physics.

``pytest tests/benchmarks/aiconfigurator.py -m benchmark -s -n 0``; where ``aiconfigurator`` is on the path (or named by
the variable AICONFIGURATOR) it runs beside each case and the ratio of times is printed.

Its winners are those of ``aiconfigurator cli default`` 0.12.0.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Case:
    """One question, its answer by AIConfigurator, and its own command line.

    Attributes
    ----------
    ttft, tpot: limits [ms]. winner: pools by role: degrees and replicas. rate: tokens/s/device that it predicts.
    """

    name: str
    llm: str
    theirs: str
    cluster: dict[str, Any]
    system: str
    devices: int
    engine: str
    prompt: int
    output: int
    ttft: int
    tpot: int
    winner: list[dict[str, Any]]
    rate: float
    prefix: int = 0
    backend: str = field(default="")


def hgx(device: str, nodes: int) -> dict[str, Any]:
    return {"builder": "hgx", "device": device, "nodes": nodes}


def pool(role: str, replicas: int, **degrees: int) -> dict[str, Any]:
    return {"role": role, "replicas": replicas, "parallelism": degrees}


V3 = ("deepseek-v3", "deepseek-ai/DeepSeek-V3")
CASES = [
    Case("Qwen3-32B-FP8, 32 x H200", "qwen3-32b-fp8", "Qwen/Qwen3-32B-FP8", hgx("h200", 4), "h200_sxm", 32, "trtllm", 4000, 500,
         300, 10, [pool("prefill", 5, tp=4), pool("decode", 3, tp=4)], 572.7, prefix=500),
    Case("DeepSeek-V3, 32 x H200", *V3, hgx("h200", 4), "h200_sxm", 32, "trtllm", 4000, 1000,
         2000, 30, [pool("unified", 2, dp=16, ep=16)], 279.8),
    Case("DeepSeek-V3, 32 x B200", *V3, hgx("b200", 4), "b200_sxm", 32, "trtllm", 4000, 1000,
         2000, 30, [pool("prefill", 2, dp=8, ep=8), pool("decode", 1, dp=16, ep=16)], 1236.8),
    Case("DeepSeek-V3, 72 x GB200", *V3, {"builder": "nvl72", "device": "gb200", "racks": 1},
         "gb200", 72, "trtllm", 4000, 1000, 2000, 30, [pool("prefill", 3, dp=8, ep=8), pool("decode", 2, dp=16, ep=16)], 823.4),
    Case("DeepSeek-V3, 64 x H100", *V3, hgx("h100", 8), "h100_sxm", 64, "sglang", 2000, 1000,
         2000, 50, [pool("unified", 4, dp=16, ep=16)], 663.8),
    Case("DeepSeek-V3, 256 x H200", *V3, hgx("h200", 32), "h200_sxm", 256, "auto", 4000, 1000,
         2000, 30, [pool("prefill", 8, dp=8, ep=8), pool("decode", 3, tp=2, dp=32, ep=64)], 395.3),
    Case("Qwen3-235B-FP8, 16 x H200", "qwen3-235b-a22b-fp8", "Qwen/Qwen3-235B-A22B-FP8", hgx("h200", 2), "h200_sxm", 16,
         "trtllm", 4000, 1000, 2000, 30, [pool("prefill", 2, tp=2, ep=2), pool("decode", 3, tp=4, ep=4)], 496.7),
    Case("Llama-70B, 16 x H100", "llama-3.1-70b", "meta-llama/Meta-Llama-3.1-70B", hgx("h100", 2), "h100_sxm", 16, "vllm",
         1024, 256, 1000, 40, [pool("unified", 4, tp=4)], 509.4),
]  # fmt: skip


def scenario(case: Case, pinned: list[dict[str, Any]]) -> dict[str, Any]:
    """The case as a scenario; pinned pools make it a price of that layout."""
    request = {
        "name": "only",
        "prompt_tokens": case.prompt - case.prefix,
        "output_tokens": case.output,
        "requests_per_s": 1,
    }
    return {
        "llm": {"config": case.llm},
        "cluster": case.cluster,
        "price_basis": "reserved-3y",
        "traffic": {"classes": [request]},
        "slo": {"ttft_p95": f"{case.ttft}ms", "tpot_p95": f"{case.tpot}ms"},
        "objective": "throughput",
        "billing": "device",
        "engine": case.engine,
        "constraints": {"pools": pinned} if pinned else {},
    }


def solved(content: dict[str, Any], folder: Path) -> tuple[float, dict[str, Any] | None, str]:
    """Seconds of the whole command, the plan, and what it said."""
    (folder / "case.json").write_text(json.dumps(content))
    (folder / "plan.json").unlink(missing_ok=True)
    began = time.perf_counter()
    command = [
        str(Path(sys.executable).with_name("rackplan")),
        "solve",
        str(folder / "case.json"),
        "-o",
        str(folder / "plan.json"),
    ]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - began
    found = folder / "plan.json"
    return seconds, json.loads(found.read_text()) if found.exists() else None, ran.stderr.strip()[:100]


def theirs(case: Case) -> float | None:
    """Seconds of AIConfigurator's own command for the case, where it is installed."""
    program = os.environ.get("AICONFIGURATOR") or shutil.which("aiconfigurator")
    if program is None:
        return None
    asked = {"model": case.theirs, "total-gpus": case.devices, "system": case.system, "isl": case.prompt, "osl": case.output,
             "ttft": case.ttft, "tpot": case.tpot}  # fmt: skip
    command = [program, "cli", "default", *(word for key, value in asked.items() for word in (f"--{key}", str(value)))]
    if case.engine != "auto":
        command += ["--backend", case.engine]
    began = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    return time.perf_counter() - began if ran.returncode == 0 else None


@pytest.mark.benchmark
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_case(case: Case, tmp_path: Path) -> None:
    seconds, plan, said = solved(scenario(case, []), tmp_path)
    assert plan is not None, said
    _, priced, refused = solved(scenario(case, case.winner), tmp_path)
    cost = plan["objective"]["usd_per_million_output_tokens"]
    line = f"{case.name}: {seconds:.1f} s, gap {plan['objective']['gap']:.2%}, {cost:.4g} USD/Mtok"
    rate = plan["prediction"]["output_tokens_per_s"] / case.devices
    line += f", {rate:.0f} tok/s/device (theirs says {case.rate:.0f})"
    if priced is None:
        line += f"; their winner under our physics: none ({refused})"
    else:
        other = priced["objective"]["usd_per_million_output_tokens"]
        line += f"; their winner under our physics {other:.4g} USD/Mtok, {other / cost:.2f} times ours"
        assert cost <= other * 1.01
    took = theirs(case)
    print(f"\n{line}" + (f"; aiconfigurator {took:.1f} s, {took / seconds:.0f} times as long" if took else ""))
    assert plan["objective"]["gap"] <= 0.01
