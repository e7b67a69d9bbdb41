"""The plan among its rivals, and two plans side by side: as text, from the command line and in a browser."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import plans
from chromium import Chromium
from command_line import rackplan
from packaged_plans import solved

from solver.plan import Odds, Plan, Rival
from solver.view import html
from solver.view.beside import render_beside
from solver.view.charts import choice_chart
from solver.view.words import NO_GAP


def with_rivals(plan: Plan) -> Plan:
    """The plan with a rival that is dearer, one that has the same plan, one without a plan."""
    cost = plan.objective.usd_per_million_output_tokens
    apart = Rival(
        structure="apart",
        status="feasible",
        usd_per_million_output_tokens=1.4 * cost,
        usd_per_hour=1.4 * plan.objective.usd_per_hour,
        bound=1.2 * cost,
        interval_80=(1.4 * cost, 1.9 * cost),
        odds=Odds(best=0.125, regret=0.31),
        ttft_p95_s=0.4,
        tpot_p95_s=0.011,
        devices=4,
        layout="2 x prefill of 1 b200 (tp1); 1 x decode of 2 b200 (tp2)",
        untried=("pipelined prefill",),
        needs=("4 devices", "hand-over by nixl"),
    )
    same = apart.model_copy(update={"structure": "no expert parallelism"})
    none = Rival(structure="measured mechanisms only", status="infeasible")
    return plan.model_copy(update={"rivals": (apart, same, none), "odds": Odds(best=0.75, regret=0.02)})


def test_the_choice_is_told_and_drawn() -> None:
    plan = solved(plans.SMALL)
    page = html.render(with_rivals(plan))
    assert "Prefill and decode together are 1.40 times cheaper than apart." in page
    choice = page[page.index('id="choice"') : page.index("Why it costs what it costs")]
    for words in ("(+40%)", "12%", "31.0%", "only found, none under", "no plan exists", "pipelined prefill", "by nixl"):
        assert words in choice
    assert "apart and 1 more" in choice
    assert "this plan is the cheapest of these in 75%, and is expected to cost 2.0% more than the cheapest would." in choice
    assert 'id="choice"' not in html.render(plan)


def test_no_name_lies_on_another_in_the_chart() -> None:
    plan = with_rivals(solved(plans.SMALL))
    cost, tpot = plan.objective.usd_per_million_output_tokens, plan.prediction.tpot_p95_s
    near = tuple(
        plan.rivals[0].model_copy(
            update={
                "structure": f"structure {n}",
                "usd_per_million_output_tokens": cost * (1 + 0.02 * n),
                "tpot_p95_s": tpot * (1 - 0.002 * n),
            }
        )
        for n in range(6)
    )
    chart = choice_chart(plan.model_copy(update={"rivals": near})).to_dict()
    labels = next(layer for layer in chart["layer"] if layer["mark"]["type"] == "text")
    rows = labels["data"]["values"]
    low, high = labels["encoding"]["y"]["scale"]["domain"]
    heights = sorted((row["label_usd"] - low) / (high - low) * chart["height"] for row in rows)
    assert len(heights) > 5
    assert all(upper - lower >= 12 - 1e-6 for lower, upper in pairwise(heights))


def test_both_plans_are_on_the_page() -> None:
    one, other = solved(plans.SMALL), solved("llama-70b-16xh100")
    page = render_beside(one, other, ("small", "llama"))
    for name in ("gpt-oss-120b", "llama-3.1-70b", "small", "llama"):
        assert name in page
    times = other.objective.usd_per_million_output_tokens / one.objective.usd_per_million_output_tokens
    assert f"small is {times:.3g} times cheaper per output token." in page
    assert "Both cost the same" in render_beside(one, one)
    assert times - 1 > NO_GAP


def test_unlike_prices_are_said_beside_the_verdict() -> None:
    plan = solved("llama-70b-16xh100")
    dearer = plan.model_copy(update={"scenario": plan.scenario.model_copy(update={"prices": {"h100": 9.0}})})
    page = render_beside(plan, dearer)
    assert "Their prices of H100 are not the same." in page
    assert "H100 $1.30 (reserved-3y)" in page
    assert "H100 $9.00 (given under prices)" in page
    assert "are not the same" not in render_beside(plan, plan)


def test_beside_from_the_command_line(tmp_path: Path) -> None:
    a, b, page = (tmp_path / name for name in ("a.json", "b.json", "both.html"))
    solved(plans.SMALL).save(a)
    with_rivals(solved(plans.SMALL)).save(b)
    assert rackplan("view", a, "--beside", b, "-o", page).status == 0
    assert "a beside b" in page.read_text(encoding="utf-8")
    refused = rackplan("view", a, "--beside", b, "--svg", tmp_path / "t.svg")
    assert (refused.status, refused.error.count("\n")) == (2, 1)


def test_fits_and_reads_in_a_browser(browser: Chromium, tmp_path: Path) -> None:
    plan = with_rivals(solved(plans.SMALL))
    for name, text in (("choice", html.render(plan)), ("beside", render_beside(plan, solved("llama-70b-16xh100")))):
        target = tmp_path / f"{name}.html"
        target.write_text(text, encoding="utf-8")
        for width in (1280, 390):
            browser.shape(width, dark=width == 390)
            browser.open(target)
            assert browser.messages == []
            assert browser.evaluate("document.documentElement.scrollWidth") <= width
