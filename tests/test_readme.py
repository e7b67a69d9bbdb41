"""The README does what it says: its commands exist, its Python runs, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from command_line import rackplan

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
RACKPLAN = Path(sys.executable).with_name("rackplan")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


def test_the_two_commands_come_first() -> None:
    first, second = blocks("sh")[:2]
    assert "pip install . && .venv/bin/rackplan solve deepseek-v3-2xnvl72 --html plan.html" in first
    assert "pip install -e '.[test]' && .venv/bin/pytest" in second


def test_the_main_job_writes_a_page(tmp_path: Path) -> None:
    words = shlex.split(blocks("sh")[0].split("&&")[-1])[1:]
    ran = subprocess.run([RACKPLAN, *words], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("optimal: ")
    assert (tmp_path / "plan.html").stat().st_size < 3e6


def test_the_python_runs(tmp_path: Path) -> None:
    for source in blocks("python"):
        subprocess.run([sys.executable, "-c", source], cwd=tmp_path, check=True, capture_output=True)
    assert (tmp_path / "plan.json").exists()


PAGES = [
    "README.md",
    "solver/README.md",
    "topologies/README.md",
    "solver/pipelines/README.md",
    ".github/CONTRIBUTING.md",
]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_to_files(page: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / page).read_text(encoding="utf-8")):
        assert target.startswith("https://") or (ROOT / page).parent.joinpath(target).exists(), target


def test_the_benchmark_command_collects_every_benchmark() -> None:
    (command,) = re.findall(r"`(pytest -m benchmark [^`]+)`", TEXT)
    ran = subprocess.run(
        f"{shlex.quote(sys.executable)} -m {command} --collect-only -q",
        shell=True,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    with_tests = {path.name for path in (ROOT / "tests/benchmarks").glob("*.py") if "\ndef test_" in path.read_text()}
    assert len(with_tests) >= 8
    assert set(re.findall(r"tests/benchmarks/(\w+\.py): [1-9]", ran.stdout)) == with_tests


def test_the_workflow_runs_what_newcomers_run() -> None:
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    steps = workflow["jobs"]["test"]["steps"]
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
    oldest = re.search(r'requires-python = ">=([\d.]+)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert oldest is not None
    assert oldest[1] in workflow["jobs"]["test"]["strategy"]["matrix"]["python"]


def test_every_command_named_exists() -> None:
    named = re.search(r"Commands: (.*?); each", TEXT, flags=re.DOTALL)
    assert named is not None
    commands = [words.split()[0] for words in re.findall(r"`([^`]+)`", named[1])]
    told = subprocess.run([RACKPLAN, "--help"], capture_output=True, text=True, check=True).stdout
    for command in commands:
        assert re.search(rf"\b{command}\b", told), command


@pytest.mark.parametrize(
    "command", ["solve", "check", "predict", "view", "diff", "experts", "pipelines", "simulate", "fidelity", "schema"]
)
def test_every_command_has_help_with_an_example(command: str) -> None:
    told = rackplan(command, "--help")
    assert told.status == 0
    assert "Example" in told.out
