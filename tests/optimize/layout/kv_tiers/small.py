"""Scenarios in which sessions return, small enough to solve in a second or two."""

from __future__ import annotations

import random
from typing import Any

from solver.workload import Scenario

AGES_S = [60.0, 300.0, 1800.0]


def scenario(requests_per_s: float = 10.0, **fields: Any) -> Scenario:
    """A chat whose turns repeat most of the prompt, on one host."""
    chat = {
        "name": "chat",
        "prompt_tokens": 6000,
        "output_tokens": 200,
        "requests_per_s": requests_per_s,
        "reused_tokens": {"shared": 400, "private": 5000},
        "idle_s": {"median": 45, "p90": 400},
        "return_fraction": 0.8,
    }
    content: dict[str, Any] = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4},
        "traffic": {"classes": [chat | fields.pop("chat", {})], "routing": fields.pop("routing", "prefix_aware")},
        "slo": {"ttft_p95": "2s", "tpot_p95": "50ms"},
        "options": {"disaggregate": False, "kv_ages_s": AGES_S} | fields.pop("options", {}),
        "billing": "device",
        "prices": {"dram_usd_per_GB_hour": 0.0005, "flash_usd_per_GB_hour": 0.00004},
    }
    return Scenario.from_mapping(content | fields, "test")


def varied(seed: int) -> Scenario:
    """Lengths, reuse, idle times, prices, hosts and roles drawn at random."""
    rng = random.Random(seed)
    prompt = rng.choice([2000, 6000, 12000])
    private = int(prompt * rng.uniform(0.3, 0.9))
    chat = {
        "prompt_tokens": prompt,
        "output_tokens": rng.choice([100, 300]),
        "reused_tokens": {"shared": rng.choice([0, int(prompt * 0.08)]), "private": private},
        "idle_s": {"median": (median := rng.choice([10, 60, 400])), "p90": median * rng.choice([2, 10])},
        "return_fraction": rng.uniform(0.3, 0.95),
    }
    llm, tokens_per_s = rng.choice([("llama-3.1-8b", 50_000), ("llama-3.1-70b-fp8", 7_500)])
    return scenario(
        rng.uniform(0.5, 1.0) * tokens_per_s / prompt,
        chat=chat,
        options={"disaggregate": rng.choice([False, False, True]), "kv_ages_s": [30.0, 300.0]},
        llm={"config": llm},
        cluster={"builder": "hgx", "nodes": 1, "device": rng.choice(["h100", "h200"]), "devices_per_host": 4},
        billing=rng.choice(["device", "device", "host"]),
        objective=rng.choice(["cost", "cost", "throughput"]),
    )
