"""10,008 devices: racks as small pictures that open, replicas in a list that opens, a few MB in all."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from reading import Element, cells, data_of, read

from solver.plan import Plan
from solver.view import html, topology


def _live(root: Element) -> int:
    """Elements outside templates."""
    return 1 + sum(_live(child) for child in root.children if child.name != "template")


def test_every_device_is_in_the_page_but_not_yet_in_its_tree(large: Plan, large_page: str) -> None:
    root = read(large_page)
    assert len(cells(root)) == 10_008
    assert len(list(root.one("div", id="racks").find("details"))) == 139
    assert _live(root) < 20_000
    data = data_of(root)
    devices = [device for _, _, _, names in data["trays"] for device in names]
    assert len(devices) == 10_008
    assert sum(pool >= 0 for pool in data["pool"]) == len(large.placement)


def test_every_rank_is_in_a_list(large: Plan, large_page: str) -> None:
    section = read(large_page).one("section", id="ranks")
    told = [row.children[0].text for body in section.find("tbody") for row in body.find("tr")]
    assert sorted(told) == sorted(rank.device for rank in large.placement)
    assert len(list(section.find("details"))) == sum(pool.replicas for pool in large.pools)


def test_racks_on_which_nothing_runs_are_one_line(nvl72: Plan) -> None:
    cluster = dict(nvl72.scenario.cluster) | {"racks": 139}
    plan = nvl72.model_copy(update={"scenario": nvl72.scenario.model_copy(update={"cluster": cluster})})
    racks = read(html.render(plan)).one("div", id="racks")
    (folded,) = (e for e in racks.find("details") if "free" in e.classes)
    assert folded.children[0].text == (
        "138 racks on which nothing runs or is billed: 9,936 devices"
    )
    assert len(cells(folded)) == 9936
    assert len(cells(racks)) == 10_008


def test_size(large_page: str) -> None:
    assert len(large_page.encode()) < 6e6


def test_drawing_is_small(large: Plan) -> None:
    drawn = topology.svg(large)
    assert len(drawn) < 1e6
    paths = ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}path")
    boxes = sum(path.attrib["d"].count("M") for path in paths if path.attrib["class"] != "around")
    assert boxes == 10_008
