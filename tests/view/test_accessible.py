"""Every kind of page, dark and light, wide and narrow, is one that axe-core finds nothing wrong with, and fits on paper."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import plans
import pytest
from axe import violations
from chromium import Chromium
from packaged_plans import solved
from test_choice import with_rivals

from solver.cost.instance import Instance
from solver.optimize.assembly.outcome import WayOut
from solver.optimize.training.solve import solve_training
from solver.study.grid import Grid
from solver.study.sweep_page import page as sweep_page
from solver.training.scenario import TrainingScenario
from solver.view import html
from solver.view.beside import render_beside
from solver.view.refused import render_refusal
from solver.view.training import render_training


def _experts() -> str:
    return html.render(plans.with_tiers(solved(plans.SMALL)))


def _rivals() -> str:
    return html.render(with_rivals(solved("llama-70b-16xh100")))


def _beside() -> str:
    return render_beside(solved(plans.SMALL), solved("llama-70b-16xh100"))


def _refused() -> str:
    ways = (WayOut("throughput", "87.7 requests/s is reachable", 0.9), WayOut("TPOT p95", "8 s is reachable", 0.99))
    instance = Instance.of(solved(plans.SMALL).scenario)
    return render_refusal(instance, "No plan exists.", ("at most 8 devices", "TPOT p95 at most 1 ms"), ways)


def _training() -> str:
    content = {
        "llm": {"config": "qwen3-30b-a3b"},
        "cluster": {"builder": "hgx", "nodes": 8, "device": "h100"},
        "training": {"sequence_tokens": 4096, "global_batch_sequences": 256, "total_tokens": 1e12},
        "layout": {"pp": 4, "dp": 16, "ep": 16, "micro_batch": 1},
    }
    return render_training(solve_training(TrainingScenario.from_mapping(content, "test")))


def _sweep() -> str:
    grid = Grid({}, ".", {"slo.tpot_p95": ["8ms", "30ms"]})
    told = {"gap": 0.01, "ttft_p95_s": 0.5, "tpot_p95_s": 0.029, "devices": 8, "layout": "2 x unified tp4 h100"}
    solved = {"slo.tpot_p95": "30ms", "usd_per_million_output_tokens": 1.29, **told}
    return sweep_page(grid, [solved, {"slo.tpot_p95": "8ms", "reason": "No plan exists."}])


#: Between the margins of a sheet, A4 as Letter [CSS pixels].
PAPER = 718
#: Where the right end of what is printed lies, in boxes that no longer scroll.
WIDEST = "Math.max(...[...document.querySelectorAll('main *')].map(part => part.getBoundingClientRect().right))"


@pytest.mark.parametrize("made", [_experts, _rivals, _beside, _refused, _training, _sweep])
def test_nothing_hinders(browser: Chromium, tmp_path: Path, made: Callable[[], str]) -> None:
    target = tmp_path / "page.html"
    target.write_text(made(), encoding="utf-8")
    for width, dark in ((1280, False), (390, True)):
        browser.shape(width, dark=dark)
        browser.open(target)
        assert violations(browser) == []
    browser.shape(PAPER)
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate(WIDEST) <= PAPER


def test_a_hindrance_is_found(browser: Chromium, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    target.write_text(_sweep().replace("body {", "body { opacity: .4;", 1), encoding="utf-8")
    browser.shape(1280)
    browser.open(target)
    assert any(found.startswith("color-contrast") for found in violations(browser))
