"""The facade: names, records or files' spellings go in; what is wrong is one line; notebooks show plans."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import solver
import topologies
from solver import LLM, SLO, BadInput, RequestClass, Traffic, Users, frames, read_trace, solve
from solver.optimize.assembly.outcome import Outcome

CHAT = RequestClass("chat", prompt_tokens=1000, output_tokens=200, requests_per_s=5)
SPEC = {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 2}


@cache
def outcome() -> Outcome:
    return solve("llama-3.1-8b", SPEC, CHAT, {"tpot_p95": "30ms"}, seed=1)


def test_names_and_descriptions_say_the_same_as_objects() -> None:
    llm, graph = LLM.from_config("llama-3.1-8b"), topologies.hgx(nodes=1, device="h100", devices_per_host=2)
    whole = solve(llm, graph, Traffic([CHAT]), SLO(tpot_p95_s=0.03), seed=1)
    assert whole.plan.objective == outcome().plan.objective
    assert whole.plan.pools == outcome().plan.pools


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (lambda: solve(8, SPEC, CHAT), "llm is an LLM, a name such as 'llama-3.1-8b', or a path, not int"),
        (lambda: solve("lama-3.1-8b", SPEC, CHAT), "nearest: llama"),
        (lambda: solve("llama-3.1-8b", "hgx", CHAT), "cluster is a graph, .*not str"),
        (lambda: solve("llama-3.1-8b", {"builder": "hgy"}, CHAT), "nearest: hgx"),
        (lambda: solve("llama-3.1-8b", SPEC, 5), "solve: traffic: "),
        (lambda: solve("llama-3.1-8b", SPEC, CHAT, 0.03), "solve: slo: "),
        (lambda: solve("llama-3.1-8b", SPEC, CHAT, enginee="vllm"), "enginee: unknown key; nearest: engine"),
        (lambda: SLO(tpot_p95_s=-1), "SLO: tpot_p95_s: must be at least"),
        (lambda: SLO(tpot=0.03), "SLO: tpot: unknown key; nearest: .*tpot_p95"),
        (lambda: RequestClass("chat", prompt_tokens="many"), "RequestClass: prompt_tokens: .*'many'"),
        (lambda: RequestClass("chat", 1000, 200, 5), "RequestClass: "),
        (lambda: Users(count=80, tokens_per_s=25), "Users: think: this key is missing"),
        (lambda: Traffic([]), "Traffic: classes: "),
    ],
)
def test_what_is_wrong_is_one_line(wrong: Any, says: str) -> None:
    with pytest.raises(BadInput, match=says) as told:
        wrong()
    assert "\n" not in str(told.value)
    assert "pydantic" not in str(told.value)


def test_a_trace_is_traffic(tmp_path: Path) -> None:
    rows = [f"{second},{100 + second},{10 + second % 3}" for second in range(60)]
    path = tmp_path / "trace.csv"
    path.write_text("\n".join(["arrival_s,prompt_tokens,output_tokens", *rows]))
    read = read_trace(path, classes=1, requests_per_s=7, slo={"tpot_p95": "30ms"})
    assert read.requests_per_s == pytest.approx(7)
    assert [one.slo for one in read.classes] == [SLO(tpot_p95_s=0.03)]
    with pytest.raises(BadInput, match="nearest: classes"):
        read_trace(path, clases=1)


def test_frames_hold_the_plan() -> None:
    plan = outcome().plan
    pools, ranks, classes, links = (make(plan) for make in (frames.pools, frames.ranks, frames.classes, frames.links))
    assert pools["devices"].sum() == plan.devices == len(ranks)
    assert set(ranks["device"]) == {rank.device for rank in plan.placement}
    assert list(classes["class"]) == ["chat"]
    assert classes["tpot_p95_s"][0] <= classes["promised_tpot_p95_s"][0] == 0.03
    assert len(links) == len(plan.links)


def test_notebooks_show_plans_and_outcomes(monkeypatch: pytest.MonkeyPatch) -> None:
    known: dict[tuple[str, str], Any] = {}
    html = SimpleNamespace(for_type_by_name=lambda module, name, show: known.update({(module, name): show}))
    shell = SimpleNamespace(display_formatter=SimpleNamespace(formatters={"text/html": html}))
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    solver._show_in_notebooks()
    page = known["solver.plan.schema", "Plan"](outcome().plan)
    assert known[Outcome.__module__, "Outcome"](outcome()) == page
    assert all(f"id=&quot;{part}&quot;" in page for part in ("answer", "ranks"))
    assert known[Outcome.__module__, "Outcome"](Outcome("infeasible", None, "no")) is None


def test_the_table_of_attributes_is_reachable() -> None:
    assert "fabric" in topologies.schema.LINK_ATTRIBUTES
