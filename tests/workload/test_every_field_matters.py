"""No setting without effect: for every field of a scenario, one scenario in which changing it changes the plan."""

from __future__ import annotations

import copy
from typing import Any, get_args

import numpy as np
import pytest
from pydantic import BaseModel

from solver.cost.calibration import packaged
from solver.errors import BadInput
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.workload import Scenario
from solver.workload.files import put

CHAT = {
    "name": "chat",
    "prompt_tokens": 2000,
    "output_tokens": 200,
    "requests_per_s": 4.0,
}
SMALL: dict[str, Any] = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2},
    "traffic": {"classes": [CHAT]},
    "slo": {"ttft_p95": "1s", "tpot_p95": "40ms"},
    "billing": "device",
    "options": {"disaggregate": False},
}
APART: dict[str, Any] = SMALL | {"options": {}}
USED: dict[str, Any] = SMALL | {
    "traffic": {
        "classes": [
            {key: value for key, value in CHAT.items() if key != "requests_per_s"}
            | {"users": {"count": 80, "tokens_per_s": 25, "think": "14s"}}
        ]
    }
}
KEEPING = CHAT | {
    "prompt_tokens": 6000,
    "reused_tokens": {"shared": 400, "private": 5000},
    "idle_s": {"median": 45, "p90": 400},
    "return_fraction": 0.8,
    "requests_per_s": 7.0,
}
FOUR = {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4}
SESSIONS: dict[str, Any] = SMALL | {
    "traffic": {"classes": [KEEPING]},
    "slo": {"ttft_p95": "2s", "tpot_p95": "50ms"},
    "options": {"kv_ages_s": [300], "disaggregate": False},
    "objective": "throughput",
    "prices": {"dram_usd_per_GB_hour": 0.0005},
}
LLM_OF_EXPERTS = "qwen3-30b-a3b"
EXPERTS: dict[str, Any] = SMALL | {"cluster": FOUR, "llm": {"config": LLM_OF_EXPERTS}}
SKEWED = [[float(40 - 30 * (e % 7 == 0)) for e in range(128)]] * 48
LOADED: dict[str, Any] = EXPERTS | {
    "expert_loads": [{"source": "drawn", "loads": SKEWED}],
    "constraints": {"pools": [{"role": "unified", "parallelism": {"tp": 1, "dp": 4, "ep": 4}}]},
}
DRAFTING: dict[str, Any] = {
    "llm": {"config": "deepseek-v3"},
    "cluster": {"builder": "hgx", "nodes": 2, "device": "h200"},
    "traffic": {"classes": [CHAT | {"requests_per_s": 2.0}]},
    "slo": {"ttft_p95": "3s", "tpot_p95": "60ms"},
    "options": {"disaggregate": False},
    "speculation": {"acceptance": [0.8]},
}
PINNED: dict[str, Any] = SMALL | {"constraints": {"pools": [{"role": "unified", "parallelism": {"tp": 1}}]}}
BESIDE: dict[str, Any] = SMALL | {"cluster": FOUR, "objective": "throughput"}
LONGER: dict[str, Any] = PINNED | {"traffic": {"classes": [CHAT | {"prompt_tokens": 3000, "requests_per_s": 2.0}]}}
HASTY: dict[str, Any] = SMALL | {
    "traffic": {"classes": [CHAT | {"requests_per_s": 0.2}]},
    "slo": {"tpot_p95": "8ms"},
    "objective": "throughput",
}


def side_by_side(*devices: str) -> dict[str, Any]:
    """A cluster of hosts with one device each."""
    return {"join": [{"builder": "hgx", "nodes": 1, "device": d, "devices_per_host": 1} for d in devices]}


HOSTS = {"builder": "hgx", "nodes": 2, "device": "h100", "devices_per_host": 2}
#: Limits on every measure that one device keeps, and that only two together do.
LIMITS = {
    "ttft_p50": ("1s", "70ms"),
    "ttft_p95": ("2s", "120ms"),
    "ttft_p99": ("2s", "140ms"),
    "ttft_mean": ("1s", "70ms"),
    "tpot_p50": ("40ms", "8ms"),
    "tpot_p95": ("40ms", "10ms"),
    "tpot_p99": ("40ms", "10ms"),
    "tpot_mean": ("40ms", "8ms"),
    "itl_p50": ("1s", "7ms"),
    "itl_p95": ("1s", "7ms"),
    "itl_p99": ("1s", "30ms"),
    "itl_mean": ("1s", "8ms"),
    "e2e_p50": ("20s", "1500ms"),
    "e2e_p95": ("20s", "2s"),
    "e2e_p99": ("20s", "2s"),
    "e2e_mean": ("20s", "1500ms"),
}
#: No limit but the one that a field sets.
FREE: dict[str, Any] = SMALL | {"slo": {}}
FREE_CLASS: dict[str, Any] = FREE | {"traffic": {"classes": [CHAT | {"slo": {}}]}}

#: Weights that nearly fill a device, so that two stages have far more room for KV caches than two replicas.
STAGED: dict[str, Any] = SMALL | {
    "llm": {"config": "llama-3.1-70b-fp8"},
    "slo": {"ttft_p95": "10s", "tpot_p95": "100ms"},
    "objective": "throughput",
    "constraints": {"forbid": ["tp"]},
}

#: Qwen3 without its head size: 128 there, and hidden / heads = 64 in a Llama.
NAMELESS = {
    "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_size": 2048, "intermediate_size": 6144,
    "num_hidden_layers": 28, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 151936,
    "max_position_embeddings": 40960, "torch_dtype": "bfloat16",
}  # fmt: skip

#: By path of a field: a scenario, settings that both sides share, and what the field is on either side.
CHANGES: dict[str, tuple[dict[str, Any], Any, Any]] = {
    "llm.config": (SMALL, "llama-3.1-8b", "qwen3-8b"),
    "llm.weights": (SMALL, "checkpoint", "fp8"),
    "llm.kv_cache": (SMALL, "bf16", "fp8"),
    "llm.as": (SMALL | {"llm": {"config": NAMELESS}}, None, "LlamaForCausalLM"),
    "speculation.draft_tokens": (DRAFTING, 0, 1),
    "speculation.acceptance": (DRAFTING | {"speculation": {"draft_tokens": 1, "acceptance": [0.9]}}, [0.9], [0.5]),
    "cluster": (SMALL, SMALL["cluster"], SMALL["cluster"] | {"device": "h200"}),
    "traffic.classes.name": (SMALL, "chat", "code"),
    "traffic.classes.prompt_tokens": (SMALL, 2000, 3000),
    "traffic.classes.output_tokens": (SMALL, 200, 300),
    "traffic.classes.requests_per_s": (SMALL, 4.0, 5.0),
    "traffic.classes.prompt_cv": (SMALL, 0.0, 1.0),
    "traffic.classes.output_cv": (SMALL, 0.0, 1.0),
    "traffic.classes.burstiness": (SMALL, 1.0, 3.0),
    "traffic.classes.reused_tokens.shared": (SESSIONS, 400, 900),
    "traffic.classes.reused_tokens.private": (SESSIONS, 5000, 3000),
    "traffic.classes.reused_tokens.generated": (SESSIONS | {"options": {"disaggregate": True, "kv_ages_s": [300]}}, 0, 200),
    "traffic.classes.idle_s.median": (SESSIONS, 45, 90),
    "traffic.classes.idle_s.p90": (SESSIONS, 400, 200),
    "traffic.classes.idle_s.returned": (SESSIONS, [], [[10.0, 0.5], [100.0, 1.0]]),
    "traffic.classes.return_fraction": (SESSIONS, 0.8, 0.4),
    "traffic.classes.longest_tokens": (SMALL, None, 20000),
    **{
        f"traffic.classes.slo.{key}": (FREE_CLASS, loose, tight)
        for key, (loose, tight) in LIMITS.items()
    },
    "traffic.classes.price_usd_per_million_output_tokens": (SMALL, None, 2.0),
    "traffic.routing": (SESSIONS, "prefix_aware", "random"),
    **{f"slo.{key}": (FREE, loose, tight) for key, (loose, tight) in LIMITS.items()},
    "objective": (SMALL, "cost", "throughput"),
    "engine": (SMALL, "vllm", "sglang"),
    "options.disaggregate": (SMALL, False, True),
    "options.redundant_experts": (LOADED, 0, 4),
    "options.survive_domain_failures": (SMALL | {"cluster": HOSTS}, 0, 1),
    "options.survive_host_failures": (SMALL | {"cluster": HOSTS}, 0, 1),
    "options.max_pools": (
        SMALL
        | {
            "cluster": side_by_side("h100", "h200", "b200"),
            "objective": "throughput",
        },
        1,
        3,
    ),
    "options.gap": (APART | {"cluster": HOSTS | {"nodes": 8}, "objective": "throughput"}, 0.0, 0.5),
    "options.simplicity": (
        SMALL
        | {"cluster": side_by_side("h100", "h200"), "objective": "throughput"},
        0.0,
        1.0,
    ),
    "options.memory_fraction": (SMALL | {"objective": "throughput"}, None, 0.5),
    "options.kv_tiers": (SESSIONS, "auto", []),
    "options.kv_ages_s": (SESSIONS, [60], [300]),
    "constraints.roles": (APART, ["unified"], ["prefill", "decode"]),
    "constraints.forbid": (HASTY, [], ["tp"]),
    "constraints.max_tp": (HASTY, None, 1),
    "constraints.max_domains": (STAGED | {"cluster": HOSTS | {"devices_per_host": 1}}, None, 1),
    "constraints.measured_only": (STAGED, False, True),
    "constraints.max_model_len": (SMALL, None, 100_000),
    "constraints.min_replicas": (SMALL, 1, 2),
    "constraints.max_devices": (SMALL | {"objective": "throughput"}, None, 1),
    "constraints.pools.role": (PINNED | {"options": {}}, "unified", "prefill"),
    "constraints.pools.parallelism": (PINNED, {"tp": 1}, {"tp": 2}),
    "constraints.pools.device": (
        SMALL
        | {
            "cluster": side_by_side("h100", "h200"),
            "constraints": {"pools": [{"role": "unified", "parallelism": {"tp": 1}}]},
        },
        "h100",
        "h200",
    ),
    "constraints.pools.engine": (PINNED | {"engine": "auto"}, "vllm", "sglang"),
    "constraints.pools.replicas": (PINNED, 1, 2),
    "constraints.other_pools": (
        BESIDE | {"constraints": {"pools": [{"role": "unified", "parallelism": {"tp": 2}, "replicas": 1}]}},
        True,
        False,
    ),
    "constraints.pools.batch_per_rank": (PINNED | {"objective": "throughput"}, None, 20),
    "constraints.pools.chunk_tokens": (LONGER, 2048, 8192),
    "billing": (SMALL, "device", "host"),
    "owned": (SMALL, False, True),
    "options.slo_confidence": (SMALL, 0.5, 0.9),
    "expert_loads": (LOADED, [], LOADED["expert_loads"]),
    "traffic.classes.users.count": (USED, 80, 160),
    "traffic.classes.users.tokens_per_s": (USED, 25, 40),
    "traffic.classes.users.think": (USED, "14s", "2s"),
    "price_basis": (SMALL, "reserved-3y", "source:lambda"),
    "prices": (SMALL, {"h100": 2.0}, {"h100": 3.0}),
    "calibration": (SMALL, None, packaged("vllm", "hopper")[0].with_values({"captured": 1.4}).to_json()),
}  # fmt: skip
#: Fields with one legal value.
ONE_VALUE = {"speculation.method"}


def fields_of(kind: type[BaseModel], prefix: str = "") -> set[str]:
    """Paths of all fields, as files spell them; records inside are walked, lists of records too."""
    found = set()
    for name, field in kind.model_fields.items():
        path = f"{prefix}{field.alias or name}"
        records = [r for r in _records(field.annotation) if r.__name__ != "RecordedLoads"]
        found |= {inner for record in records for inner in fields_of(record, f"{path}.")} if records else {path}
    return found


def _records(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [record for inner in get_args(annotation) for record in _records(inner)]


def with_value(base: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A scenario with a field set; the first of a list of records is meant."""
    content = copy.deepcopy(base)
    spelt = path.replace("classes.", "classes.0.").replace("pools.", "pools.0.")
    put(content, spelt, value)
    return content


class Plans(dict[str, dict[str, Any]]):
    """Plans by their scenario as it is understood: a default that is written down is none of its own."""

    def of(self, content: dict[str, Any]) -> dict[str, Any]:
        """The plan without its own copy of the scenario."""
        scenario = Scenario.from_mapping(content, "test")
        understood = scenario.model_dump_json(by_alias=True)
        if understood not in self:
            plan = self[understood] = solve_scenario(scenario, Effort(seed=0)).plan.model_dump(mode="json")
            del plan["scenario"], plan["provenance"]["inputs"]
        return self[understood]


PLANS = Plans()


def test_every_field_is_in_the_table() -> None:
    assert fields_of(Scenario) == CHANGES.keys() | ONE_VALUE


@pytest.mark.parametrize("path", sorted(CHANGES))
def test_a_field_changes_the_plan(path: str) -> None:
    base, before, after = CHANGES[path]
    plans = [PLANS.of(with_value(base, path, value)) for value in (before, after)]
    assert plans[0] != plans[1]
    figures = [
        np.array(
            [plan["objective"]["usd_per_hour"], plan["prediction"]["ttft_p95_s"], plan["prediction"]["tpot_p95_s"]]
        )
        for plan in plans
    ]
    pools = [
        [(p["name"], p["engine"], p["device"], p["limits"], p["parallelism"]) for p in plan["pools"]] for plan in plans
    ]
    classes = [(sorted(plan["prediction"]["classes"]), plan["margins"]) for plan in plans]
    assert not np.allclose(*figures, rtol=1e-9) or pools[0] != pools[1] or classes[0] != classes[1]


def test_fields_of_one_value_have_one() -> None:
    speculation = DRAFTING["speculation"]
    with pytest.raises(BadInput, match="method"):
        Scenario.from_mapping(DRAFTING | {"speculation": speculation | {"method": "eagle3"}}, "test")


def test_a_pinned_engine_conflicts_with_another_one() -> None:
    pools = [{"role": "unified", "parallelism": {"tp": 2}, "engine": "sglang"}]
    with pytest.raises(BadInput, match="sglang"):
        Scenario.from_mapping(SMALL | {"engine": "vllm", "constraints": {"pools": pools}}, "test")
