"""Standalone figures: valid XML, every device once, labels that say what the plan says."""

from __future__ import annotations

import itertools
import xml.etree.ElementTree as ET
from pathlib import Path

import plans
import pytest
from reading import cells, read

from solver.errors import BadInput
from solver.plan import Plan
from solver.view import figures, topology
from solver.view.amounts import percent
from solver.view.colouring import WAYS

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", plans.SCENARIOS)
def test_topology_names_every_device_and_its_rank(name: str) -> None:
    plan = plans.solved(name)
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
        at = {r.device: f"{r.stage}/{r.rank}" if nvl72.pool(r.pool).parallelism.pp > 1 else str(r.rank) for r in nvl72.placement}
        assert {device: letters.split("·")[1] for device, letters in told.items()} == at
        assert len({(r.pool, told[r.device].split("·")[0]) for r in nvl72.placement}) == len(nvl72.pools)
    elif by == "load":
        links = [link for link in nvl72.links if link.utilisation > 0]
        full = {end: percent(link.utilisation) for link in sorted(links, key=lambda link: link.utilisation) for end in (link.source, link.target)}
        assert told == {r.device: full.get(r.device, "0%") for r in nvl72.placement}
        assert len(set(told.values())) > 1
    else:
        unit = lambda r: (r.pool, r.replica)  # noqa: E731
        assert len({(unit(rank), told[rank.device]) for rank in nvl72.placement}) == len(
            set(map(unit, nvl72.placement))
        )
        assert len(set(told.values())) == len(set(map(unit, nvl72.placement)))


def test_neighbouring_replicas_differ_in_colour(nvl72: Plan) -> None:
    drawn = [e for _, e in sorted(cells(read(topology.svg(nvl72, "replica"))).items())]
    seen = [(e.one("text").text, e.classes[1]) for e in drawn if list(e.find("text"))]
    changes = [(a, b) for a, b in itertools.pairwise(seen) if a[0] != b[0]]
    assert len(changes) > 3
    assert all(a[1] != b[1] for a, b in changes)


def test_broken_devices_are_crossed_out() -> None:
    plan = plans.solved(plans.SMALL)
    used = {rank.device for rank in plan.placement}
    broken = plans.with_broken(plan, lambda device: device not in used)
    drawn = cells(read(topology.svg(broken)))
    assert sorted("x" in e.classes for e in drawn.values()) == [False] * len(used) + [True] * (len(drawn) - len(used))
    assert f"not healthy, {len(drawn) - len(used)} devices" in topology.svg(broken)


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
    plan = plans.solved(plans.SMALL)
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
