"""Runs notebooks without Jupyter: code cells in order in one namespace; a last expression is the cell's output.

``python tests/notebooks/running.py`` runs all and writes their outputs into them.
"""

from __future__ import annotations

import ast
import contextlib
import io
import json
from pathlib import Path
from typing import Any

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def notebooks() -> list[Path]:
    """All notebooks, in order."""
    return sorted(NOTEBOOKS.glob("*.ipynb"))


def code_cells(notebook: dict[str, Any]) -> list[dict[str, Any]]:
    """Cells that are run."""
    return [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]


def run(notebook: dict[str, Any], name: str) -> list[tuple[str, object]]:
    """What every code cell prints, and the value of its last expression."""
    scope: dict[str, Any] = {"__name__": "__main__"}
    return [_run("".join(cell["source"]), scope, f"{name}[{i}]") for i, cell in enumerate(code_cells(notebook))]


def _run(source: str, scope: dict[str, Any], where: str) -> tuple[str, object]:
    tree, printed, value = ast.parse(source, where), io.StringIO(), None
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) else None
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, where, "exec"), scope)
        if isinstance(last, ast.Expr):
            value = eval(compile(ast.Expression(last.value), where, "eval"), scope)
    return printed.getvalue(), value


def write(path: Path) -> None:
    """Run a notebook and keep its outputs in it."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    for number, (cell, (printed, value)) in enumerate(zip(code_cells(notebook), run(notebook, path.name), strict=True)):
        cell["execution_count"] = number + 1
        cell["outputs"] = [*_printed(printed), *_shown(value, number + 1)]
    path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _printed(text: str) -> list[dict[str, Any]]:
    return [{"output_type": "stream", "name": "stdout", "text": text.splitlines(keepends=True)}] if text else []


def _shown(value: object, number: int) -> list[dict[str, Any]]:
    if value is None:
        return []
    if hasattr(value, "to_dict"):
        from solver.view.lines import svg

        data = {"image/svg+xml": svg(value).splitlines(keepends=True), "text/plain": ["a chart"]}
    else:
        data = {"text/plain": repr(value).splitlines(keepends=True)}
    return [{"output_type": "execute_result", "execution_count": number, "metadata": {}, "data": data}]


if __name__ == "__main__":
    for found in notebooks():
        write(found)
