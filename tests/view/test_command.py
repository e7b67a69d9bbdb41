"""``rackplan view``: files where they were asked for, one clear line where that cannot be."""

from __future__ import annotations

from pathlib import Path

import plans
import pytest
from command_line import rackplan
from packaged_plans import solved


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("plan") / "plan.json"
    solved(plans.SMALL).save(target)
    return target


def test_page_and_figures(saved: Path, tmp_path: Path) -> None:
    page, svg, png, folder = (tmp_path / name for name in ("p.html", "t.svg", "t.png", "figures"))
    ran = rackplan("view", saved, "-o", page, "--svg", svg, "--png", png, "--figures", folder, "--by", "rank")
    assert (ran.status, ran.error) == (0, "")
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert 'data-by="rank"' in svg.read_text(encoding="utf-8")
    assert png.read_bytes()[:4] == b"\x89PNG"
    assert {"topology.svg", "roofline.svg", "memory.svg"} <= {path.name for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to write"),
        (["--svg", "t.png"], "the name must end in .svg"),
        (["--png", "t"], "the name must end in .png"),
        (["--svg", "t.svg", "--by", "colour"], "unknown colouring 'colour'"),
        (["-o", "p.html", "--by", "replica"], "--by colours figures"),
        (["-o", "missing/p.html"], "folder does not exist"),
    ],
)
def test_what_cannot_be_is_one_line(
    saved: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    ran = rackplan("view", saved, *arguments)
    assert ran.status == 2
    assert message in ran.error
    assert ran.error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_not_a_plan(tmp_path: Path) -> None:
    wrong = tmp_path / "plan.json"
    wrong.write_text('{"schema_version": "2.0"}', encoding="utf-8")
    ran = rackplan("view", wrong, "-o", tmp_path / "p.html")
    assert ran.status == 2
    assert str(wrong) in ran.error
