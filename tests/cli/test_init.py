"""``rackplan init``: what it writes is a scenario, whole, and the README shows it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from solver.workload import Scenario
from solver.workload.documents import parse_document
from tests.cli.command_line import rackplan

SHOWN = re.findall(r"```yaml\n(.*?)```", Path("README.md").read_text(encoding="utf-8"), flags=re.DOTALL)


def read(text: str) -> Scenario:
    return Scenario.from_mapping(parse_document(text, "init"), "init")


def test_the_readme_shows_what_it_writes():
    (shown,) = SHOWN
    assert rackplan("init").out == shown


def test_every_section_is_there_and_may_be_switched_on():
    text = rackplan("init").out
    on = text.replace("#: ", "")
    assert set(parse_document(on, "init")) == set(Scenario.model_fields)
    switched, plain = read(on), read(text)
    unlike = {name for name in Scenario.model_fields if getattr(switched, name) != getattr(plain, name)}
    assert unlike == {"prices", "speculation"}, "every other line shows the default"


def test_flags_are_what_the_file_says(tmp_path):
    target = tmp_path / "mine.yaml"
    people = ("--users", 80, "--tokens-per-s-per-user", 25, "--think", "14s", "--output-tokens", 501)
    ran = rackplan("init", "-o", target, "--llm", "deepseek-v3", "--cluster", "nvl72:racks=2,device=gb300", *people)
    assert (ran.status, ran.out) == (0, "")
    found = read(target.read_text())
    (one,) = found.traffic.classes
    assert (found.llm.config, found.cluster, found.price_basis) == (
        "deepseek-v3",
        {"builder": "nvl72", "racks": 2, "device": "gb300"},
        "reserved-3y",
    )
    assert (one.requests_per_s, one.slo.tpot_mean_s) == (pytest.approx(80 / 34), 0.04)
    assert found.slo.tpot_p95_s is None


def test_terms_that_no_device_has_are_said():
    assert "No common terms are known for t4" in rackplan("init", "--cluster", "hgx:nodes=1,device=t4").out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--llm", "lama-3.1-8b"), "nearest: llama"),
        (("--users", 80), "add --tokens-per-s-per-user and --think"),
        (("--ttft-p95", "2"), "say 2ms or 2s"),
        (("--prompt-tokens", -1), "prompt_tokens"),
    ],
)
def test_what_cannot_be_is_one_line(arguments, says):
    ran = rackplan("init", *arguments)
    assert (ran.status, ran.out) == (2, "")
    assert says in ran.error
