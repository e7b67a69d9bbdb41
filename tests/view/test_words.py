"""The answer in sentences says what the plan says, also when that is bad news."""

from __future__ import annotations

import pytest

from solver import Scenario
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Confirmation, Plan
from solver.view.ledgers import stage_ledgers
from solver.view.scene import Scene
from solver.view.sections.promises import promises
from solver.view.words import promises_kept, sentences, verdict


def _told(plan: Plan) -> str:
    return " ".join(sentences(Scene.of(plan)))


def _with(plan: Plan, **objective: float) -> Plan:
    return plan.model_copy(update={"objective": plan.objective.model_copy(update=objective)})


def test_gap_is_said_in_money(nvl72: Plan) -> None:
    open_gap = _with(nvl72, usd_per_million_output_tokens=2.0, bound=1.5, gap=0.25)
    assert "cannot" not in _told(_with(nvl72, gap=0.0))
    assert "no plan for this scenario can cost less than $1.50 per million output tokens" in _told(open_gap)
    assert "at most 25% could still be saved" in _told(open_gap)
    assert verdict(Scene.of(_with(nvl72, gap=0.0))) == "Proven: no plan is cheaper"
    found = open_gap.model_copy(update={"status": "feasible"})
    assert verdict(Scene.of(found)) == "Best plan found; a better one would save 25% at most"


def test_a_broken_promise_is_told_first(nvl72: Plan) -> None:
    slow = nvl72.prediction.classes["chat"].model_copy(update={"ttft_p95_s": 3.0})
    late = nvl72.model_copy(update={"prediction": nvl72.prediction.model_copy(update={"classes": {"chat": slow}})})
    assert "1 promise of 2 would be broken; the worst: TTFT p95 of 'chat' is 3 s of the 2 s promised, 50% too slow" in (
        _told(late)
    )
    assert "kept" in _told(nvl72)


def test_promises_beside_their_predictions(nvl72: Plan) -> None:
    by_name = {kept.what: kept for kept in promises_kept(Scene.of(nvl72))}
    latency = nvl72.prediction.classes["chat"]
    assert by_name["TTFT p95"].predicted_s == latency.ttft_p95_s
    assert by_name["TPOT p95"].predicted_s == latency.tpot_p95_s
    assert by_name["TTFT p95"].promised_s == 2.0
    assert by_name["TPOT p95"].promised_s == 0.03


def test_what_the_replay_showed_stands_beside_what_was_promised(nvl72: Plan) -> None:
    seen = {"ttft_p50_s": 0.9, "ttft_p95_s": 1.93, "tpot_p50_s": 0.025, "tpot_p95_s": 0.0287}
    asked = {"chat": {"tpot_p95_s": 0.97}}
    record = Confirmation(
        kept=True, seeds=(101,), requests=7000, simulated=seen, classes={"chat": seen}, derating=asked, cost_rise=0.012
    )
    scene = Scene.of(nvl72.model_copy(update={"confirmation": record}))
    assert {kept.what: kept.replayed_s for kept in promises_kept(scene)} == {"TTFT p95": 1.93, "TPOT p95": 0.0287}
    section = str(promises(scene))
    for words in ("in replay", "1.93 s", "28.7 ms", "a replay of 7,000 requests", "tpot p95 of chat by 3.0%", "cost +1.2%"):
        assert words in section
    assert "in replay" not in str(promises(Scene.of(nvl72)))


def test_ledgers_of_the_stages_hold_the_fullest_rank_of_the_plan(nvl72: Plan) -> None:
    for pool in nvl72.pools:
        ledgers = stage_ledgers(Scene.of(nvl72), pool)
        assert len(ledgers) == pool.parallelism.pp
        fullest = max(ledgers, key=lambda m: m.used_bytes)
        assert fullest.parts == pytest.approx(pool.memory.parts)


def test_a_page_prices_pools_as_the_plan_does_also_where_they_keep_idle_kv() -> None:
    classes = [{"name": "chat", "prompt_tokens": 4000, "output_tokens": 200, "requests_per_s": 8, "return_fraction": 0.8,
                "reused_tokens": {"private": 3000}, "idle_s": {"median": 5, "p90": 20}}]  # fmt: skip
    content = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2},
        "traffic": {"classes": classes, "routing": "sticky"},
        "slo": {"ttft_p95": "2s", "tpot_p95": "40ms"},
        "billing": "device",
        "options": {"kv_tiers": ["hbm"], "kv_ages_s": [10, 60], "disaggregate": False},
    }
    plan = solve_scenario(Scenario.from_mapping(content, "test"), Effort(seed=0)).plan
    scene = Scene.of(plan)
    assert any(pool.memory.idle_kv_bytes > 0 for pool in plan.pools)
    for pool in plan.pools:
        fullest = max(stage_ledgers(scene, pool), key=lambda m: m.used_bytes)
        assert fullest.parts == pytest.approx(pool.memory.parts, rel=1e-4)
        assert float(scene.services[pool.name].step_s[0]) == pytest.approx(pool.step_s, rel=1e-4)
