"""The answer in sentences says what the plan says, also when that is bad news."""

from __future__ import annotations

import pytest

from solver.plan import Plan
from solver.view.ledgers import stage_ledgers
from solver.view.scene import Scene
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


def test_ledgers_of_the_stages_hold_the_fullest_rank_of_the_plan(nvl72: Plan) -> None:
    for pool in nvl72.pools:
        ledgers = stage_ledgers(Scene.of(nvl72), pool)
        assert len(ledgers) == pool.parallelism.pp
        fullest = max(ledgers, key=lambda m: m.weights_bytes + m.kv_bytes + m.activation_bytes + m.buffer_bytes)
        assert fullest.weights_bytes == pytest.approx(pool.memory.weights_bytes)
        assert fullest.kv_bytes == pytest.approx(pool.memory.kv_bytes)
