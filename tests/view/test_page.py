"""The page of every packaged scenario: whole, self-contained, and telling what the plan says."""

from __future__ import annotations

import re
from collections.abc import Callable

import plans
import pytest
from packaged_plans import SCENARIOS, solved
from reading import cells, data_of, read

from solver.plan import Confirmation
from solver.view.amounts import percent, usd
from solver.view.html import Inline, render

Page = Callable[[str], str]
EVERY = pytest.mark.parametrize("name", SCENARIOS)
#: Names of XML dialects, which nobody fetches.
NAMESPACES = ("http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink")


@EVERY
def test_every_rank_is_drawn_and_told_where_the_plan_puts_it(page: Page, name: str) -> None:
    plan, root = solved(name), read(page(name))
    data = data_of(root)
    devices = [device for _, _, _, names in data["trays"] for device in names]
    drawn = cells(root)
    assert sorted(drawn) == list(range(len(devices)))
    for rank in plan.placement:
        i = devices.index(rank.device)
        pool = data["pools"][data["pool"][i]]
        assert (pool["name"], data["replica"][i], data["stage"][i], data["rank"][i]) == (
            rank.pool, rank.replica, rank.stage, rank.rank,
        )  # fmt: skip
        assert pool["stages"][rank.stage]["layers"] == "–".join(
            map(str, plan.pool(rank.pool).stages[rank.stage].layers)
        )
        ways = [look.rsplit("-", 1)[0] for look in drawn[i].classes if look != "d"]
        assert ways == ["pool", "replica", "stage", "rank", "load"]
    used = {rank.device for rank in plan.placement}
    idle = [drawn[i].classes for i, device in enumerate(devices) if device not in used]
    assert all(classes in (["d", "u"], ["d", "x"], ["d", "b"]) for classes in idle)


@EVERY
def test_table_has_a_row_for_every_rank(page: Page, name: str) -> None:
    plan = solved(name)
    rows = list(read(page(name)).one("section", id="ranks").one("tbody").find("tr"))
    told = {tuple(cell.text for cell in row.children[:5]) for row in rows}
    assert told == {(r.device, r.pool, str(r.replica), str(r.stage), str(r.rank)) for r in plan.placement}
    assert len(rows) == len(plan.placement)


@EVERY
def test_nothing_is_fetched(page: Page, name: str) -> None:
    text = page(name)
    for namespace in NAMESPACES:
        text = text.replace(f'"{namespace}"', '""')
    assert "//" not in re.sub(r"(?m)^\s*//.*$", "", text), "an address, or a comment that looks like one"
    assert not re.search(r"@import|<link|<iframe|<img|url\((?!#)", text)
    assert not {"src", "action", "poster"} & {key for element in read(text) for key in element.attributes}
    assert len(text.encode()) < 3e6


@EVERY
def test_answer_comes_first_and_in_words(page: Page, name: str) -> None:
    plan, root = solved(name), read(page(name))
    first = next(root.find("section"))
    assert first.attributes["id"] == "answer"
    assert f"{usd(plan.objective.usd_per_million_output_tokens)} per million output tokens" in first.text
    assert f"{usd(plan.objective.usd_per_hour)} per hour" in first.text
    assert f"{plan.devices:,} of " in first.text
    for rule in plan.binding:
        assert rule.because in first.text
    for reason in plan.prediction.extrapolated:
        assert reason in first.text
    if plan.objective.gap > 1e-3:
        assert f"at most {percent(plan.objective.gap)} could still be saved" in first.text


@EVERY
def test_ids_are_unique(page: Page, name: str) -> None:
    ids = [element.attributes["id"] for element in read(page(name)) if "id" in element.attributes]
    assert len(ids) == len(set(ids))


def test_sections_follow_the_plan(page: Page) -> None:
    with_experts, without = read(page(plans.NVL72)), read(page("llama-70b-16xh100"))
    assert list(with_experts.find("section", id="experts"))
    assert not list(without.find("section", id="experts"))
    assert not list(with_experts.find("section", id="tiers"))
    tiers = read(render(plans.with_tiers(solved(plans.SMALL)))).one("section", id="tiers").text
    for told in ("20 s", "15 min", "10 h", "83%", "4 GB HBM", "700 GB DRAM", "20 TB flash"):
        assert told in tiers


def test_notebook_frame_holds_the_page_byte_for_byte(page: Page) -> None:
    frame = next(read(Inline(solved(plans.SMALL))._repr_html_()).find("iframe"))
    assert frame.attributes["srcdoc"] == page(plans.SMALL)


@EVERY
def test_waterfall_ends_at_the_cost(page: Page, name: str) -> None:
    """The floor, every cause that counts, and the cost that the plan states stand in one drawing."""
    plan, text = solved(name), page(name)
    section = text[text.index('id="floor"') :]
    section = section[: section.index("</section>")]
    assert "What stands between the floor and the cost" in section
    assert usd(plan.objective.usd_per_million_output_tokens) in section
    assert all(f">{pool.name}<" in section for pool in plan.pools)


def test_a_replay_is_told_beside_its_promises() -> None:
    plan = solved("llama-70b-16xh100")
    assert "The plan was not replayed." in render(plan)
    figures = {"ttft_p50_s": 0.1, "ttft_p95_s": 0.777, "tpot_p50_s": 0.02, "tpot_p95_s": 0.0333}
    classes = dict.fromkeys((c.name for c in plan.scenario.traffic.classes), figures)
    replayed = Confirmation(
        kept=True, seeds=(1, 2), requests=4321, simulated=figures, classes=classes, derating={}, cost_rise=0.03
    )
    page = render(plan.model_copy(update={"confirmation": replayed}))
    assert "Replayed request by request: confirmed in 2 replays" in page
    assert "cost +3.0% for it" in page
    promised = page[page.index('id="promises"') : page.index("Predictions, each with")]
    assert "777 ms" in promised
    assert "33.3 ms" in promised


def test_a_pool_is_as_full_as_its_promises_allow() -> None:
    """A decode pool that always has a step under way is not full while it could serve more within its promises."""
    plan = solved("llama-70b-16xh100")
    pool = next(pool for pool in plan.pools if pool.role == "decode")
    page = render(plan)
    told = page[page.index('id="pools"') : page.index("What the engines must be told")]
    assert pool.utilisation == 1.0
    assert percent(pool.fullness) in told
    assert "100%" not in told
