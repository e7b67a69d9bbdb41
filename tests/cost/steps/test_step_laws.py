"""Laws that every step time keeps, whatever the calibration: it grows with work and falls with speed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from solver.cost.calibration import Calibration, packaged_calibrations
from solver.cost.steps.replicas import Replicas
from solver.cost.steps.step import Load
from solver.llm import LLM
from solver.replica import Parallelism, Setup

LLMS = ("llama-3.1-8b", "deepseek-v3", "deepseek-v3.2", "gpt-oss-120b", "qwen3-235b-a22b")
CALIBRATIONS = [Calibration(), *packaged_calibrations().values()]


def replicas(name: str, calibration: Calibration, **changes: float) -> Replicas:
    llm = LLM.from_config(name)
    shape = Parallelism(tp=2, dp=4, ep=8, moe_tp=1) if llm.experts else Parallelism(tp=8)
    device = replace(topologies.device("h200"), **changes)
    return Replicas.of(llm, device, calibration, [Setup("unified", "vllm", shape)])


def seconds(of: Replicas, decode: float, context: float, prefill: float = 0.0) -> float:
    load = Load.of(decode=np.array([decode]), context=context, prefill=np.array([prefill]))
    return float(of.step(load).latency_s[0])


@pytest.mark.parametrize("name", LLMS)
@settings(max_examples=25, deadline=None)
@given(
    calibration=st.sampled_from(CALIBRATIONS),
    batch=st.floats(1, 512),
    context=st.floats(1, 1e5),
    prefill=st.floats(0, 8192),
    more=st.floats(1.001, 8),
)
def test_more_work_takes_no_less_time(
    name: str, calibration: Calibration, batch: float, context: float, prefill: float, more: float
) -> None:
    of = replicas(name, calibration)
    base = seconds(of, batch, context, prefill)
    for heavier in (
        (batch * more, context, prefill),
        (batch, context * more, prefill),
        (batch, context, prefill * more),
    ):
        assert seconds(of, *heavier) >= base * (1 - 1e-12)


@pytest.mark.parametrize("name", LLMS)
@settings(max_examples=25, deadline=None)
@given(calibration=st.sampled_from(CALIBRATIONS), batch=st.floats(1, 512), faster=st.floats(1.001, 8))
def test_a_faster_device_takes_no_more_time(name: str, calibration: Calibration, batch: float, faster: float) -> None:
    device = topologies.device("h200")
    base = seconds(replicas(name, calibration), batch, 4000, 1000)
    better: list[dict[str, object]] = [
        {"hbm_bytes_per_s": device.hbm_bytes_per_s * faster},
        {"scale_up_bytes_per_s": device.scale_up_bytes_per_s * faster},
        {"flops": {dtype: rate * faster for dtype, rate in device.flops.items()}},
    ]
    for change in better:
        assert seconds(replicas(name, calibration, **change), batch, 4000, 1000) <= base * (1 + 1e-12)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", LLMS)
def test_the_curve_has_no_jumps(name: str) -> None:
    of = replicas(name, packaged_calibrations()["sglang", "hopper"])
    batches = np.geomspace(1, 512, 400)
    times = np.array([seconds(of, b, 4000.0) for b in batches])
    assert np.all(np.diff(times) >= 0)
    assert np.max(np.diff(times) / times[1:]) < 0.03


def test_the_ideal_step_is_the_textbook_roofline() -> None:
    llm, device = LLM.from_config("llama-3.1-8b"), topologies.device("h100")
    of = Replicas.of(llm, device, Calibration(), [Setup("unified", "vllm", Parallelism())])
    weights = sum(layer.weight_bytes(llm.precision) for layer in llm.layers)
    kv = llm.kv_bytes(1000.0)
    read = (weights + llm.head_parameters * 2 + kv) / device.hbm_bytes_per_s
    assert seconds(of, 1, 1000) == pytest.approx(read, rel=1e-3)


@pytest.mark.parametrize(("drafts", "accepted", "rate"), [(1, 1.92, 198), (2, 2.58, 250), (3, 2.82, 253)])
def test_drafts_buy_what_was_measured(drafts: int, accepted: float, rate: float) -> None:
    """DeepSeek-R1 on 8 x B200 at batch 1: 111 tokens/s without drafts (TensorRT-LLM's MTP report, 2025)."""
    llm, device = LLM.from_config("deepseek-v3"), topologies.device("b200")
    calibration = packaged_calibrations()["trtllm", "blackwell"]
    setup = Setup("unified", "trtllm", Parallelism(tp=8, ep=2, moe_tp=4))
    plain = Replicas.of(llm, device, calibration, [setup])
    drafted = Replicas.of(llm, device, calibration, [replace(setup, draft_tokens=drafts)], accepted=accepted)
    one = np.ones(1)
    assert drafted.round_s(one, 1500.0)[0] > plain.round_s(one, 1500.0)[0]
    assert plain.decode_s(one, 1500.0)[0] / drafted.decode_s(one, 1500.0)[0] == pytest.approx(rate / 111, rel=0.1)
    assert drafted.ledger.weights[0, 0] > plain.ledger.weights[0, 0]


def test_every_query_gathers_the_keys_that_were_selected_for_it() -> None:
    """Of an ideal machine whose matrix products take no time: 2,048 latents of 576 bytes a query, layer and rank."""
    device = topologies.device("h200")
    endless = {name: rate * 1e6 for name, rate in device.flops.items()}
    llm = LLM.from_config("deepseek-v3.2").with_precision(kv_cache="fp8")
    of = Replicas.of(
        llm, replace(device, flops=endless), Calibration(), [Setup("prefill", "sglang", Parallelism(tp=8, moe_tp=8))]
    )
    few, many = (
        float(of.step(Load.of(prefill=np.array([tokens]), prefill_keys=1e6)).latency_s[0]) for tokens in (10_000.0, 20_000.0)
    )
    network = 2 * 2 * 7 / 8 * 10_000 * llm.hidden * 2 / device.scale_up_bytes_per_s
    gathered = 10_000 * 2048 * 576 / device.hbm_bytes_per_s
    assert many - few == pytest.approx(len(llm.layers) * (gathered + network), rel=0.01)


def test_drafts_share_a_cache_but_not_what_was_selected() -> None:
    """Four queries a sequence gather four times as many keys where few are selected, and read a dense cache once."""
    calibration = packaged_calibrations()["sglang", "hopper"]
    grown = {}
    for name in ("deepseek-v3", "deepseek-v3.2"):
        of = replicas(name, calibration)
        one, four = (
            of.step(Load.of(decode=np.array([256.0]), context=8000.0, queries=queries)).parts_s()[1][0]
            for queries in (1.0, 4.0)
        )
        grown[name] = four / one
    assert grown["deepseek-v3"] < 1.25
    assert grown["deepseek-v3.2"] > 1.4
