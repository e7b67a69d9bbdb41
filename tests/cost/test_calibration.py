"""Calibration files: what is packaged, what is read back, what is refused; and fits that find what was hidden."""

from __future__ import annotations

import json

import numpy as np
import pytest

import topologies
from solver.cost.calibration import Calibration, calibrations_from_json, packaged, packaged_calibrations, parameters
from solver.errors import BadFile, UnknownName
from solver.llm import LLM
from solver.replica import Parallelism, Setup
from solver.study.fidelity.fitting import fit
from solver.study.fidelity.measured import PricedRuns, RunFamily


def test_every_engine_is_packaged_for_both_generations_of_nvidia() -> None:
    assert {(e, g) for e in ("vllm", "sglang", "trtllm") for g in ("hopper", "blackwell")} <= set(
        packaged_calibrations()
    )
    for calibration in packaged_calibrations().values():
        assert calibration.fitted_on
        assert calibration.as_of
        assert 0.05 < calibration.tpot_sigma < 0.5


@pytest.mark.parametrize("calibration", packaged_calibrations().values(), ids=lambda c: c.name)
def test_files_are_read_back(calibration: Calibration) -> None:
    assert Calibration.from_json(json.loads(json.dumps(calibration.to_json())), "x") == calibration


def test_what_engines_say_now_is_pointed_out_in_older_files() -> None:
    older = packaged("vllm", "hopper")[0].to_json()
    older["parameters"]["memory_fraction"] = {"value": 0.92}
    with pytest.raises(BadFile, match=r"options\.memory_fraction"):
        Calibration.from_json(older, "ours.json")


def test_every_number_lies_in_its_physical_range() -> None:
    for calibration in packaged_calibrations().values():
        for path, known in parameters().items():
            assert known["low"] <= calibration.value(path) <= known["high"], (calibration.name, path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "a calibration is an object"),
        ({"parameters": {"gemm.fp8.memry": 1}}, "gemm.fp8.memory"),
        ({"parameters": {"gemm.fp8.memory": 7}}, "0.02..1.3"),
        ({"parameters": {"step_s": -1}}, "step_s = -1"),
        ({"parameters": {"step_s": {"value": "fast"}}}, "step_s = fast"),
        ({"calibrations": 3}, "must be a list"),
    ],
)
def test_bad_files_are_one_line(content: object, said: str) -> None:
    with pytest.raises(BadFile) as caught:
        calibrations_from_json(content, "ours.json")
    assert said in str(caught.value)
    assert str(caught.value).startswith("ours.json")


def test_unmeasured_devices_borrow_and_say_so() -> None:
    calibration, doubt = packaged("vllm", "cdna3")
    assert calibration.engine == "vllm"
    assert doubt is not None
    assert "not measured on cdna3" in doubt
    with pytest.raises(UnknownName, match="sglang"):
        packaged("sglng", "hopper")


def table(count: int) -> PricedRuns:
    rng = np.random.default_rng(5)
    llm, device = LLM.from_config("llama-3.1-8b"), topologies.device("h100")
    setups = tuple(Setup("unified", "vllm", Parallelism(tp=int(tp))) for tp in rng.choice([1, 2, 4, 8], count))
    ones = np.ones(count)
    return PricedRuns(
        [
            RunFamily(
                llm, device, "vllm", setups,
                concurrency=rng.choice([1.0, 4, 16, 64], count), prompt=rng.choice([500.0, 4000], count),
                output=rng.choice([200.0, 1000], count), burst=0 * ones, accepted=ones, most=1e6 * ones,
                    cache_known=True,
            )
        ]
    )  # fmt: skip


def test_a_fit_finds_the_engine_behind_the_runs() -> None:
    family = ("vllm", "hopper")
    start = packaged(*family)[0].untouched()
    truth = start.with_values({"captured": 1.2, "step_s": 9e-4, "first_token": 1.8, "admission_s": 0.06})
    runs = table(150)
    tpot, ttft = runs.predict({family: truth})
    found = fit(runs, tpot, ttft, {family: start})
    before = np.abs(runs.predict({family: start})[0] / tpot - 1).mean()
    after = np.abs(found.tpot_s / tpot - 1).mean()
    assert before > 0.08
    assert after < before / 4
    assert abs(found.calibrations[family].value("captured") - 1.2) < abs(start.captured - 1.2)
    assert any(label.startswith("gather_s") for label in found.undetermined)


def test_a_fit_to_nothing_new_moves_nothing() -> None:
    family = ("vllm", "hopper")
    start = packaged(*family)[0].untouched()
    runs = table(40)
    found = fit(runs, *runs.predict({family: start}, 3), {family: start})
    assert found.calibrations[family].captured == pytest.approx(start.captured, rel=0.02)


def test_what_was_not_measured_is_doubted() -> None:
    calibration, _ = packaged("sglang", "hopper")
    assert calibration.doubt("deepseek-v3", "h200") is None
    assert calibration.doubt("deepseek-v3.1-nvfp4", "h200") is None
    assert calibration.doubt("kimi-k2", "h200") == "sglang was not measured with kimi-k2 on h200"
    assert Calibration().doubt("kimi-k2", "h200") is None
