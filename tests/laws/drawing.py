"""Scenarios drawn at random over everything that a scenario says."""

from __future__ import annotations

import random
from typing import Any

import topologies

#: LLMs of every kind of attention and FFN, with devices of one replica at least, about.
LLMS = {
    "llama-3.1-8b": 1, "qwen3-32b": 1, "gemma-3-27b": 1, "gpt-oss-20b": 1, "qwen3-30b-a3b": 1, "llama-3.1-70b-fp8": 2,
    "gpt-oss-120b": 2, "mixtral-8x7b": 2, "qwen3-next-80b-a3b": 3, "qwen3-235b-a22b-fp8": 5, "deepseek-v3": 10,
}  # fmt: skip
DEVICES = ("h100", "h200", "b200", "a100", "l40s")
ENGINES = ("vllm", "vllm", "sglang", "sglang", "trtllm", "auto")


def scenario(rng: random.Random) -> dict[str, Any]:
    """A scenario's content: small enough to be solved in seconds."""
    llm = rng.choice(sorted(LLMS))
    content: dict[str, Any] = {
        "llm": {"config": llm},
        "cluster": _cluster(rng, LLMS[llm]),
        "traffic": {"classes": _classes(rng)},
        "slo": _promise(rng),
        "engine": rng.choice(ENGINES),
        "billing": rng.choice(("device", "host", "host", "domain")),
        "objective": rng.choice(("cost", "cost", "throughput")),
    }
    if content["cluster"].get("device") == "gb200":
        content["price_basis"] = "reserved-3y"
    options: dict[str, Any] = {}
    if rng.random() < 0.2:
        options[rng.choice(("survive_domain_failures", "survive_host_failures"))] = 1
    if rng.random() < 0.15:
        options["max_pools"] = rng.choice((1, 3))
    if options:
        content["options"] = options
    if rng.random() < 0.1:
        content["owned"] = True
    return content


def _cluster(rng: random.Random, least: int) -> dict[str, Any]:
    if rng.random() < 0.1:
        return {"builder": "nvl72", "racks": 1, "device": "gb200"}
    device = rng.choice(DEVICES)
    nodes = max(rng.choice((1, 1, 2, 2, 3)), -(-least // 8))
    built: dict[str, Any] = {"builder": "hgx", "nodes": nodes, "device": device}
    if rng.random() < 0.3:
        built["devices_per_host"] = rng.choice((4, 8))
    if rng.random() < 0.25:
        graph = topologies.build(built)
        names = sorted(n for n, data in graph.nodes(data=True) if data["kind"] == "device")
        lost = rng.sample(names, rng.choice((1, 1, 2, 4)))
        if rng.random() < 0.5:
            return built | {"unhealthy": lost}
        fabric = rng.choice(("scale_out", "scale_out", "scale_up"))
        for name in lost:
            for other in [o for o, data in graph[name].items() if data["fabric"] == fabric]:
                graph.remove_edge(name, other)
        return {"graph": topologies.to_plain(graph)}
    return built


def _classes(rng: random.Random) -> list[dict[str, Any]]:
    classes = []
    for number in range(rng.choice((1, 1, 1, 2, 3))):
        one: dict[str, Any] = {
            "name": f"class-{number}",
            "prompt_tokens": int(10 ** rng.uniform(1.7, 4.1)),
            "output_tokens": int(10 ** rng.uniform(1.0, 3.2)),
            "requests_per_s": round(10 ** rng.uniform(-0.5, 1.6), 2),
        }
        if number and rng.random() < 0.6:
            one["slo"] = _promise(rng)
        prompt = one["prompt_tokens"]
        if rng.random() < 0.15:
            one |= {
                "reused_tokens": {"shared": prompt // 5, "private": prompt // 2},
                "return_fraction": rng.choice((0.5, 0.9)),
                "idle_s": {"median": rng.choice((10, 60)), "p90": 600},
            }
        if rng.random() < 0.2:
            one |= {"prompt_cv": rng.choice((0.5, 1.0)), "output_cv": rng.choice((0.3, 1.0))}
        if rng.random() < 0.1:
            one["burstiness"] = rng.choice((0.5, 3.0))
        classes.append(one)
    return classes


def _promise(rng: random.Random) -> dict[str, float]:
    """Mostly of the 95th percentile of both latencies; of any other statistic, and of the others, too."""

    def of(quantity: str) -> str:
        return f"{quantity}_{rng.choice(('p95', 'p95', 'p95', 'p50', 'p99', 'mean'))}"

    promise = {of("tpot"): round(10 ** rng.uniform(-1.9, -0.9), 4)}
    if rng.random() < 0.8:
        promise[of("ttft")] = round(10 ** rng.uniform(-0.5, 1.0), 3)
    if rng.random() < 0.1:
        promise[of("itl")] = round(10 ** rng.uniform(-1.5, 0.0), 4)
    if rng.random() < 0.1:
        promise[of("e2e")] = round(10 ** rng.uniform(0.5, 2.0), 3)
    return promise
