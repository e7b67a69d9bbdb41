"""The listener's questions: every command is understood, and those that need no search say what they should."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
from command_line import rackplan

from solver.cli.app import app
from solver.training.scenario import TrainingScenario
from solver.workload import Scenario
from solver.workload.files import packaged, parse_document

TEXT = (Path(__file__).parents[2] / "notebooks" / "README.md").read_text(encoding="utf-8")
QUESTIONS = re.findall(r"^\d+\. (.*\?) `rackplan (.*)`$", TEXT, re.M)
#: Commands that price or reason without a search, and what the answer must hold.
SAID = {
    "How big must a batch be on Rubin?": r"equally long at [\d,]+ sequences",
    "How fast can one user's tokens come at all?": r"TPOT \d+\.\d+ ms",
    "From which context on is no batch bound by arithmetic?": r"beyond 1,4\d\d tokens of context no batch",
    "Does a pipeline make room for KV caches?": r"2 stages hold 668.1 .* without stages, on as many devices, hold 584.5",
    "What happens to requests that do not fit?": r"294\.8 fit .* 6 such replicas hold all",
    "Does sparse attention make long contexts cheap?": r"takes 0.079 of the arithmetic and reads 0.14 of the bytes",
}
#: Scenarios that the list shows, by their file's name.
SHOWN = dict(re.findall(r"^`([\w.]+)`: .*?```yaml\n(.*?)```", TEXT, re.M | re.S))
FILES = {"plan.json", *SHOWN}


def test_there_are_twenty() -> None:
    assert len(QUESTIONS) == 20
    assert len({question for question, _ in QUESTIONS}) == 20
    assert {question for question, _ in QUESTIONS} >= SAID.keys()


@pytest.mark.parametrize(("question", "command"), QUESTIONS, ids=[question for question, _ in QUESTIONS])
def test_command_is_understood(question: str, command: str) -> None:
    """Its options exist and parse, and its scenario is packaged or one of the files named above the list."""
    assert rackplan("--version").status == 0, "commands register when one is run"
    name, *arguments = shlex.split(command)
    group = typer.main.get_command(app)
    with group.commands[name].make_context(name, arguments) as context:  # type: ignore[attr-defined]
        for key in ("scenario", "plan"):
            source = context.params.get(key)
            assert source is None or str(source) in FILES | set(packaged())


@pytest.mark.parametrize("question", SAID)
def test_answer_without_a_search(question: str) -> None:
    command = dict(QUESTIONS)[question]
    ran = rackplan(*shlex.split(command))
    assert ran.status == 0, ran.error
    assert re.search(SAID[question], ran.out, re.S), ran.out


def test_shown_scenarios_are_read() -> None:
    chat = Scenario.from_mapping(parse_document(SHOWN["chat.yaml"], "chat.yaml"), "chat.yaml")
    assert chat.traffic.classes[0].idle_s is not None
    TrainingScenario.from_mapping(parse_document(SHOWN["train.yaml"], "train.yaml"), "train.yaml")


def test_every_segment_has_a_row() -> None:
    rows = re.findall(r"^\| ([\d, ]+) \|", TEXT, re.M)
    assert sorted(int(number) for row in rows for number in row.split(",")) == list(range(1, 16))
    for name in re.findall(r"\]\((\d\d-[\w-]+\.ipynb)\)", TEXT):
        assert (Path(__file__).parents[2] / "notebooks" / name).exists()
