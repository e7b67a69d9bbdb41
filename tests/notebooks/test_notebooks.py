"""Notebooks run, are short, state a bound first, and hold no logic of their own."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest
from running import code_cells, notebooks, run

MOST_CELLS = 15
LOGIC = (ast.FunctionDef, ast.ClassDef, ast.While, ast.Try, ast.If, ast.Lambda)


def load(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.read_text(encoding="utf-8")))


def test_there_are_notebooks() -> None:
    assert len(notebooks()) >= 8


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_runs(path: Path) -> None:
    results = run(load(path), path.name)
    assert any(printed.strip() for printed, _ in results)
    assert any(hasattr(value, "to_dict") for _, value in results), "a notebook has a picture"


@pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)
def test_reads_as_it_should(path: Path) -> None:
    notebook = load(path)
    cells = ["".join(cell["source"]) for cell in notebook["cells"]]
    assert 3 <= len(cells) <= MOST_CELLS
    assert cells[0].startswith("# ")
    assert cells[0].split("\n")[0].endswith("?"), "a notebook asks one question"
    assert "**Bound.**" in cells[0]
    assert "**Takeaway.**" in cells[-1]
    for cell in code_cells(notebook):
        nodes = list(ast.walk(ast.parse("".join(cell["source"]))))
        assert not any(isinstance(node, LOGIC) for node in nodes), "logic lives in the library"


def test_numbered_without_gaps() -> None:
    assert [int(path.stem[:2]) for path in notebooks()] == list(range(1, len(notebooks()) + 1))
