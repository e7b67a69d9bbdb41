"""10,008 devices: racks as small pictures that open, replicas in a list that opens, a few MB in all."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from reading import Element, cells, data_of, read

from solver.plan import Plan
from solver.view import topology


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


def test_size(large_page: str) -> None:
    assert len(large_page.encode()) < 6e6


def test_drawing_is_small(large: Plan) -> None:
    drawn = topology.svg(large)
    assert len(drawn) < 1e6
    boxes = sum(path.attrib["d"].count("M") for path in ET.fromstring(drawn).iter("{http://www.w3.org/2000/svg}path"))
    assert boxes == 10_008
