"""The witness accepts tiered plans, rejects every claim that was changed, and bad input is one line."""

from __future__ import annotations

from typing import Any

import pytest
from small import scenario

from solver.check import violations
from solver.errors import BadInput
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import Scenario

EFFORT = Effort(time_limit_s=20, seed=1)


@pytest.fixture(scope="module", params=["unified", "disaggregated"])
def plan(request: pytest.FixtureRequest) -> Plan:
    options = {"disaggregate": request.param == "disaggregated", "kv_ages_s": [5, 15, 60]}
    return solve_scenario(scenario(12.0, chat={"idle_s": {"median": 5, "p90": 40}}, options=options), EFFORT).plan


def test_the_witness_accepts_it(plan: Plan) -> None:
    assert len(plan.kv_tiers) == 1
    assert violations(plan) == []
    assert plan == Plan.model_validate_json(plan.model_dump_json(by_alias=True))


CHANGES: dict[str, Any] = {
    "hit_rate": lambda v: v * 0.9,
    "hit_rate_by_tier": lambda v: {k: x * 0.9 for k, x in v.items()},
    "bytes": lambda v: {k: x * 1.01 for k, x in v.items()},
    "bytes_per_s": lambda v: {k: x * 1.01 for k, x in v.items()} or {"dram": 1.0},
    "usd_per_hour": lambda v: {k: x + 0.1 for k, x in v.items()},
    "found_tokens": lambda v: v + 1,
    "stored_tokens": lambda v: v - 1,
    "caches": lambda v: v + 1,
    "write_back": lambda v: not v,
    "shared_bytes": lambda v: v * 2,
    "load_s": lambda v: v + 0.001,
    "spared_prefill_devices": lambda v: v * 1.1 + 0.1,
    "pool": lambda v: "nowhere",
    "flash_until_s": lambda v: v * 1.5 + 1,
    "dram_until_s": lambda v: v * 0.5 + 1,
}


@pytest.mark.parametrize("field", CHANGES)
def test_the_witness_rejects_a_changed_claim(plan: Plan, field: str) -> None:
    (tier,) = plan.kv_tiers
    changed = tier.model_copy(update={field: CHANGES[field](getattr(tier, field))})
    assert violations(plan.model_copy(update={"kv_tiers": (changed,)}))


def test_a_device_that_is_not_healthy_takes_no_part_of_its_host() -> None:
    """Its healthy neighbours share the stores among themselves: to the search, and to the witness."""
    lost = ["rack0/host0/gpu1", "rack0/host0/gpu3"]
    cluster = {"builder": "hgx", "nodes": 1, "device": "h100", "unhealthy": lost, "devices_per_host": 4}
    few, whole = (
        solve_scenario(scenario(cluster=given, objective="throughput", options={"kv_tiers": ["hbm", "flash"]}), EFFORT).plan
        for given in (cluster, cluster | {"unhealthy": []})
    )
    assert violations(few) == violations(whole) == []
    assert few.kv_tiers[0].bytes.get("flash", 0.0) > 0
    assert few.kv_tiers[0].load_s < whole.kv_tiers[0].load_s


def test_caches_are_counted_only_where_routing_is_random() -> None:
    """Where nothing is found anyway, hit rates do not tell."""
    found = solve_scenario(scenario(2.0, options={"kv_tiers": ["hbm"], "kv_ages_s": [0.001]}), EFFORT).plan
    (tier,) = found.kv_tiers
    assert violations(found) == []
    changed = tier.model_copy(update={"caches": 2})
    assert any("own cache" in line for line in violations(found.model_copy(update={"kv_tiers": (changed,)})))


def test_the_witness_rejects_a_plan_that_forgets_its_tiers(plan: Plan) -> None:
    assert violations(plan.model_copy(update={"kv_tiers": ()}))


@pytest.mark.parametrize(
    ("chat", "named"),
    [
        ({"idle_s": {"median": -5, "p90": 10}}, "idle_s.median"),
        ({"idle_s": {"median": 50, "p90": 10}}, "p90"),
        ({"idle_s": {"median": 5, "p90": 10, "returned": [[5, 0.5], [4, 1.0]]}}, "must rise"),
        ({"idle_s": {"median": 5, "p90": 10, "returned": [[5, 0.5]]}}, "it must be 1"),
        ({"idle_s": None}, "give idle_s"),
        ({"reused_tokens": {"private": 7000}}, "at most 5999 can be reused"),
        ({"reused_tokens": {"private": 50, "generated": 60}}, "more than the 50 private"),
    ],
)
def test_reuse_that_cannot_be(chat: dict[str, Any], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        scenario(chat=chat)


def test_tiers_that_cannot_be() -> None:
    with pytest.raises(BadInput, match="name hbm too"):
        scenario(options={"kv_tiers": ["dram"]})
    bare = {"builder": "hgx", "nodes": 1, "device": "h100", "flash_bytes_per_host": 0}
    for fields, named in (
        ({"options": {"kv_tiers": ["hbm", "flash"]}, "cluster": bare}, "flash: a host of the cluster has none"),
        ({"options": {"kv_tiers": ["hbm", "dram"]}, "prices": {}}, "dram_usd_per_GB_hour"),
        ({"options": {"kv_tiers": ["hbm", "remote"]}}, "no store hangs on a switch"),
    ):
        given: Scenario = scenario(**fields)
        with pytest.raises(BadInput, match=named) as caught:
            solve_scenario(given, EFFORT)
        assert "\n" not in str(caught.value)
