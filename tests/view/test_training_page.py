"""The page of a training plan: well formed, self-contained, and saying what the plan says."""

from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree

import pytest

from solver.optimize.training.solve import solve_training
from solver.training.plan import TrainingPlan
from solver.training.scenario import TrainingScenario
from solver.view.training import render_training
from solver.view.training.memory import waterfall
from solver.view.training.stage_set import StageSet


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    content = {
        "llm": {"config": "qwen3-30b-a3b"},
        "cluster": {"builder": "hgx", "nodes": 8, "device": "h100"},
        "training": {"sequence_tokens": 4096, "global_batch_sequences": 256, "total_tokens": 1e12},
        "layout": {"pp": 4, "dp": 16, "ep": 16, "micro_batch": 1},
    }
    return solve_training(TrainingScenario.from_mapping(content, "test"))


def test_the_page_is_well_formed_and_fetches_nothing(plan: TrainingPlan) -> None:
    page = render_training(plan)
    ElementTree.fromstring(
        re.sub(r"^<!doctype html>\n", "", page)
        .replace(" checked>", ' checked="">')
        .replace(" checked/>", ' checked=""/>')
    )
    assert not re.search(r"(?:src|href)=", page)
    assert "<script" not in page
    for section in ("where", "pipeline", "memory", "links", "about"):
        assert f'id="{section}"' in page


def test_every_rank_is_drawn_once_in_every_colouring(plan: TrainingPlan) -> None:
    scene = StageSet.of(plan)
    assert [way for way, _ in scene.ways] == ["stage", "data", "expert"] + ["tensor"] * (plan.degrees.tp > 1)
    places = list(scene.places.values())
    assert len(places) == len(plan.placement) == 64
    assert {place.stage for place in places} == set(range(4))
    assert {place.expert for place in places} == set(range(16))
    page = render_training(plan)
    dots = page[page.index('id="where"') : page.index('id="pipeline"')]
    drawn = sum(path.count("M") for path in re.findall(r'<path d="([^"]*)" class="s\d d', dots))
    assert drawn == 64


def test_the_waterfall_ends_at_the_capacity(plan: TrainingPlan) -> None:
    drawn = waterfall(StageSet.of(plan))
    boxes = [
        (float(x), float(w)) for x, w in re.findall(r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)"', drawn.elements)
    ]
    assert all(before[0] + before[1] == pytest.approx(after[0], abs=1.1) for before, after in itertools.pairwise(boxes))
    assert boxes[-1][0] + boxes[-1][1] == pytest.approx(540, abs=1.1)
