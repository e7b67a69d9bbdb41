"""Names in a plan may hold anything; none of it becomes markup."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET

import plans
import pytest
from packaged_plans import solved
from reading import data_of, read

from solver.plan import Plan
from solver.view import figures, html
from solver.view.markup import legible

ATTACKS = ["</script><script>alert(1)</script>'&amp;", ']]></style>"><!-- \u2028 <img onerror=alert(1)>\x01']


@pytest.fixture(scope="module", params=ATTACKS)
def attacked(request: pytest.FixtureRequest) -> tuple[str, Plan]:
    return request.param, plans.hostile(solved(plans.SMALL), request.param)


def test_names_stay_text(attacked: tuple[str, Plan]) -> None:
    attack, plan = attacked
    honest = read(html.render(solved(plans.SMALL)))
    root = read(html.render(plan))
    names = [element.name for element in root if element.name in ("script", "style", "img", "iframe", "button")]
    assert names == [e.name for e in honest if e.name in ("script", "style", "img", "iframe", "button")]
    assert not [key for element in root for key in element.attributes if key.startswith("on")]
    assert all(name["name"].endswith(attack) for name in data_of(root)["pools"])
    assert legible(plan.binding[0].because) in root.text


def test_drawings_stay_xml(attacked: tuple[str, Plan]) -> None:
    _, plan = attacked
    for figure in figures.figures(plan).values():
        tags = {element.tag.rpartition("}")[2] for element in ET.fromstring(figure.svg).iter()}
        assert not tags & {"script", "img", "image", "foreignObject"}


def test_data_cannot_end_its_element() -> None:
    plan = plans.hostile(solved(plans.SMALL), ATTACKS[0])
    text = html.render(plan)
    island = text.split('id="data">', 1)[1].split("</script>", 1)[0]
    assert "<" not in island
    assert json.loads(island)["pools"][0]["name"].endswith(ATTACKS[0])
