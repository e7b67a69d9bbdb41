"""Calibration files: what is packaged, what is read back, what is refused; and fits that find what was hidden."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

import topologies
from solver.cost.calibration import (
    Calibration,
    Spread,
    calibrations_from_json,
    packaged,
    packaged_calibrations,
    parameters,
)
from solver.cost.steps.speeds import Speeds
from solver.errors import BadFile, UnknownName
from solver.llm import LLM
from solver.replica import Parallelism, Setup
from solver.study.fidelity.fitting import RunsToFit, fit
from solver.study.fidelity.measured import PricedRuns, RunFamily


def test_every_engine_is_packaged_for_both_generations_of_nvidia() -> None:
    assert {(e, g) for e in ("vllm", "sglang", "trtllm") for g in ("hopper", "blackwell")} <= set(
        packaged_calibrations()
    )
    for calibration in packaged_calibrations().values():
        assert calibration.fitted_on
        assert calibration.as_of


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


FAMILY = ("vllm", "hopper")


def test_an_older_release_scales_launches_latencies_and_host_time_alone() -> None:
    now = replace(packaged(*FAMILY)[0], release="0.19", releases=(("0.13", 1.5), ("unknown", 1.2)))
    then = now.in_release("0.13")
    assert then.step_s == pytest.approx(1.5 * now.step_s)
    assert then.all_reduce_s == pytest.approx(1.5 * now.all_reduce_s)
    assert (then.gemm, then.experts, then.scale_up) == (now.gemm, now.experts, now.scale_up)
    assert now.in_release(None) == now.in_release("0.33") == now.in_release("0.19") == now
    assert now.in_release("0.15") == now.in_release("2025-10") == now


def test_a_factor_is_read_as_a_lower_triangle() -> None:
    lower = Spread(("step_s", "captured"), ((0.2,), (-0.06, 0.08))).lower
    assert lower @ lower.T == pytest.approx(np.array([[0.04, -0.012], [-0.012, 0.01]]))


@pytest.mark.parametrize("calibration", packaged_calibrations().values(), ids=lambda c: c.name)
def test_what_a_fit_left_open_is_kept(calibration: Calibration) -> None:
    assert calibration.spread is not None
    deviation = np.sqrt(np.diag(calibration.spread.lower @ calibration.spread.lower.T))
    known = parameters()
    for path, left in zip(calibration.spread.paths, deviation, strict=True):
        assert 0 < left <= known[path]["spread"] + 1e-3, f"{path}: runs only narrow a prior"


@pytest.mark.parametrize(
    "wrong",
    [
        {"releases": {"0.13": 70}},
        {"spread": {"paths": ["step_s"], "factor": [[0.1, 0.2]]}},
        {"spread": {"paths": ["step_s"]}},
        {"spread": {"paths": ["stp_s"], "factor": [[0.1]]}},
    ],
)
def test_a_wrong_spread_or_release_is_one_line(wrong: dict[str, object]) -> None:
    with pytest.raises(BadFile, match=r"ours\.json: (spread|releases)"):
        Calibration.from_json({"parameters": {"step_s": 1e-3}} | wrong, "ours.json")


def test_a_device_with_fewer_tensor_cores_loses_as_many_seconds() -> None:
    """H20: 15 % of H200's FLOP/s, so what a GEMM loses beside them is a smaller share of its time."""
    calibration = packaged("sglang", "hopper")[0]
    precision = LLM.from_config("deepseek-v3").precision
    slow, fast = (Speeds.of(topologies.device(name), precision, calibration).experts.flop for name in ("h20", "h200"))
    peaks = [topologies.device(name).flops["fp8"] for name in ("h20", "h200")]
    assert slow * peaks[0] < fast * peaks[1]
    assert slow - 1 / peaks[0] / calibration.experts.fp8_block.pace == pytest.approx(
        fast - 1 / peaks[1] / calibration.experts.fp8_block.pace
    )


def table(count: int) -> PricedRuns:
    rng = np.random.default_rng(5)
    llm, device = LLM.from_config("llama-3.1-8b"), topologies.device("h100")
    setups = tuple(Setup("unified", "vllm", Parallelism(tp=int(tp))) for tp in rng.choice([1, 2, 4, 8], count))
    ones = np.ones(count)
    return PricedRuns(
        [
            RunFamily(
                llm, device, "vllm", "0.19", setups,
                concurrency=rng.choice([1.0, 4, 16, 64], count), prompt=rng.choice([500.0, 4000], count),
                output=rng.choice([200.0, 1000], count), burst=0 * ones, accepted=ones, most=1e6 * ones,
                poll_steps=ones, cache_known=True,
            )
        ]
    )  # fmt: skip


def as_measured(runs: PricedRuns, calibration: Calibration) -> RunsToFit:
    return RunsToFit(runs, None, *runs.predict({FAMILY: calibration}, 3), np.zeros(len(runs), bool))


def test_a_fit_finds_the_engine_behind_the_runs() -> None:
    start = packaged(*FAMILY)[0].untouched()
    truth = start.with_values({"captured": 1.2, "step_s": 9e-4, "first_token": 1.8, "admission_s": 0.06})
    known = as_measured(table(150), truth)
    found = fit(known, {FAMILY: start})
    before = np.abs(known.predict({FAMILY: start})[0] / known.tpot_s - 1).mean()
    after = np.abs(found.tpot_s / known.tpot_s - 1).mean()
    assert before > 0.08
    assert after < before / 2
    assert abs(found.calibrations[FAMILY].value("captured") - 1.2) < abs(start.captured - 1.2)
    assert any(label.startswith("gather_s") for label in found.undetermined)
    assert found.calibrations[FAMILY].release == "0.19"


def test_a_fit_to_nothing_new_moves_nothing() -> None:
    start = packaged(*FAMILY)[0].untouched()
    found = fit(as_measured(table(40), start), {FAMILY: start})
    assert found.calibrations[FAMILY].captured == pytest.approx(start.captured, rel=0.02)


def test_a_fit_tells_releases_from_each_other() -> None:
    """The same runs under two releases, the older with half as much again of every overhead."""
    start = replace(packaged(*FAMILY)[0].untouched(), releases=(("0.13", 1.5),))
    (now,) = table(120).parts
    both = PricedRuns([now, replace(now, release="0.13")])
    found = fit(as_measured(both, start), {FAMILY: replace(start, releases=())}).calibrations[FAMILY]
    assert 1.2 < dict(found.releases)["0.13"] < 1.6


def test_a_fit_sets_out_from_another() -> None:
    start = packaged(*FAMILY)[0].untouched()
    known = as_measured(table(60), start.with_values({"captured": 1.1}))
    first = fit(known, {FAMILY: start})
    again = fit(known, {FAMILY: start}, first.moved)
    assert again.calibrations[FAMILY].captured == pytest.approx(first.calibrations[FAMILY].captured, rel=0.01)


def test_what_was_not_measured_is_doubted() -> None:
    calibration, _ = packaged("sglang", "hopper")
    assert calibration.doubt("deepseek-v3", "h200") is None
    assert calibration.doubt("deepseek-v3.1-nvfp4", "h200") is None
    assert calibration.doubt("kimi-k2", "h200") == "sglang was not measured with kimi-k2 on h200"
    assert Calibration().doubt("kimi-k2", "h200") is None
