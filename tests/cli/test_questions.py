"""The newcomer's thirty questions: every command is understood, and those that need no search say what they should."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from solver.cli.app import app
from tests.cli.command_line import rackplan

TEXT = (Path(__file__).parents[2] / "solver" / "README.md").read_text(encoding="utf-8")
QUESTIONS = dict(re.findall(r"^\d+\. (.*\?) `rackplan (.*)`$", TEXT, re.MULTILINE))
#: Commands that search nothing and read no file, and what the answer must hold.
SAID = {
    "What does a scenario look like?": r"traffic:\n  classes:",
    "Which fields may it have?": r'"price_basis"',
    "Which scenarios are packaged?": r"llama-70b-16xh100",
    "Can I start from one of them?": r"config: llama-3.1-70b-fp8",
    "Which devices are known?": r"mi355x",
    "What is an H100, what does it cost, and who says so?": r"price: 2.95 USD/h \(on-demand, Nebius.*as of 2026",
    "Which LLMs are known by name?": r"qwen3-235b-a22b",
    "Which engines, in which versions?": r"vllm .*0\.33",
    "What does my cluster look like to rackplan?": r"16",
    "How may a cluster be written down?": r'"nvl72"',
    "How fast is a layout that I have chosen?": r"TPOT [\d.]+ ms",
}


def test_there_are_thirty():
    assert len(QUESTIONS) == 30
    assert QUESTIONS.keys() >= SAID.keys()


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_command_is_understood(question):
    assert rackplan("--version").status == 0, "commands register when one is run"
    command, arguments = typer.main.get_command(app), shlex.split(QUESTIONS[question])
    while hasattr(command, "commands"):
        command = command.commands[arguments.pop(0)]
    with command.make_context("rackplan", arguments):
        pass


@pytest.mark.parametrize("question", SAID)
def test_an_answer_without_a_search(question):
    ran = rackplan(*shlex.split(QUESTIONS[question]))
    assert ran.status == 0, ran.error
    assert re.search(SAID[question], ran.out), ran.out


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the list names: a scenario from ``init``, its plan, recorded requests."""
    made = tmp_path_factory.mktemp("newcomer")
    small = ("--llm", "llama-3.1-8b", "--cluster", "hgx:nodes=2,device=h100,devices_per_host=2", "--requests-per-s", 5)
    assert rackplan("init", "-o", made / "mine.yaml", *small).status == 0
    assert rackplan("solve", made / "mine.yaml", "-o", made / "plan.json").status == 0
    rows = [f"{second},{100 + second},{10 + second % 3}" for second in range(60)]
    (made / "trace.csv").write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]))
    (made / "before.json").write_bytes((made / "plan.json").read_bytes())
    return made


@pytest.mark.parametrize(
    ("question", "says"),
    [
        ("What is in my request log?", r"60 requests"),
        ("What do 80 users need, who read at 25 tokens/s and think for 14 s?", r"promised 40 ms"),
        ("What if I pay for three years?", r"1.3 USD per device-hour \(reserved-3y"),
        ("What at prices of my own?", r"1.9 USD per device-hour \(given under prices\)"),
        ("What does it look like?", r"^$"),
        ("Is the plan right?", r"accepted"),
        ("What has changed between two plans?", r"."),
        ("Which device runs layer 30?", r"rack0/host\d/gpu\d: unified"),
        ("How do I start it?", r"."),
        ("A host is gone: what now?", r"optimal|feasible"),
    ],
)
def test_an_answer_about_a_plan(question, says, folder, monkeypatch):
    monkeypatch.chdir(folder)
    ran = rackplan(*shlex.split(QUESTIONS[question]))
    assert ran.status == 0, ran.error
    assert re.search(says, ran.out), ran.out


def test_a_layer_that_is_not_there_is_said(folder):
    assert "layers 0 to 31" in rackplan("where", folder / "plan.json", "--layer", 99).error
    assert "has no experts that" in rackplan("where", folder / "plan.json", "--layer", 3, "--expert", 1).error
