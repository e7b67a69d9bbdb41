"""Plans as ``solve`` gives them: what no measured run supports, whether replays on unseen seeds keep the promises, CPU time.

``pytest tests/benchmarks/kept.py -m benchmark -s -n 0`` (half an hour of one core); ``-k NAME`` for some scenarios.

The six packaged scenarios, and twenty that differ in LLM, devices, engine, load, promises and options. Every plan is replayed
as by default; the same scenario is solved without what no run had where the plan has any of that.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
from served import Content, chat, hgx, nvl72, turns

from solver import read_trace
from solver.cost.support import untried
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.simulate import Run, replay
from solver.study.confirm import Glance, confirm
from solver.workload import Scenario
from solver.workload.files import packaged, read_content

pytestmark = pytest.mark.benchmark

EFFORT = Effort(time_limit_s=60, workers=1, seed=1)
#: Seeds of replays that nothing was tuned on, and the requests that each records.
UNSEEN, REQUESTS = (911, 912), 20_000


def content(
    llm: str, cluster: Content, traffic: Content | list[Content], ttft: str | None, tpot: str | None, **more: Any
) -> Content:
    """A scenario; classes, or traffic of another kind."""
    slo = {name: limit for name, limit in (("ttft_p95", ttft), ("tpot_p95", tpot)) if limit}
    return {
        "llm": {"config": llm},
        "cluster": cluster,
        "traffic": {"classes": traffic} if isinstance(traffic, list) else traffic,
        "slo": slo,
        "price_basis": "reserved-3y",
        "engine": "vllm",
    } | more


USERS = {"name": "chat", "prompt_tokens": 2000, "output_tokens": 600}
OTHERS: dict[str, Content] = {
    "l8-l40s": content(
        "llama-3.1-8b-fp8", hgx(1, "l40s"), [chat(1500, 200, 6)], "2s", "60ms", price_basis="on-demand", billing="device"
    ),
    "gemma-a100": content(
        "gemma-3-27b", hgx(2, "a100"), [chat(1000, 300, 8)], "2s", "60ms", engine="sglang", price_basis="on-demand",
        billing="device",
    ),
    "mixtral-h100": content("mixtral-8x7b", hgx(2), [chat(1500, 400, 15, burstiness=2.0)], "2s", "40ms", billing="device"),
    "scout-h200": content("llama-4-scout", hgx(2, "h200"), [chat(20_000, 300, 1.5, prompt_cv=0.5)], "6s", "60ms"),
    "405b-b200": content("llama-3.1-405b-fp8", hgx(2, "b200"), [chat(2000, 500, 6)], "2s", "40ms", engine="trtllm"),
    "glm-air-h200": content(
        "glm-4.5-air-fp8", hgx(2, "h200"), [chat(3000, 700, 10, output_cv=0.8)], "2s", "30ms", engine="sglang",
        billing="device",
    ),
    "kimi-nvl72": content("kimi-k2.5-nvfp4", nvl72(), [chat(8000, 800, 30)], "3s", "30ms", engine="trtllm"),
    "minimax-b300": content("minimax-m2.5", hgx(1, "b300"), [chat(4000, 1000, 6)], "2s", "25ms", billing="device"),
    "v3.2-b200": content("deepseek-v3.2-nvfp4", hgx(2, "b200"), [chat(6000, 500, 15)], "3s", "35ms", engine="sglang"),
    "r1-mi300x": content(
        "deepseek-r1", hgx(2, "mi300x"), [chat(2000, 1000, 4)], "3s", "60ms", engine="sglang", billing="device"
    ),
    "q30-users": content(
        "qwen3-30b-a3b-fp8", hgx(1), [USERS | {"users": {"count": 200, "tokens_per_s": 40, "think": "20s"}}], "2s", None
    ),
    "coder-mi355x": content(
        "qwen3-coder-480b-a35b-fp8", hgx(1, "mi355x"), [chat(6000, 400, 4)], "3s", "40ms", engine="sglang"
    ),
    "oss20-pro6000": content(
        "gpt-oss-20b", hgx(1, "rtx-pro-6000"), [chat(800, 300, 30)], None, "30ms", price_basis="on-demand", billing="device"),
    "nano-most": content("nemotron-3-nano-30b-a3b", hgx(1), [chat(3000, 500, 20)], "1s", "20ms", objective="throughput"),
    "v3-drafts": content(
        "deepseek-v3", hgx(4, "h200"), [chat(2000, 600, 12)], "2s", "40ms", engine="sglang",
        speculation={"method": "mtp", "acceptance": [0.8]},
    ),
    "trace": content("qwen3-14b-fp8", hgx(1), [], "1s", "25ms", billing="device"),
    "idle-kv": content("llama-3.3-70b-fp8", hgx(2, "h200"), [turns(8000, 300, 5, 500, 6500, 0.7)], "3s", "50ms"),
    "survives": content(
        "llama-3.3-70b-fp8", hgx(4), [chat(2000, 300, 12)], "2s", "50ms", options={"survive_host_failures": 1}
    ),
    "any-engine": content(
        "qwen3-32b-fp8", hgx(2, "b200"), [chat(2000, 800, 15)], "1s", "20ms", engine="auto", billing="device"
    ),
    "sure": content(
        "qwen2.5-72b", {"join": [hgx(2), hgx(1, "h200")]}, [chat(1000, 300, 8), chat(6000, 500, 0.5, "long")], "2s", "60ms",
        options={"slo_confidence": 0.8},
    ),
}  # fmt: skip


def scenario(name: str, folder: Path) -> Scenario:
    """A scenario; the one without classes has a recorded trace instead."""
    if name in packaged():
        return Scenario.from_mapping(read_content(name)[0], name)
    if name != "trace":
        return Scenario.from_mapping(OTHERS[name], name)
    rng = np.random.default_rng(7)
    count = 4000
    arrivals = np.cumsum(rng.exponential(1 / 12, count))
    prompts = np.clip(rng.lognormal(7.2, 0.8, count), 16, 16_000).astype(int)
    outputs = np.clip(rng.lognormal(5.3, 0.7, count), 4, 2000).astype(int)
    rows = [f"{a:.3f},{p},{o}" for a, p, o in zip(arrivals, prompts, outputs, strict=True)]
    path = folder / "trace.csv"
    path.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]), encoding="utf-8")
    return Scenario.from_mapping(OTHERS[name] | {"traffic": read_trace(path, classes=3)}, name)


def unmeasured(plan: Plan) -> tuple[str, ...]:
    """Mechanisms of a plan's structure that no measured run had."""
    return tuple(dict.fromkeys(name for pool in plan.pools for name in untried(pool.setup())))


def cost(plan: Plan) -> float:
    return plan.objective.usd_per_million_output_tokens


@dataclass(frozen=True)
class Found:
    """What became of a scenario: CPU seconds without and with replay, the cost of a plan without the unmeasured that replay
    leaves standing, and misses as (seed, promise, latency over limit)."""

    plan: Plan
    alone_s: float
    whole_s: float
    without: float | None
    misses: tuple[tuple[int, str, float], ...]
    worst: float

    def __str__(self) -> str:
        names = unmeasured(self.plan)
        told = self.plan.confirmation
        judged = "not judged" if told is None else f"{'kept' if told.kept else 'NOT kept'} {told.cost_rise:+.1%}"
        without = (
            "no plan" if self.without is None else f"{self.without:.4g} ({self.without / cost(self.plan) - 1:+.1%})"
        )
        misses = "; ".join(f"seed {seed}: {what} {over:.3f}" for seed, what, over in self.misses)
        return (
            f"{cost(self.plan):8.4g} | {', '.join(names) or '-'} | {without if names else '-'} | first: "
            f"{self.plan.binding[0].rule if self.plan.binding else '-'} | {judged} | worst {self.worst:.3f} {misses or '-'} | "
            f"{self.alone_s:.1f} s, with replay x{self.whole_s / self.alone_s:.2f}"
        )


def found(wanted: Scenario) -> Found:
    """Solve, replay as by default, solve without the unmeasured, and replay on unseen seeds."""
    start = process_time()
    first = solve_scenario(wanted, EFFORT)
    alone = process_time() - start
    plan = confirm(wanted, first, EFFORT, trial=Glance()).plan
    whole = process_time() - start
    without = None
    if unmeasured(plan):
        limits = wanted.constraints.model_copy(update={"measured_only": True})
        measured = wanted.model_copy(update={"constraints": limits})
        other = confirm(measured, solve_scenario(measured, EFFORT), EFFORT, trial=Glance()).found
        holds = other is not None and (other.confirmation is None or other.confirmation.kept)
        without = cost(other) if other is not None and holds else None
    verdicts = [(s, v) for s in UNSEEN for v in replay(plan, Run(requests=REQUESTS, seed=s)).verdicts]
    over = [(s, f"{v.promise} of {v.class_name}", v.simulated_s / v.limit_s) for s, v in verdicts]
    misses = tuple(each for each in over if each[2] > 1)
    return Found(plan, alone, whole, without, misses, max((each[2] for each in over), default=0.0))


@pytest.mark.parametrize("name", [*packaged(), *OTHERS])
def test_plans_as_solve_gives_them(name: str, tmp_path: Path) -> None:
    result = found(scenario(name, tmp_path))
    print(f"\n{name} | {result}", flush=True)
    names, plan = unmeasured(result.plan), result.plan
    if names:
        assert plan.binding[0].rule == "evidence"
        assert result.without is None or result.without > cost(plan) * (1 + plan.scenario.options.simplicity)
    assert not result.misses
