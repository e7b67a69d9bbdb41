"""Curves: points add up and agree with what solves; crossings do not depend on where the search starts."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from command_line import rackplan

import topologies
from solver.check import violations
from solver.cost.instance import Instance
from solver.errors import BadInput, UnknownName
from solver.llm import LLM
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.study.curve.curve import curve
from solver.study.curve.hardware import in_domains
from solver.study.curve.points import CostPoint
from solver.study.curve.solving import Solves, Unserved
from solver.study.curve.sparsity import derived
from solver.study.curve.speed import STEP, SpeedCurve, at_speed
from solver.workload import Scenario

CONTENT = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 5}]},
    "slo": {"ttft_p95": "2s", "tpot_p95": "20ms"},
    "constraints": {"roles": ["prefill", "decode"]},
}
SCENARIO = Scenario.from_mapping(CONTENT, "curve")
EFFORT = Effort(workers=1)


@cache
def plan() -> Plan:
    return solve_scenario(SCENARIO, EFFORT).plan


class Drawn(SpeedCurve):
    """A curve that is known in closed form: cost ``0.1 (1 + (speed / 60)^2)``, bounds a share beneath, none beyond 400."""

    gap = 0.0
    asked = 0

    def solve(self, rungs: Iterable[int]) -> list[CostPoint]:
        wanted = list(rungs)
        for rung in set(wanted) - set(self.known):
            self.asked += 1
            at = self.speed(rung)
            usd = 0.1 * (1 + (at / 60) ** 2)
            known = CostPoint(at, usd, usd * (1 - self.gap)) if at < 400 else CostPoint(at, bound=math.inf, because="none")
            self.known[rung] = known
        return [self.known[rung] for rung in wanted]


def drawn(points: int, gap: float = 0.0) -> Drawn:
    found = Drawn(Instance.of(SCENARIO), Solves(), fastest=500.0, rungs=600)
    found.gap = gap
    found.drawn(points)
    return found


def test_crossings_are_the_same_from_every_start() -> None:
    """At 6 times 0.11: 0.1 (1 + (s/60)^2) = 0.66 at 142 tokens/s."""
    found = [drawn(points).crossing(0.66) for points in (4, 8, 24)]
    speeds = [one.served.at for one in found if one.served is not None]
    assert len(speeds) == 3
    assert max(speeds) / min(speeds) == pytest.approx(1.0, abs=1e-9)
    assert speeds[0] == pytest.approx(60 * math.sqrt(5.6), rel=0.01)
    assert all(one.apart <= 0.01 for one in found)


def test_standard_tier_does_not_depend_on_the_start_either() -> None:
    cheapest = drawn(2).cheapest.usd
    assert cheapest is not None
    expected = 60 * math.sqrt(11 * cheapest - 1)
    for points in (4, 8, 24):
        assert drawn(points).standard().at == pytest.approx(expected, rel=0.01)


def test_a_gap_that_hides_the_crossing_is_named() -> None:
    found = drawn(4, gap=0.2).crossing(0.66)
    assert found.served is not None
    assert found.served.at == pytest.approx(60 * math.sqrt(5.6), rel=0.01)
    assert found.beyond is not None
    assert found.beyond.at == pytest.approx(60 * math.sqrt(0.66 / 0.08 - 1), rel=0.01)
    assert "gap of 20" in str(found)


def test_ends_of_a_curve() -> None:
    assert drawn(4).crossing(0.01).served is None
    top = drawn(4).crossing(1e9)
    assert top.served is not None
    assert top.served.at == pytest.approx(400, rel=0.01)
    few = drawn(4)
    few.crossing(0.66)
    assert few.asked < 16, "a bracket is halved, not walked"


def test_a_point_is_what_solve_says() -> None:
    """Curve and solve bill alike."""
    found = curve(SCENARIO, "speed", values=[50.0], solves=Solves(effort=EFFORT))
    (point,) = found.points
    assert point.at / 50 == pytest.approx(1.0, abs=STEP - 1 + 1e-9)
    again = solve_scenario(at_speed(SCENARIO, point.at), EFFORT).plan.objective
    assert point.usd == pytest.approx(again.usd_per_million_output_tokens, rel=1e-9)
    assert point.plan is not None
    assert violations(point.plan) == []
    assert sum(point.causes.values()) == pytest.approx(point.usd)
    assert sum(point.difference.values()) == pytest.approx((point.usd or 0) - (point.lecture or 0))
    assert (point.floor or 0) < (point.lecture or 0) < (point.usd or 0)


def test_held_layout_passes_through_the_plan() -> None:
    held = plan()
    pool = next(pool for pool in held.pools if pool.role == "decode")
    found = curve(SCENARIO, "batch", values=[1, pool.batch_per_rank, 64], plan=held)
    at = next(point for point in found.points if point.at == pool.batch_per_rank)
    assert at.figures["step_s"] == pytest.approx(pool.step_s)
    costs = [point.usd for point in found.points]
    assert costs == sorted(costs, reverse=True), "a larger batch shares the weights among more"
    for point in found.points:
        steps = sum(v for name, v in point.figures.items() if name.startswith("step_") and name != "step_s")
        assert steps == pytest.approx(point.figures["step_s"])


def test_ideal_engine_is_the_closed_form_where_one_line_decides() -> None:
    """Llama-3.1-8B in bf16 on one H100: 15.0 GB of weights read at 3.35 TB/s take 4.5 ms, whatever the batch below 295."""
    ideal = Scenario.from_mapping(CONTENT | {"engine": "ideal"}, "ideal")
    held = solve_scenario(ideal, EFFORT).plan
    found = curve(ideal, "batch", values=[1.0, 4.0], plan=held)
    for point in found.points:
        assert point.figures["step_s"] == pytest.approx(point.figures["lecture_step_s"], rel=0.02)
        assert point.usd == pytest.approx(point.lecture, rel=0.02)


def test_context_and_map_end_where_the_memory_does() -> None:
    held = plan()
    found = curve(SCENARIO, "context", values=[500, 5000, 50000], plan=held)
    assert [p.usd for p in found.points] == sorted(p.usd or math.inf for p in found.points)
    cells = curve(SCENARIO, "batch,context", points=4, values=[1000, 100000], plan=held).points
    assert len(cells) == 8
    assert cells[-1].usd is None
    assert "HBM holds" in cells[-1].because
    with pytest.raises(BadInput, match="half the output"):
        curve(SCENARIO, "context", values=[50], plan=held)


def test_demand_is_served_dearer_the_less_there_is(tmp_path: Path) -> None:
    """And what was solved is read from the journal: an effort of no time at all finds the same again."""
    journal = tmp_path / "curve.jsonl"
    first = curve(SCENARIO, "demand", values=[200, 1000], solves=Solves(effort=EFFORT, journal=journal))
    few, many = (point.usd for point in first.points)
    assert few is not None
    assert many is not None
    assert few > many
    journal.write_text(journal.read_text() + '{"key": "cut o')
    again = curve(SCENARIO, "demand", values=[200, 1000], solves=Solves(effort=Effort(time_limit_s=0.1), journal=journal))
    assert [point.usd for point in again.points] == [few, many]


def test_unserved_points_say_why() -> None:
    class Never(Solves):
        def answers(self, scenarios: list[Scenario]) -> list[Unserved]:  # type: ignore[override]
            return [Unserved("too much is asked") for _ in scenarios]

    found = curve(SCENARIO, "demand", points=2, solves=Never())
    assert [point.because for point in found.points] == ["too much is asked"] * 2
    assert found.points[0].usd is None


@pytest.mark.parametrize("experts", [32, 64, 128, 256, 512])
def test_more_experts_are_worth_fewer_active_parameters(experts: int) -> None:
    """DeepSeek-V3's own 256 give itself back; the law's saving is met within a step of widths."""
    base = LLM.from_config("deepseek-v3")
    found = derived(base, experts)
    assert found.llm.active_parameters() == pytest.approx(found.wanted, rel=0.03)
    assert (found.wanted > base.active_parameters()) == (experts < 256)
    if experts == 256:
        assert replace(found.llm, name=base.name, title=base.title) == base


def test_domains_divide_the_devices() -> None:
    gb200 = topologies.device("gb200")
    with pytest.raises(BadInput, match="divide the devices; 4, 8, 36, 72 do"):
        in_domains(gb200, 72, 7, 3.0)
    assert [in_domains(gb200, 72, size, 3.0)["racks"] for size in (4, 8, 72)] == [18, 9, 1]
    made = topologies.build(in_domains(gb200, 16, 8, 3.0))
    assert sorted(len(domain.devices) for domain in topologies.scale_up_domains(made)) == [8, 8]
    assert topologies.devices_of(made)["gb200-x8"].usd_per_hour == 3.0


def test_hold_needs_sessions_and_says_what_is_not_priced() -> None:
    with pytest.raises(BadInput, match="no class has sessions"):
        curve(SCENARIO, "hold")
    sessions = {"reused_tokens": {"private": 500}, "idle_s": {"median": 60, "p90": 600}, "return_fraction": 0.8}
    chat = CONTENT["traffic"]["classes"][0] | sessions
    content = CONTENT | {"traffic": {"classes": [chat]}, "billing": "device"}

    class Never(Solves):
        def answers(self, scenarios: list[Scenario]) -> list[Unserved]:  # type: ignore[override]
            medians = [s.traffic.classes[0].idle_s.median for s in scenarios if s.traffic.classes[0].idle_s]
            assert medians == [10, 1000]
            return [Unserved("not asked") for _ in scenarios]

    found = curve(Scenario.from_mapping(content, "hold"), "hold", values=[10, 1000], solves=Never())
    assert "dram_usd_per_GB_hour" in found.notes[0]


def test_what_cannot_be_varied() -> None:
    with pytest.raises(UnknownName, match="unknown quantity"):
        curve(SCENARIO, "luck")
    with pytest.raises(BadInput, match="has no experts"):
        curve(SCENARIO, "experts")
    with pytest.raises(BadInput, match="use cost"):
        curve(SCENARIO.model_copy(update={"objective": "throughput"}), "demand")


def test_command_writes_table_and_chart(tmp_path: Path) -> None:
    file, chart, table = tmp_path / "plan.json", tmp_path / "c.svg", tmp_path / "c.csv"
    plan().save(file)
    ran = rackplan("curve", file, "--over", "batch", "--points", 3, "-o", chart, "-o", table)
    assert ran.status == 0, ran.error
    assert "lecture" in ran.out
    assert "the lecture's closed form" in chart.read_text()
    assert table.read_text().count("\n") == 4
    found = json.loads(rackplan("curve", file, "--over", "batch,context", "--values", "1000,100000", "--json").out)
    assert {point["context"] for point in found["points"]} >= {1000, 100000}
    for words in (("--over", "colour"), ("--over", "batch", "--values", "a"), ("--over", "batch", "-o", "x.pdf")):
        ran = rackplan("curve", file, *words)
        assert (ran.status, ran.error.count("\n")) == (2, 1), words


def test_frontier_is_the_curve_over_speed() -> None:
    ran = rackplan("frontier", "deepseek-v3-2xnvll72")
    assert (ran.status, ran.error.count("\n")) == (2, 1)
    ran = rackplan("frontier", "deepseek-v3-2xnvl72", "--speed-ratio", 0.5)
    assert (ran.status, ran.error.count("\n")) == (2, 1)
    assert "must exceed 1" in ran.error


def test_points_of_a_curve_rise() -> None:
    costs = [point.usd for point in drawn(8).drawn(8) if point.usd is not None]
    assert all(slow <= fast for slow, fast in itertools.pairwise(costs))
