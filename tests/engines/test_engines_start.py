"""The engines themselves accept every export of every packaged scenario, and build what the ledger says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from checkpoints import folder_of
from packaged_plans import SCENARIOS, solved

from solver.errors import BadInput
from solver.export.start import ENVIRONMENTS, EngineStart, judge

#: LLMs whose weights depend on the kernels that vLLM picks for its experts: they are kept in that kernel's layout.
OF_KERNELS = {"gpt-oss-120b"}


def asked(name: str, engine: str, engines: Path, folder: Path) -> EngineStart:
    found = solved(name, engine)
    return judge(found, folder_of(str(found.scenario.llm.config), folder), engines)


@pytest.mark.parametrize("name", SCENARIOS)
def test_vllm_accepts_and_builds_what_the_ledger_says(name: str, engines: Path, tmp_path: Path) -> None:
    start = asked(name, "vllm", engines, tmp_path)
    assert [str(verdict) for verdict in start.verdicts if not verdict.accepted] == []
    assert {verdict.pool for verdict in start.verdicts} == {pool.name for pool in solved(name, "vllm").pools}
    for verdict in start.verdicts:
        if solved(name, "vllm").scenario.llm.config in OF_KERNELS:
            continue
        for stage in verdict.stages:
            assert stage.planned_bytes == pytest.approx(stage.built_bytes, rel=0.005), verdict
        # A follower's stages are its leader's: they are not built again.
        assert bool(verdict.stages) != verdict.name.endswith("follower")
        if verdict.stages:
            assert verdict.planned_tokens == pytest.approx(verdict.built_tokens, rel=0.001)


@pytest.mark.parametrize("name", SCENARIOS)
def test_sglang_accepts(name: str, engines: Path, tmp_path: Path) -> None:
    start = asked(name, "sglang", engines, tmp_path)
    assert [str(verdict) for verdict in start.verdicts if not verdict.accepted] == []
    assert start.judged == "0.5.23"


def test_a_layout_that_vllm_refuses_is_refused_in_its_words(engines: Path, tmp_path: Path) -> None:
    """Tensor parallelism of 3 over 64 heads, of which the plan's file was changed by hand."""
    found = solved("llama-70b-16xh100", None)
    pools = tuple(
        pool.model_copy(update={"parallelism": pool.parallelism.model_copy(update={"tp": 3}), "limits": pool.limits})
        if pool.role == "decode"
        else pool
        for pool in found.pools
    )
    start = judge(found.model_copy(update={"pools": pools}), folder_of("llama-3.1-70b-fp8", tmp_path), engines)
    [said] = [verdict.says for verdict in start.verdicts if not verdict.accepted]
    assert "must be divisible by tensor parallel size" in said


def test_rules_that_differ_between_versions_are_named(engines: Path, tmp_path: Path) -> None:
    start = asked("llama-70b-16xh100", "vllm", engines, tmp_path)
    assert (start.planned, start.judged.startswith("0.32")) == ("0.33", True)
    assert any(rule.startswith("expert fp8 block") for rule in start.other_rules)


def test_the_command_asks(engines: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    solved("llama-70b-16xh100", "vllm").save(path)
    model = folder_of("llama-3.1-70b-fp8", tmp_path)
    rackplan = Path(sys.executable).with_name("rackplan")
    words = [rackplan, "check", path, "--engine-start", "--model", model]
    ran = subprocess.run(
        words, capture_output=True, text=True, check=False, env={ENVIRONMENTS: str(engines), "PATH": "/usr/bin:/bin"}
    )
    assert ran.returncode == 0, ran.stderr
    assert "decode: accepted" in ran.stdout


def test_without_engines_the_way_to_them_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(ENVIRONMENTS, raising=False)
    with pytest.raises(BadInput, match="tests/engines/setup"):
        judge(solved("llama-70b-16xh100", None))
    with pytest.raises(BadInput, match="tests/engines/setup"):
        judge(solved("llama-70b-16xh100", None), environments=tmp_path)
    with pytest.raises(BadInput, match="trtllm cannot be asked"):
        judge(solved("gpt-oss-120b-8xb200", None))
