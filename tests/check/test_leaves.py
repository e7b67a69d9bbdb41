"""Plans of every kind, bent at leaves drawn at random: each is rejected, or is listed as taken on trust."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
from test_mutations import reread

from solver.check import violations
from solver.errors import BadInput
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.workload import Scenario

Path = tuple[str | int, ...]
CHAT = {"name": "chat", "prompt_tokens": 3000, "output_tokens": 400, "requests_per_s": 10}
SHORT = {"name": "short", "prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 3}
PROMISE = {"ttft_p95": "1s", "tpot_p95": "30ms"}
KINDS: dict[str, dict[str, Any]] = {
    "apart": {
        "llm": {"config": "qwen3-30b-a3b"},
        "traffic": {"classes": [CHAT | {"price_usd_per_million_output_tokens": 1.0}]},
        "engine": "sglang",
        "options": {"disaggregate": True},
    },
    "surviving": {
        "llm": {"config": "llama-3.1-8b"},
        "traffic": {"classes": [CHAT]},
        "options": {"survive_host_failures": 1, "disaggregate": False},
    },
    "keeping": {
        "llm": {"config": "llama-3.1-8b"},
        "traffic": {
            "classes": [
                CHAT | {"reused_tokens": {"shared": 500, "private": 2000}, "return_fraction": 0.9}
                | {"idle_s": {"median": 60, "p90": 600}}
            ]
        },
        "prices": {"h100": 2.5, "dram_usd_per_GB_hour": 0.001},
        "options": {"kv_tiers": ["hbm", "dram"], "kv_ages_s": [60]},
        "billing": "device",
    },
    "sharing": {
        "llm": {"config": "llama-3.1-8b"},
        "traffic": {"classes": [CHAT, SHORT | {"slo": {"ttft_p95": "3s", "tpot_p95": "60ms"}}]},
        "objective": "throughput",
        "options": {"disaggregate": False},
    },
}  # fmt: skip
#: What does not follow from a scenario: see :func:`solver.check.attested`.
ON_TRUST = ("binding", "provenance.versions", "provenance.seed", "provenance.profiles", "provenance.bound_over")
DRAWN = 30


@functools.cache
def solved(kind: str) -> str:
    cluster = {"builder": "hgx", "nodes": 2, "device": "h100", "devices_per_host": 4}
    content = {"cluster": cluster, "slo": PROMISE} | KINDS[kind]
    return solve_scenario(Scenario.from_mapping(content, "test"), Effort(time_limit_s=120, seed=1)).plan.dumps()


def leaves(tree: Any, path: Path = ()) -> Iterator[Path]:
    """Paths of everything that is neither a list nor a mapping."""
    if isinstance(tree, dict | list):
        for key, part in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from leaves(part, (*path, key))
    else:
        yield path


def bent(value: Any) -> Any:
    """Another value of the same kind."""
    if value is None or isinstance(value, bool):
        return 1 if value is None else not value
    if isinstance(value, str):
        return f"{value}x"
    return value + 1 if isinstance(value, int) else value * 1.05 or 1.0


def drawn(kind: str) -> list[Path]:
    """Some leaves, no two of which differ only by their place in a list."""
    alike: dict[tuple[str, ...], list[Path]] = {}
    for path in leaves(json.loads(solved(kind))):
        if path[0] != "scenario":
            alike.setdefault(tuple("*" if isinstance(key, int) else key for key in path), []).append(path)
    rng = random.Random(kind)
    return [rng.choice(alike[key]) for key in rng.sample(sorted(alike), DRAWN)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_bent_leaf_is_rejected_or_taken_on_trust(kind: str) -> None:
    accepted = []
    for path in drawn(kind):
        content = json.loads(solved(kind))
        holder = functools.reduce(lambda tree, key: tree[key], path[:-1], content)
        holder[path[-1]] = bent(holder[path[-1]])
        try:
            plan = reread(content, hashed=False)
        except (ValueError, BadInput):
            continue
        if not violations(plan):
            accepted.append(".".join(map(str, path)))
    assert [path for path in accepted if not path.startswith(ON_TRUST)] == []


def test_several_prompts_a_step_fit_its_tokens() -> None:
    content = json.loads(solved("apart"))
    [prefill] = [pool for pool in content["pools"] if pool["role"] == "prefill"]
    prefill["prompts_per_step"] = 64
    assert any("do not fit" in sentence for sentence in violations(reread(content)))
