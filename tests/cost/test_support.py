"""Prices say what they rest on: runs are counted by mechanism, and what no run had is said."""

from __future__ import annotations

from pathlib import Path

import pytest

import topologies
from solver.cost.support import RunKind, Support, packaged_tally, support
from solver.llm import LLM
from solver.replica import Parallelism, Setup

V3, H200 = LLM.from_config("deepseek-v3"), topologies.device("h200")


def of(setup: Setup, batch: float = 32, prompt: float = 1000) -> dict[str, Support]:
    return {each.mechanism: each for each in support(setup, V3, H200, batch, prompt, idle_kv=False)}


def count(**fields: object) -> int:
    return sum(k.runs for k in packaged_tally() if all(getattr(k, name) == value for name, value in fields.items()))


def test_runs_are_counted_by_what_they_had() -> None:
    found = of(Setup("unified", "sglang", Parallelism(tp=8, moe_tp=8)))
    assert found["sglang"].runs == count(engine="sglang")
    assert found["h200"].runs == count(device="h200")
    assert found["deepseek-v3"].engine_runs == count(engine="sglang", shape="7168 x 61, 256 experts, top 8")
    assert found["experts cut over ranks"].runs == sum(k.runs for k in packaged_tally() if k.ep == 1 and k.moe_tp > 1)
    assert "hand-over between pools" not in found


def test_what_no_run_had_is_said() -> None:
    found = of(Setup("prefill", "sglang", Parallelism(tp=8, pp=4, moe_tp=8), domains=4, hosts=4))
    assert str(found["pipelined prefill"]) == "pipelined prefill: no measured run"
    assert "hand-over between pools" in found


def test_runs_of_other_engines_are_told_apart() -> None:
    assert str(Support("x", 14, 0)) == "x: 14 runs, none with this engine"
    assert str(Support("x", 14, 3)) == "x: 3 runs"


def test_a_batch_or_length_that_nobody_ran_has_no_run() -> None:
    found = of(Setup("unified", "sglang", Parallelism(tp=8, moe_tp=8)), batch=1e6, prompt=3e6)
    assert not found["1e+06 sequences a rank"].runs
    assert not found["prompts of 3,000,000 tokens"].runs


def test_the_packaged_tally_counts_the_measured_runs(shared_data: Path) -> None:
    from solver.study.fidelity.runs import read_runs
    from solver.study.fidelity.tally import counted

    files = [read_runs(str(shared_data / "measured" / n)) for n in ("serving.csv", "serving_amd.csv", "runs_2026_11.json")]
    assert [RunKind(*row) for row in counted(files)["runs"]] == list(packaged_tally())


@pytest.mark.parametrize("kind", packaged_tally()[:40])
def test_kinds_are_whole(kind: RunKind) -> None:
    assert kind.runs >= 1
    assert kind.least_batch <= kind.most_batch
    assert kind.shortest <= kind.longest
    assert kind.role in ("unified", "prefill", "decode")
