"""Imports point strictly down the floors of the house; the test says which line breaks the rule."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: Floor of each room of the solver. Rooms on one floor do not know each other.
FLOORS = {
    "errors": 1,
    "replica": 2,
    "glop": 2,
    "llm": 3,
    "workload": 3,
    "engines": 4,
    "cost": 5,
    "plan": 5,
    "traces": 5,
    "training": 5,
    "space": 6,
    "experts": 6,
    "check": 6,
    "frames": 6,
    "optimize": 7,
    "pipelines": 7,
    "proof": 7,
    "simulate": 8,
    "economics": 8,
    "export": 8,
    "view": 8,
    "study": 9,
    "live": 10,
    "cli": 11,
    "": 11,
}
#: Only these rooms may import these packages.
OWNERS = {
    "ortools": {"glop", "experts", "optimize", "pipelines"},
    "highspy": {"proof"},
    "simpy": {"simulate"},
    "altair": {"simulate", "study", "traces", "view"},
    "typer": {"cli"},
    "ray": {"study"},
    "pandas": {"frames", "study"},
    "starlette": {"live"},
    "uvicorn": {"live"},
}


def imports(path: Path) -> list[tuple[int, str]]:
    """Every absolute import of a file with its line, those inside functions too."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: imports are absolute here"
            found.append((node.lineno, node.module or ""))
    return found


def room_of(module: str) -> str:
    """The room of the solver that a module belongs to."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def sources(package: str) -> list[Path]:
    """All files of a package."""
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", sources("solver"), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_down(path: Path) -> None:
    relative = path.relative_to(ROOT / "solver")
    room = relative.parts[0].removesuffix(".py") if relative.parts[0] != "__init__.py" else ""
    for line, module in imports(path):
        package = module.split(".")[0]
        if package == "solver":
            other = room_of(module)
            assert other == room or FLOORS[other] < FLOORS[room], f"{path}:{line}: {room or 'solver'} imports {module}"
        elif package in OWNERS:
            assert room in OWNERS[package], f"{path}:{line}: only {sorted(OWNERS[package])} may import {package}"


@pytest.mark.parametrize("path", sources("topologies"), ids=lambda p: str(p.relative_to(ROOT)))
def test_topologies_knows_nothing_of_the_solver(path: Path) -> None:
    for line, module in imports(path):
        assert module.split(".")[0] != "solver", f"{path}:{line}: topologies imports {module}"


def test_importing_the_solver_loads_nothing_heavy() -> None:
    code = "import sys, solver; print(*sorted({m.split('.')[0] for m in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"ortools", "pandas", "altair", "simpy", "ray", "typer", "scipy", "starlette", "uvicorn"} & set(loaded)
