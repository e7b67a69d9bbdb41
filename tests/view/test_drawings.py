"""Standalone figures: valid XML, every device once, labels that say what the plan says."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import plans
import pytest
from packaged_plans import SCENARIOS, solved
from reading import Element, cells, read

from solver.errors import BadInput
from solver.optimize.assembly.outcome import summary
from solver.plan import Plan
from solver.view import figures, html, topology
from solver.view.amounts import percent
from solver.view.charts import on_roofline
from solver.view.colouring import WAYS
from solver.view.curves import curve
from solver.view.scene import Scene

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", SCENARIOS)
def test_topology_names_every_device_and_its_rank(name: str) -> None:
    plan = solved(name)
    root = ET.fromstring(topology.svg(plan))
    titles = [title.text or "" for title in root.iter(f"{SVG}title")]
    told = dict(title.rsplit(": ", 1) for title in titles)
    assert len(told) == len(titles)
    for r in plan.placement:
        assert told[r.device] == f"{r.pool}, replica {r.replica}, stage {r.stage}, rank {r.rank}"
    assert {words for device, words in told.items() if device not in {r.device for r in plan.placement}} <= {
        "billed, runs nothing",
        "not used",
        "not healthy",
    }


@pytest.mark.parametrize("by", WAYS)
def test_letters_say_what_the_colours_say(nvl72: Plan, by: str) -> None:
    drawn = cells(read(topology.svg(nvl72, by)))
    told = {e.one("title").text.partition(": ")[0]: e.one("text").text for e in drawn.values() if list(e.find("text"))}
    assert told.keys() == {rank.device for rank in nvl72.placement}
    if by in ("stage", "rank"):
        assert all(told[rank.device] == str(getattr(rank, by)) for rank in nvl72.placement)
    elif by == "pool":
        for r in nvl72.placement:
            stage = f"{r.stage}/" if nvl72.pool(r.pool).parallelism.pp > 1 else ""
            assert told[r.device].split("·")[1] == f"{stage}{r.rank}"
        assert len({(r.pool, told[r.device].split("·")[0]) for r in nvl72.placement}) == len(nvl72.pools)
    elif by == "load":
        links = [link for link in nvl72.links if link.utilisation > 0]
        links.sort(key=lambda link: link.utilisation)
        full = {end: percent(link.utilisation) for link in links for end in (link.source, link.target)}
        assert told == {r.device: full.get(r.device, "0%") for r in nvl72.placement}
        assert len(set(told.values())) > 1
    else:
        replicas = {(r.pool, r.replica) for r in nvl72.placement}
        assert len({(r.pool, r.replica, told[r.device]) for r in nvl72.placement}) == len(replicas)
        assert len(set(told.values())) == len(replicas)


def test_neighbouring_replicas_differ_in_colour(nvl72: Plan) -> None:
    drawn = [e for _, e in sorted(cells(read(topology.svg(nvl72, "replica"))).items())]
    seen = [(e.one("text").text, e.classes[1]) for e in drawn if list(e.find("text"))]
    changes = [(a, b) for a, b in itertools.pairwise(seen) if a[0] != b[0]]
    assert len(changes) > 3
    assert all(a[1] != b[1] for a, b in changes)


def test_broken_devices_are_crossed_out() -> None:
    plan = solved(plans.SMALL)
    used = {rank.device for rank in plan.placement}
    broken = plans.with_broken(plan, lambda device: device not in used)
    drawn = cells(read(topology.svg(broken)))
    assert sorted("x" in e.classes for e in drawn.values()) == [False] * len(used) + [True] * (len(drawn) - len(used))
    assert f"not healthy, {len(drawn) - len(used)} devices" in topology.svg(broken)


def test_devices_billed_for_nothing_are_told_from_free_ones(nvl72: Plan) -> None:
    used = {rank.device for rank in nvl72.placement}
    for billing, idle in (("device", 0), ("domain", 72 - len(used))):
        plan = nvl72.model_copy(update={"scenario": nvl72.scenario.model_copy(update={"billing": billing})})
        drawn = cells(read(topology.svg(plan)))
        assert sum("b" in e.classes for e in drawn.values()) == idle
        assert sum("u" in e.classes for e in drawn.values()) == 144 - idle - len(used)
        assert ("a domain is rented whole" in topology.svg(plan)) == (idle > 0)
        answer = html.render(plan).partition("What limits it")[0]
        assert (f"healthy devices in use, {len(used) + idle} billed" in answer) == (idle > 0)
        assert (f"{idle} devices are billed and run nothing: a domain is rented whole." in answer) == (idle > 0)
        assert (f"on {len(used)} devices, {len(used) + idle} billed: a domain is rented whole" in summary(plan)) == (idle > 0)
        assert f"{144 - idle - len(used)} healthy devices of the cluster are not needed." in answer


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_line_runs_around_each_replica_and_through_none(name: str) -> None:
    plan = solved(name)
    replica = {rank.device: (rank.pool, rank.replica) for rank in plan.placement}
    lines = 0
    for frame in (g for g in read(topology.svg(plan)).find("g") if list(_cells_in(g))):
        cell = {_at(e): replica.get(e.one("title").text.partition(": ")[0]) for e in _cells_in(frame)}
        (around,) = (e.attributes["d"] or "" for e in frame.children if "around" in e.classes)
        width = float(next(_cells_in(frame)).one("rect").attributes["width"] or 0)
        for x, y in cell:
            if (right := (x + width + 2, y)) in cell:
                line = f"M{x + width + 1:g} {y - 1:g}V{y + 17:g}"
                assert (line in around) == (cell[x, y] != cell[right])
            if (below := (x, y + 18)) in cell:
                assert (f"M{x - 1:g} {y + 17:g}H{x + width + 1:g}" in around) == (cell[x, y] != cell[below])
        lines += around.count("M")
    assert lines >= 4 * len(set(replica.values())) / 2


def _cells_in(frame: Element) -> Iterator[Element]:
    """Devices that stand in a frame itself."""
    return (e for e in frame.children if "d" in e.classes and "data-i" in e.attributes)


def _at(cell: Element) -> tuple[float, float]:
    x, y = (cell.attributes["transform"] or "").removeprefix("translate(").rstrip(")").split(",")
    return float(x), float(y)


def test_every_figure_is_xml(nvl72: Plan) -> None:
    drawn = figures.figures(plans.with_tiers(nvl72))
    assert {"topology", "fabric", "tiers", "roofline", "memory"} <= drawn.keys()
    for figure in drawn.values():
        root = ET.fromstring(figure.svg)
        assert root.tag == f"{SVG}svg"
        assert float(root.attrib["width"]) > 100
        assert "var(--" not in figure.svg
        assert figure._repr_svg_() == figure.svg


def test_charts_mark_the_planned_point() -> None:
    plan = solved(plans.SMALL)
    drawn = figures.figures(plan)
    for pool in plan.pools:
        promise = "ttft" if pool.role == "prefill" else "tpot"
        assert "planned: " in drawn[f"{pool.name}-{promise}"].svg
        assert "promised: " in drawn[f"{pool.name}-{promise}"].svg


def test_png(nvl72: Plan, tmp_path: Path) -> None:
    image = topology.png(nvl72, scale=1.0)
    assert image[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = (int.from_bytes(image[at : at + 4], "big") for at in (16, 20))
    drawing = ET.fromstring(topology.svg(nvl72))
    assert width == pytest.approx(float(drawing.attrib["width"]), abs=1)
    assert height == pytest.approx(float(drawing.attrib["height"]), abs=1)
    figures.topology(nvl72).save(tmp_path / "t.svg")
    assert (tmp_path / "t.svg").read_text(encoding="utf-8") == topology.svg(nvl72)


def test_bad_wishes_are_told(nvl72: Plan, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="unknown colouring 'colour'"):
        topology.svg(nvl72, "colour")
    with pytest.raises(BadInput, match=r"not \.pdf"):
        figures.topology(nvl72).save(tmp_path / "t.pdf")
    with pytest.raises(BadInput, match="cannot be written"):
        figures.topology(nvl72).save(tmp_path / "none" / "t.svg")


@pytest.mark.parametrize("name", SCENARIOS)
def test_a_latency_chart_shows_a_class_that_keeps_its_promise(name: str) -> None:
    """Not the slowest class against the strictest promise: a plan that keeps all would seem to break one."""
    scene = Scene.of(solved(name))
    for pool in scene.plan.pools:
        drawn = curve(scene, pool)
        assert drawn.chosen.ttft_s <= drawn.ttft.limit_s * (1 + 1e-6)
        assert drawn.chosen.tpot_s <= drawn.tpot.limit_s * (1 + 1e-6)
        assert {drawn.ttft.request_class, drawn.tpot.request_class} <= set(pool.serves)


@pytest.mark.parametrize("name", SCENARIOS)
def test_no_pool_is_above_the_roof(name: str) -> None:
    scene = Scene.of(solved(name))
    for pool in scene.plan.pools:
        drawn = curve(scene, pool)
        for point in drawn.points:
            intensity, share = on_roofline(drawn, point)
            assert share <= min(1.0, intensity) * (1 + 1e-9)
