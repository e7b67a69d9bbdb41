"""The witness accepts every plan that is solved, and rejects every way of bending a single field of one."""

from __future__ import annotations

import copy
import functools
import hashlib
import json
import math
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import ValidationError

from solver.check import attested, check, violations
from solver.check.evidence import Evidence
from solver.cost.instance import Instance
from solver.errors import BadInput, CheckFailed
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import Scenario

Bend = Callable[[dict[str, Any]], None]


@functools.cache
def disaggregated() -> str:
    """A plan with prefill and decode pools, experts and links, as JSON."""
    return _solved(
        {
            "llm": {"config": "qwen3-30b-a3b"},
            "cluster": {"builder": "hgx", "nodes": 2, "device": "h100", "unhealthy": ["rack0/host1/gpu7"]},
            "traffic": {
                "classes": [
                    {"name": "chat", "prompt_tokens": 3000, "output_tokens": 400, "requests_per_s": 60},
                    {"name": "short", "prompt_tokens": 500, "output_tokens": 100, "requests_per_s": 30},
                ]
            },
            "slo": {"ttft_p95": "1s", "tpot_p95": "15ms"},
            "engine": "sglang",
            "options": {"disaggregate": True},
            "constraints": {"pools": [{"role": "decode", "parallelism": {"ep": 4, "dp": 4}}]},
        }
    )


@functools.cache
def unified() -> str:
    """A plan with unified pools that survives the loss of a host, as JSON."""
    return _solved(
        {
            "llm": {"config": "llama-3.1-8b"},
            "cluster": {"builder": "hgx", "nodes": 3, "device": "h100"},
            "traffic": {
                "classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 30}]
            },
            "slo": {"ttft_p95": "1s", "tpot_p95": "25ms"},
            "options": {"disaggregate": False, "survive_domain_failures": 1},
        }
    )


def _solved(content: dict[str, Any]) -> str:
    outcome = solve_scenario(Scenario.from_mapping(content, "test"), Effort(time_limit_s=20, seed=1))
    return outcome.plan.dumps()


def reread(content: dict[str, Any], hashed: bool = True) -> Plan:
    """A plan from JSON data, with the hash of its scenario, so that what a bent scenario breaks is found and not the hash."""
    plan = Plan.model_validate_json(json.dumps(content))
    if not hashed:
        return plan
    inputs = {"scenario": hashlib.sha256(plan.scenario.model_dump_json(by_alias=True).encode()).hexdigest()}
    return plan.model_copy(update={"provenance": plan.provenance.model_copy(update={"inputs": inputs})})


def scaled(path: str, factor: float) -> Bend:
    """Multiply the number at a dotted path."""

    def bend(plan: dict[str, Any]) -> None:
        holder, key = _at(plan, path)
        holder[key] = holder[key] * factor

    return bend


def put(path: str, value: Any) -> Bend:
    """Replace the value at a dotted path; a function is applied to it."""

    def bend(plan: dict[str, Any]) -> None:
        holder, key = _at(plan, path)
        holder[key] = value(holder[key]) if callable(value) else value

    return bend


def _at(plan: Any, path: str) -> tuple[Any, Any]:
    *keys, last = [int(key) if key.lstrip("-").isdigit() else key for key in path.split(".")]
    for key in keys:
        plan = plan[key]
    return plan, last


def drop(path: str) -> Bend:
    """Remove an entry of a list or mapping."""

    def bend(plan: dict[str, Any]) -> None:
        holder, key = _at(plan, path)
        del holder[key]

    return bend


def twice(path: str) -> Bend:
    """Repeat an entry of a list."""

    def bend(plan: dict[str, Any]) -> None:
        holder, key = _at(plan, path)
        holder.append(copy.deepcopy(holder[key]))

    return bend


def swapped_devices(plan: dict[str, Any]) -> None:
    """Give a rank of one pool the device of a rank elsewhere, and the other way round, across hosts."""
    placed = plan["placement"]
    one = placed[0]
    other = next(p for p in placed if p["device"].rsplit("/", 1)[0] != one["device"].rsplit("/", 1)[0])
    one["device"], other["device"] = other["device"], one["device"]


MUTATIONS: dict[str, Bend] = {
    "cost per token": scaled("objective.usd_per_million_output_tokens", 0.9),
    "cost per all tokens": scaled("objective.usd_per_million_tokens", 0.9),
    "rent": scaled("objective.usd_per_hour", 0.5),
    "bound above cost": scaled("objective.bound", 3.0),
    "bound changed alone": scaled("objective.bound", 0.9),
    "gap": put("objective.gap", 0.5),
    "least cost above the plan's": scaled("objective.least", 1.01),
    "least cost that the plan may not exceed by so much": scaled("objective.least", 0.9),
    "least cost changed alone": scaled("objective.least", 0.99),
    "least cost below the bound": scaled("objective.least", 0.5),
    "cost of simplicity": put("objective.simplicity_cost", 0.01),
    "status": put("status", lambda s: "feasible" if s == "optimal" else "optimal"),
    "pool name": put("pools.0.name", "other"),
    "two pools of one name": put("pools.1.name", "prefill"),
    "role": put("pools.0.role", "decode"),
    "engine": put("pools.0.engine", "vllm"),
    "device": put("pools.0.device", "h200"),
    "classes served": put("pools.0.serves", ["chat"]),
    "tensor parallelism": put("pools.0.parallelism.tp", lambda tp: tp * 2),
    "tensor parallelism that divides nothing": put("pools.1.parallelism.tp", 7),
    "pipeline stages": put("pools.1.parallelism.pp", lambda n: n * 2),
    "expert parallelism": put("pools.1.parallelism.ep", lambda n: n * 2),
    "data parallelism": put("pools.1.parallelism.dp", lambda n: n * 2),
    "expert tensor parallelism": put("pools.1.parallelism.moe_tp", lambda n: n * 2),
    "context parallelism": put("pools.1.parallelism.cp", lambda n: n * 2),
    "replicas": put("pools.0.replicas", lambda n: n + 1),
    "domains per replica": put("pools.0.domains_per_replica", 2),
    "batch": scaled("pools.1.batch_per_rank", 2.0),
    "prompts per step": put("pools.0.prompts_per_step", lambda n: n + 1),
    "chunk": put("pools.0.chunk_tokens", 512),
    "redundant experts": put("pools.1.redundant_experts", 4),
    "imbalance": scaled("pools.1.imbalance", 1.5),
    "overlap": put("pools.1.overlap", True),
    "utilisation": put("pools.0.utilisation", 0.01),
    "step": scaled("pools.1.step_s", 0.5),
    "planned load": scaled("pools.0.requests_per_s_per_replica", 0.5),
    "planned tokens": scaled("pools.0.tokens_per_s_per_replica", 2.0),
    "capacity": scaled("pools.0.capacity_requests_per_s_per_replica", 0.2),
    "most sequences": put("pools.1.limits.max_sequences", 1),
    "batched tokens": put("pools.0.limits.max_batched_tokens", 1),
    "memory fraction": put("pools.0.limits.memory_fraction", 0.5),
    "captured sizes": put("pools.1.limits.captured_batch_sizes", [1, 4096]),
    "longest context": put("pools.0.limits.max_length", 100),
    "weights": scaled("pools.0.memory.weights_bytes", 0.5),
    "KV cache": scaled("pools.1.memory.kv_bytes", 0.5),
    "activations": put("pools.0.memory.activation_bytes", 1e9),
    "reserve": scaled("pools.0.memory.reserve_bytes", 2.0),
    "memory capacity": scaled("pools.0.memory.capacity_bytes", 0.5),
    "layers of a stage": put("pools.0.stages.0.layers", [0, 5]),
    "first layer": put("pools.0.stages.0.layers", [1, 47]),
    "stage twice": twice("pools.0.stages.0"),
    "device of a stage": put("pools.0.stages.0.device", "h200"),
    "degree of a stage": put("pools.0.stages.0.tp", lambda tp: tp + 1),
    "compute of a step": scaled("pools.0.roofline.compute_s", 2.0),
    "memory of a step": scaled("pools.1.roofline.memory_s", 2.0),
    "network of a step": put("pools.1.roofline.network_s", 1.0),
    "overhead of a step": scaled("pools.0.roofline.overhead_s", 2.0),
    "what binds a step": put("pools.0.roofline.bound_by", "network"),
    "rank without a device": drop("placement.0"),
    "rank placed twice": twice("placement.0"),
    "device used twice": lambda plan: plan["placement"][0].update(device=plan["placement"][1]["device"]),
    "device that does not exist": put("placement.0.device", "rack9/host9/gpu9"),
    "unhealthy device": put("placement.0.device", "rack0/host1/gpu7"),
    "host as a device": put("placement.0.device", "rack0/host0"),
    "rank of another pool": put("placement.0.pool", "nobody"),
    "replica number": put("placement.0.replica", 99),
    "stage number": put("placement.0.stage", 9),
    "rank number": put("placement.0.rank", 99),
    "expert map missing": drop("experts.0"),
    "expert map twice": twice("experts.0"),
    "expert missing": put("experts.0.physical_to_logical.0", 1),
    "expert that does not exist": put("experts.0.physical_to_logical.0", 4000),
    "map of another layer": put("experts.0.layer", 47),
    "slot too many": twice("experts.0.physical_to_logical.0"),
    "link missing": drop("links.0"),
    "link load": scaled("links.0.bytes_per_s", 2.0),
    "link bandwidth": scaled("links.0.bandwidth_bytes_per_s", 2.0),
    "link utilisation": scaled("links.0.utilisation", 2.0),
    "link twice": twice("links.0"),
    "link fabric": put("links.0.fabric", "storage"),
    "TTFT median": scaled("prediction.ttft_p50_s", 0.5),
    "TTFT": scaled("prediction.ttft_p95_s", 0.5),
    "TPOT median": scaled("prediction.tpot_p50_s", 0.5),
    "TPOT": scaled("prediction.tpot_p95_s", 0.5),
    "TTFT of a class": scaled("prediction.classes.chat.ttft_p95_s", 0.5),
    "TPOT of a class": scaled("prediction.classes.short.tpot_p95_s", 0.5),
    "rate of a class": scaled("prediction.classes.chat.requests_per_s", 2.0),
    "throughput": scaled("prediction.output_tokens_per_s", 2.0),
    "throughput per device": scaled("prediction.output_tokens_per_s_per_device", 2.0),
    "rate": scaled("prediction.requests_per_s", 2.0),
    "TTFT p99": scaled("prediction.ttft_p99_s", 0.5),
    "mean of a class": scaled("prediction.classes.chat.tpot_mean_s", 0.5),
    "end to end of a class": scaled("prediction.classes.chat.e2e_p95_s", 0.5),
    "interval": put("prediction.interval_80.ttft_p95_s", [0.0, 1.0]),
    "confidence": scaled("prediction.confidence", 0.9),
    "confidence that was asked for": put("scenario.options.slo_confidence", 0.9),
    "interval of the cost": put("objective.interval_80", [0.0, 1.0]),
    "interval missing": drop("prediction.interval_80.ttft_p95_s"),
    "class without prediction": drop("prediction.classes.chat"),
    "routing share": scaled("routing.chat.prefill.prefill", 0.5),
    "class not routed": drop("routing.chat"),
    "routing to nobody": put("routing.chat.decode", {"nobody": 1.0}),
    "role not routed": drop("routing.chat.decode"),
    "calibration": scaled("provenance.calibrations.h100.parameters.sequence_s.value", 0.5),
    "promise": put("scenario.slo.ttft_p95", 0.001),
    "promise at p99": put("scenario.slo.ttft_p99", 0.001),
    "promised mean": put("scenario.slo.tpot_mean", 0.001),
    "demand": scaled("scenario.traffic.classes.0.requests_per_s", 2.0),
    "prices": put("scenario.prices", {"h100": 99.0}),
    "forbidden dimension": put("scenario.constraints.forbid", ["ep"]),
    "demanded mode": put("scenario.options.disaggregate", False),
    "device limit": put("scenario.constraints.max_devices", 1),
    "pinned pool": put("scenario.constraints.pools.0.parallelism", {"tp": 8}),
    "allowed roles": put("scenario.constraints.roles", ["unified"]),
    "fewest replicas": put("scenario.constraints.min_replicas", 50),
    "capacity that is passed": scaled("pools.0.capacity_requests_per_s_per_replica", 2.0),
    "doubt stated twice": twice("prediction.extrapolated.0"),
    "capacity of prefill": scaled("pools.0.capacity_requests_per_s_per_replica", 100.0),
    "capacity of decode": scaled("pools.1.capacity_requests_per_s_per_replica", 1.3),
    "even experts": put("pools.1.imbalance", 1.0),
    "tokens of a step": put("pools.0.limits.max_batched_tokens", 1_000_000_000),
    "hosts": put("pools.0.hosts_per_replica", lambda n: n + 1),
    "connector": put("pools.0.connector", "carrier pigeon"),
    "connectors that differ": put("pools.1.connector", "MooncakeConnector"),
    "no connector": put("pools.1.connector", None),
    "failures survived": put("scenario.options.survive_domain_failures", 2),
}


def test_what_is_solved_is_accepted() -> None:
    for text in (disaggregated(), unified()):
        plan = Plan.model_validate_json(text)
        assert violations(plan) == []
        check(plan)


@pytest.mark.parametrize("name", sorted(MUTATIONS))
def test_a_bent_field_is_rejected(name: str) -> None:
    content = json.loads(disaggregated())
    MUTATIONS[name](content)
    try:
        plan = reread(content)
    except (ValueError, BadInput):
        return
    found = violations(plan)
    assert found, f"{name}: accepted"
    assert all(isinstance(sentence, str) and "\n" not in sentence for sentence in found)


@pytest.mark.parametrize("name", ["TTFT", "hosts", "failures survived"])
def test_a_check_fails_with_what_is_violated(name: str) -> None:
    content = json.loads(disaggregated())
    MUTATIONS[name](content)
    plan = reread(content)
    with pytest.raises(CheckFailed) as error:
        check(plan)
    assert all(sentence in str(error.value) for sentence in violations(plan))


def test_the_hash_is_that_of_the_scenario() -> None:
    content = json.loads(disaggregated())
    content["provenance"]["inputs"]["scenario"] = "0" * 64
    assert any("hash" in sentence for sentence in violations(reread(content, hashed=False)))


@pytest.mark.parametrize("name", ["../../climb", "..", "a b", "$(touch x)", "", "a/b", "-rf"])
def test_a_pool_is_named_like_a_file(name: str) -> None:
    content = json.loads(disaggregated())
    content["pools"][0]["name"] = name
    with pytest.raises(ValueError, match="name"):
        reread(content)


@pytest.mark.parametrize(
    "path", ["pools.0.replicas", "pools.0.step_s", "pools.0.limits.max_sequences", "objective.bound", "pools.0.imbalance"]
)
def test_a_number_in_quotes_is_refused(path: str) -> None:
    content = json.loads(unified())
    holder, key = _at(content, path)
    holder[key] = str(holder[key])
    with pytest.raises(ValidationError):
        Plan.model_validate_json(json.dumps(content))


def test_a_tier_that_nobody_knows_is_refused() -> None:
    content = json.loads(unified())
    content["kv_tiers"] = [{"class": "chat", "pool": content["pools"][0]["name"], "bytes": {"tape": 1.0}}]
    with pytest.raises(ValidationError, match="tape"):
        Plan.model_validate_json(json.dumps(content))


def test_what_rests_on_trust_is_listed() -> None:
    plan = Plan.model_validate_json(disaggregated())
    assert attested(plan)[0].startswith("the bound")
    assert any("only decode" in sentence for sentence in attested(plan))
    assert not any("only decode" in sentence for sentence in attested(Plan.model_validate_json(unified())))


def test_a_capacity_is_shown_to_be_reached_and_not_to_be_the_most() -> None:
    content = json.loads(unified())
    MUTATIONS["capacity that is passed"](content)
    assert violations(reread(content))
    content = json.loads(unified())
    scaled("pools.0.capacity_requests_per_s_per_replica", 0.99)(content)
    plan = reread(content)
    assert violations(plan) == []
    assert any("no pool would serve more" in sentence for sentence in attested(plan))


def test_there_are_many_kinds_of_mutation() -> None:
    assert len(MUTATIONS) >= 40


def test_a_capacity_needs_its_sequences() -> None:
    """Some more than run on average are allowed: a batch that is exceeded a hundredth of the time still runs."""
    content = json.loads(unified())
    pool = content["pools"][0]
    allowed = math.ceil(pool["batch_per_rank"]) + 1
    whole = Plan.model_validate_json(unified())
    priced = Evidence(whole, Instance.of(whole.scenario)).priced[pool["name"]]
    pool["memory"]["kv_bytes"] = priced.memory_bytes(allowed, pool["requests_per_s_per_replica"])["kv_bytes"]
    pool["limits"]["max_sequences"] = allowed
    pool["limits"]["captured_batch_sizes"] = [n for n in pool["limits"]["captured_batch_sizes"] if n < allowed] + [allowed]
    (sentence,) = violations(reread(content))
    assert sentence.endswith(f"sequences; {allowed} are allowed")


def test_ranks_swapped_between_hosts_are_noticed() -> None:
    content = json.loads(disaggregated())
    swapped_devices(content)
    assert violations(reread(content))


def test_losses_that_are_not_survived_are_noticed() -> None:
    content = json.loads(unified())
    assert violations(reread(content)) == []
    content["scenario"]["options"]["survive_domain_failures"] = 3
    assert any("loss of 3 domain" in sentence for sentence in violations(reread(content)))
