"""Recorded expert loads: they decide the imbalance that a plan is priced at, its spare copies and its maps."""

from __future__ import annotations

import copy
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from solver import BadInput, Scenario
from solver.check import violations
from solver.cost.instance import Instance
from solver.experts import Loads, SlotGrid, place_experts
from solver.experts.recorded import EVEN_ENOUGH, balance_of, embedded
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan

LAYERS, EXPERTS = 48, 128
EFFORT = Effort(time_limit_s=20, seed=1)


def loads(sigma: float, seed: int = 0) -> list[list[float]]:
    """Lognormal loads of the layers of Qwen3-30B-A3B; the same draws at every spread."""
    drawn = np.exp(sigma * np.random.default_rng(seed).standard_normal((LAYERS, EXPERTS)))
    return [[float(f"{load:.6g}") for load in layer] for layer in drawn]


def content(ep: int = 8, **extra: Any) -> dict[str, Any]:
    return {
        "llm": {"config": "qwen3-30b-a3b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100"},
        "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 300, "requests_per_s": 1}]},
        "slo": {"ttft_p95": "1s", "tpot_p95": "20ms"},
        "objective": "throughput",
        "engine": "sglang",
        "options": {"disaggregate": False, "max_pools": 1, **extra.pop("options", {})},
        "constraints": {"pools": [{"role": "unified", "parallelism": {"ep": ep, "pp": 1, "tp": 1}}]},
        **extra,
    }


@cache
def solved(sigma: float | None, ep: int = 8, redundant: int | str = "auto", seeds: tuple[int, ...] = (0,)) -> Plan:
    recorded = [{"source": f"spread {sigma}", "loads": loads(sigma, seed)} for seed in seeds] if sigma else []
    scenario = content(ep, expert_loads=recorded, options={"redundant_experts": redundant})
    found = solve_scenario(Scenario.from_mapping(scenario, "test"), EFFORT).plan
    assert violations(found) == []
    return found


def cost(plan: Plan) -> float:
    return plan.objective.usd_per_million_output_tokens


def real_imbalance(plan: Plan, recorded: list[list[list[float]]]) -> float:
    """Hottest rank over the mean, expert by expert."""
    pool, ratios = plan.pools[0], []
    for placed in plan.experts:
        slots = placed.physical_to_logical
        each = len(slots) // pool.parallelism.ep
        for workload in recorded:
            ranks = [0.0] * pool.parallelism.ep
            for slot, expert in enumerate(slots):
                ranks[slot // each] += workload[placed.layer][expert] / slots.count(expert)
            ratios.append(max(ranks) * len(ranks) / sum(ranks))
    return sum(ratios) / len(ratios)


def test_loads_decide_imbalance_and_cost() -> None:
    plain, recorded = solved(None), solved(0.6)
    calibration = Instance.of(plain.scenario).calibration("sglang", "h100")[0]
    assert plain.pools[0].imbalance == pytest.approx(calibration.imbalance)
    assert 1 <= recorded.pools[0].imbalance < 1.1 < calibration.imbalance
    assert cost(recorded) < cost(plain)
    assert any("recorded loads" in doubt for doubt in recorded.prediction.extrapolated)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_the_maps_are_as_even_as_priced(seeds: tuple[int, ...]) -> None:
    plan = solved(0.8, seeds=seeds)
    real = real_imbalance(plan, [loads(0.8, seed) for seed in seeds])
    assert real <= plan.pools[0].imbalance * (1 + 1e-9)
    assert real > 1


def test_more_skewed_loads_are_never_cheaper() -> None:
    spreads = [0.01, 0.6, 1.2, 2.0]
    costs = [cost(solved(sigma, redundant=0)) for sigma in spreads]
    assert costs == sorted(costs)
    assert costs[-1] > costs[0] * 1.02


def test_spare_copies_are_used_where_they_pay() -> None:
    skewed = solved(2.0)
    assert skewed.pools[0].redundant_experts > 0
    assert cost(skewed) < cost(solved(2.0, redundant=0))
    assert solved(0.01).pools[0].redundant_experts == 0


def test_spare_copies_that_are_asked_for() -> None:
    plan = solved(0.6, redundant=24)
    assert plan.pools[0].redundant_experts == 24
    bent = json.loads(plan.dumps())
    bent["scenario"]["options"]["redundant_experts"] = 16
    assert any("24 redundant experts; 16 are asked for" in v for v in violations(Plan.model_validate(bent)))


def test_the_plan_holds_its_loads_and_is_solved_again_to_the_same() -> None:
    plan = solved(0.8)
    again = Plan.model_validate_json(plan.dumps())
    assert violations(again) == []
    assert solve_scenario(again.scenario, EFFORT).plan.dumps() == plan.dumps()


def test_without_loads_experts_stay_in_order() -> None:
    plan = solved(None)
    assert all(m.physical_to_logical == tuple(range(EXPERTS)) for m in plan.experts)
    assert not any("recorded loads" in doubt for doubt in plan.prediction.extrapolated)


@pytest.mark.parametrize("kind", ["in order", "another layer", "hot loads", "file name"])
def test_the_witness_rejects_what_is_less_even_than_claimed(kind: str) -> None:
    bent = copy.deepcopy(json.loads(solved(2.0).dumps()))
    if kind == "in order":
        for placed in bent["experts"]:
            placed["physical_to_logical"] = [slot % EXPERTS for slot in range(len(placed["physical_to_logical"]))]
    elif kind == "another layer":
        bent["experts"][5] = bent["experts"][6] | {"layer": bent["experts"][5]["layer"]}
    elif kind == "hot loads":
        bent["scenario"]["expert_loads"][0]["loads"] = loads(3.0, seed=3)
    else:
        bent["scenario"]["expert_loads"] = ["loads.json"]
    said = violations(Plan.model_validate(bent))
    expected = "without their content" if kind == "file name" else "claims an imbalance of"
    assert len(said) == 1
    assert expected in said[0]


def _file(folder: Path, values: object) -> Scenario:
    (folder / "loads.json").write_text(json.dumps({"logical_count": values}), encoding="utf-8")
    return Scenario.from_mapping(content(expert_loads=["loads.json"]), "test")


def test_files_are_read_where_the_scenario_lies(tmp_path: Path) -> None:
    whole = embedded(_file(tmp_path, [[1234567.0] * EXPERTS] * LAYERS), tmp_path)
    shares = Instance.of(whole).expert_shares
    assert shares is not None
    assert shares.shape == (1, LAYERS, EXPERTS)
    assert whole.expert_loads[0].loads[0][0] == 1234570.0  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ([[1.0] * EXPERTS] * 40, r"have 40 layers; .* has 48"),
        ([[1.0] * 64] * LAYERS, r"layer 0 has 64 experts; .* has 128"),
        ([[1.0] * EXPERTS] * 47 + [[0.0] * EXPERTS], "layer 47 has no tokens"),
        ([[-1.0] * EXPERTS] * LAYERS, "is negative"),
        ([[float("nan")] * EXPERTS] * LAYERS, "not a finite number"),
    ],
)
def test_bad_loads_are_one_clear_line(values: object, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=said) as error:
        solve_scenario(_file(tmp_path, values), folder=tmp_path)
    assert "\n" not in str(error.value)


def test_an_llm_without_experts_has_no_expert_loads() -> None:
    scenario = content(expert_loads=[{"source": "x", "loads": [[1.0]]}]) | {"llm": {"config": "llama-3.1-8b"}}
    with pytest.raises(BadInput, match="has no experts; leave expert_loads out"):
        solve_scenario(Scenario.from_mapping(scenario, "test"))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({"source": "x", "loads": [[-1]]}, r"expert_loads\.0\.loads\.0\.0: must be at least 0"),
        ({"source": "x", "loads": [[float("nan")]]}, "finite number"),
        ({"source": "x", "loads": [], "load": []}, r"expert_loads\.0\.load: unknown key"),
        (3, r"expert_loads\.0: must be text"),
    ],
)
def test_a_bad_entry_is_named_by_its_path(entry: object, said: str) -> None:
    with pytest.raises(BadInput, match=said):
        Scenario.from_mapping(content(expert_loads=[entry]), "test")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"nowhere\.json"):
        solve_scenario(Scenario.from_mapping(content(expert_loads=["nowhere.json"]), "test"), folder=tmp_path)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_no_placement_undercuts_the_optimistic_twin(seeds: tuple[int, ...]) -> None:
    recorded = [{"source": str(seed), "loads": loads(1.2, seed)} for seed in seeds]
    instance = Instance.of(Scenario.from_mapping(content(expert_loads=recorded), "test"))
    balance = balance_of(instance)
    assert balance is not None
    whole = Loads.of([loads(1.2, seed)[:6] for seed in seeds])
    few = type(balance)(whole.shares().transpose(1, 0, 2))
    for ep, redundant in ((4, 0), (16, 0), (16, 16), (64, 64)):
        placement = place_experts(whole, SlotGrid(ep, (EXPERTS + redundant) // ep))
        assert few.least(ep, redundant) <= placement.objective.mean() * (1 + 1e-9)
        assert few.least(ep, redundant) <= few.imbalance(ep, redundant)


def test_more_slots_are_tried_only_while_ranks_are_uneven() -> None:
    recorded = [{"source": "x", "loads": loads(0.6)}]
    balance = balance_of(Instance.of(Scenario.from_mapping(content(expert_loads=recorded), "test")))
    assert balance is not None
    assert balance.imbalance(2, 0) <= EVEN_ENOUGH
    assert balance.spares(2) == (0,)
    assert balance.spares(64)[:2] == (0, 64)
    assert all((EXPERTS + spare) % 24 == 0 for spare in balance.spares(24))
