"""``rackplan simulate`` beside vLLM's own scheduler: the same arrivals, the same step times, another's decisions."""

from __future__ import annotations

import json
import subprocess
import tempfile
from importlib.resources import files as resources
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import simpy
from checkpoints import folder_of

import solver.export.start as start
from solver import Scenario
from solver.cost.instance import Instance
from solver.export import export
from solver.export.start import start_commands
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.simulate import Run, replay
from solver.simulate.replay import COOL_DOWN_STAYS, WARM_UP_STAYS
from solver.simulate.site import Site, stay_s
from solver.simulate.traffic import Stochastic

#: Nine tenths of the most that one device serves.
REQUESTS, SEED, RATE = 2000, 1, 23
JUDGES = Path(start.__file__).with_name("judges")
H100 = {"title": "NVIDIA H100", "capability": [9, 0], "bytes": 85_520_809_984, "count": 8}


def neutral() -> dict[str, Any]:
    """vLLM's calibration on Hopper without what its server adds to its scheduler: admission, and a slow first token."""
    text = resources("solver.cost").joinpath("calibrations", "vllm-hopper.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    for name, value in (("server_s", 0.0), ("admission_s", 0.0), ("admission_steps", 0.0), ("first_token", 1.0)):
        found["parameters"][name]["value"] = value
    return found


def unified() -> Plan:
    """Llama-3.1-8B on one H100."""
    scenario = {
        "calibration": neutral(),
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
        "traffic": {
            "classes": [
                {
                    "name": "chat",
                    "prompt_tokens": 1000,
                    "output_tokens": 200,
                    "requests_per_s": RATE,
                    "prompt_cv": 1.0,
                    "output_cv": 0.6,
                }
            ]
        },
        "slo": {"ttft_p95": "2s", "tpot_p95": "100ms"},
        "engine": "vllm",
        "constraints": {
            "roles": ["unified"],
            "pools": [{"role": "unified", "parallelism": {"tp": 1, "pp": 1}, "replicas": 1}],
            "other_pools": False,
        },
    }
    return solve_scenario(Scenario.from_mapping(scenario, "unified"), Effort(time_limit_s=120, gap=0.05)).plan


def by_vllm(plan: Plan, engines: Path, folder: Path, requests: int = REQUESTS, seed: int = SEED) -> dict[str, float]:
    """Latencies of the requests that ``simulate`` would record, under vLLM's scheduler."""
    instance = Instance.of(plan.scenario)
    [pool] = plan.pools
    site = Site(simpy.Environment(), plan, instance, seed, lambda request: None)
    served = site.pools[pool.name]
    pace = served.pace
    [request_class] = plan.scenario.traffic.classes
    rate = plan.prediction.classes[request_class.name].requests_per_s / pool.replicas
    begin = WARM_UP_STAYS * stay_s(plan)
    end = begin + requests / rate
    drawn = Stochastic([request_class], {request_class.name: rate}, seed)
    arrivals = [
        (each.time_s, each.prompt_tokens, each.output_tokens)
        for each in takewhile(lambda a: a.time_s < end + COOL_DOWN_STAYS * stay_s(plan), drawn)
        if each.prompt_tokens + each.output_tokens <= pool.limits.max_length
    ]
    with tempfile.TemporaryDirectory() as out:
        export(plan, "vllm").save(out)
        [command] = start_commands(Path(out), "vllm")
    asked = {
        "model": str(folder_of("llama-3.1-8b", folder)), "words": command.words, "environment": dict(command.environment),
        "rooms": [served.room.bytes], "arrivals": arrivals, "judges": str(JUDGES), "device": H100, "asynchronous": False,
    }  # fmt: skip
    script = Path(__file__).with_name("vllm_scheduler.py")
    told: dict[str, Any] = {}
    with (
        (folder / "errors").open("w") as errors,
        subprocess.Popen(
            [engines / "vllm/bin/python", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        print(json.dumps(asked), file=child.stdin, flush=True)
        for line in child.stdout:
            if line.startswith("END"):
                told = json.loads(line.removeprefix("END"))
                break
            decode, context, prompt, keys = map(float, line.split())
            stall_s = pace.chunk(prompt, keys, decode).stall_s if prompt else 0.0
            print(pace.decode_s(decode, context) + stall_s, file=child.stdin, flush=True)
    assert told, (folder / "errors").read_text()[-1000:]
    counted = [str(n) for n, (time_s, _, _) in enumerate(arrivals) if begin <= time_s <= end]
    assert all(told["tokens"][name] == arrivals[int(name)][2] for name in counted), "every request is served whole"
    ttft = [told["first"][name] - arrivals[int(name)][0] for name in counted]
    tpot = [
        (told["last"][name] - told["first"][name]) / (told["tokens"][name] - 1)
        for name in counted
        if told["tokens"][name] > 1
    ]
    found = {f"ttft_p{p}_s": float(np.quantile(ttft, p / 100)) for p in (50, 95)}
    return found | {f"tpot_p{p}_s": float(np.quantile(tpot, p / 100)) for p in (50, 95)}


def test_simulate_schedules_as_vllm_does(engines: Path, tmp_path: Path) -> None:
    plan = unified()
    assert [pool.replicas for pool in plan.pools] == [1]
    theirs = by_vllm(plan, engines, tmp_path)
    ours = replay(plan, Run(requests=REQUESTS, seed=SEED)).overall
    figures = {name: (getattr(ours, name), theirs[name]) for name in theirs}
    print(
        f"utilisation {plan.pools[0].utilisation:.2f};",
        {n: (round(a, 5), round(b, 5)) for n, (a, b) in figures.items()},
    )
    for name, (mine, other) in figures.items():
        assert mine == pytest.approx(other, rel=0.02 if name.startswith("tpot") else 0.10), (name, figures)
