"""Runs of one's own: results of every load tester are read, few move what they share, many move numbers, none is forgotten."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import topologies
from solver.cost.calibration import packaged
from solver.cost.steps.replicas import Replicas
from solver.cost.surprises import learned_pace
from solver.errors import BadFile
from solver.llm import LLM
from solver.replica import Parallelism, Setup
from solver.study.fidelity import MeasuredRun, Runs, packaged_for, predict
from solver.study.learning.files import content_of, earlier
from solver.study.learning.results import read_results
from solver.study.learning.update import learn

FAMILY = ("vllm", "hopper")
LLAMA, H100 = LLM.from_config("llama-3.1-8b"), topologies.device("h100")
REPLICA = {"llm": "llama-3.1-8b", "device": "h100", "engine": "vllm", "engine_version": "0.33", "kv_cache": "bf16"}
SIDECAR = {"replica": REPLICA, "concurrency": 32, "prompt_tokens": 1000, "output_tokens": 200}

_FLAT = {
    "completed": 100, "total_input_tokens": 100_000, "total_output_tokens": 20_000, "output_throughput": 3000.0,
    "median_ttft_ms": 80.0, "median_tpot_ms": 10.0, "mean_tpot_ms": 99.0, "max_concurrency": 32,
}  # fmt: skip
_PERF = {
    "time_to_first_token": {"unit": "ms", "avg": 90.0, "p50": 80.0},
    "inter_token_latency": {"unit": "ms", "avg": 11.0, "p50": 10.0},
    "output_token_throughput": {"unit": "tokens/sec", "avg": 3000.0},
    "input_sequence_length": {"avg": 1000.0},
    "output_sequence_length": {"avg": 200.0},
}
_GUIDE = {
    "time_to_first_token_ms": 80.0, "inter_token_latency_ms": 10.0, "output_tokens_per_second": 3000.0,
    "prompt_token_count": 1000.0, "output_token_count": 200.0, "time_per_output_token_ms": 99.0,
}  # fmt: skip
#: What each tool writes of the same run.
RESULTS: dict[str, tuple[str, Any]] = {
    "vllm bench serve": ("vllm.json", _FLAT | {"num_prompts": 100, "failed": 0, "request_rate": "inf"}),
    "sglang.bench_serving": ("sglang.jsonl", _FLAT | {"backend": "vllm", "accept_length": None}),
    "benchmark_serving of TensorRT-LLM": ("trtllm.json", _FLAT | {"num_prompts": 100}),
    "aiperf": ("aiperf.json", _PERF | {"input_config": {"loadgen": {"concurrency": 32}}, "request_count": {"avg": 100}}),
    "genai-perf": (
        "profile_export_genai_perf.json",
        _PERF | {"input_config": {"perf_analyzer": {"stimulus": {"concurrency": 32}}}},
    ),
    "aiperf's table": (
        "profile_export_aiperf.csv",
        "Metric,avg,min,max,p50\nTime to First Token (ms),90,1,99,80\nInter Token Latency (ms),11,1,12,10\n"
        "Input Sequence Length (tokens),1000,1,1,1\nOutput Sequence Length (tokens),200,1,1,1\n\n"
        'Metric,Value\nOutput Token Throughput (tokens/sec),"3,000.0"\n',
    ),
    "guidellm": (
        "guidellm.json",
        {
            "benchmarks": [
                {
                    "config": {"strategy": {"type_": "concurrent", "streams": 32}},
                    "metrics": {name: {"successful": {"mean": v, "median": v}} for name, v in _GUIDE.items()},
                }
            ]
        },
    ),
    "trtllm-bench": (
        "report.json",
        {
            "engine": {"version": "1.2.0"},
            "request_info": {"avg_num_concurrent_requests": 32, "avg_input_length": 1000, "avg_output_length": 200},
            "performance": {"system_output_throughput_tok_s": 3000.0},
            "streaming_metrics": {"ttft_percentiles": {"p50": 80.0}, "tpot_percentiles": {"p50": 10.0}},
        },
    ),
}


def written(folder: Path, name: str, content: Any) -> Path:
    (folder / "expected.json").write_text(json.dumps(SIDECAR))
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize("tool", RESULTS)
def test_what_each_load_tester_writes_is_the_same_run(tool: str, tmp_path: Path) -> None:
    written(tmp_path, *RESULTS[tool])
    (run,) = read_results([tmp_path])[0].runs
    figures = (run.ttft_ms, run.tpot_ms, run.output_tokens_per_s_per_device, run.concurrency, run.statistic)
    assert figures == (80.0, 10.0, 3000.0, 32, "median")
    assert (run.prompt_tokens, run.output_tokens, run.llm, run.device) == (1000, 200, "llama-3.1-8b", "h100")


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("vllm.json", {"hello": 1}, "not a result of a load tester"),
        ("vllm.json", "{", "not a result of a load tester"),
        ("vllm.json", _FLAT | {"median_tpot_ms": None}, "the time per output token is missing"),
        ("vllm.json", _FLAT | {"num_prompts": 200}, "50% of the requests failed"),
    ],
)
def test_what_is_no_result_is_named(name: str, content: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(BadFile, match=said):
        read_results([written(tmp_path, name, content)])


def test_a_result_without_its_replica_says_what_is_missing(tmp_path: Path) -> None:
    path = written(tmp_path, "vllm.json", _FLAT)
    (tmp_path / "expected.json").unlink()
    with pytest.raises(BadFile, match=r"which replica it ran against stands in expected\.json"):
        read_results([path])


@pytest.mark.parametrize(
    ("line", "tokens", "version"),
    [
        ("(EngineCore_DP0) GPU KV cache size: 686,320 tokens", 686_320, ""),
        ("max_total_num_tokens=171008, context_len=169000", 171_008, ""),
        ("[MemUsageChange] Allocated 26.91 GiB for max tokens in paged KV cache (220480).", 220_480, ""),
        ("INFO vLLM API server version 0.33.0", None, "0.33.0"),
        ("[TensorRT-LLM] TensorRT LLM version: 1.2.0rc6", None, "1.2.0rc6"),
    ],
)
def test_logs_say_tokens_and_versions(line: str, tokens: int | None, version: str, tmp_path: Path) -> None:
    written(tmp_path, "server.log", f"starting\n{line}\n")
    _, (log,) = read_results([tmp_path])
    assert (log.kv_tokens, log.version) == (tokens, version)


def runs(factor: float, count: int = 1, **changes: Any) -> Runs:
    """Runs of a replica that take so many times of what is predicted."""
    loads = [8 * 2**n for n in range(count)]
    told = REPLICA | {"prompt_tokens": 1000, "output_tokens": 200} | changes
    wanted = tuple(MeasuredRun(id=f"{factor} {changes} {load}", concurrency=load, **told) for load in loads)
    asked = Runs("test", wanted, ())
    found = predict(asked, packaged_for(asked)[0])
    ms = (found.tpot_s * 1e3 * factor).tolist()
    return Runs("test", tuple(run.model_copy(update={"tpot_ms": t}) for run, t in zip(wanted, ms, strict=True)), ())


def pace(found: Any, tp: int = 1, engine: Any = "vllm") -> float:
    calibration = found.calibrations[engine, "hopper"]
    return float(learned_pace(LLAMA, H100, calibration.learned, [Setup("unified", engine, Parallelism(tp=tp))])[0])


def test_a_few_runs_move_what_they_share_and_hardly_the_numbers() -> None:
    found = learn(runs(1.2, 2), {})
    assert 1.1 < pace(found) < 1.2
    assert 1.0 < pace(found, tp=8) < pace(found), "what other layouts share with it is less"
    assert abs(math.log(pace(found, engine="sglang"))) < 0.5 * math.log(pace(found))
    assert all(abs(math.log(factor)) < math.log(1.2) / 3 for factor in found.moved.values())
    (factor, before, after) = next(iter(found.shifts.values()))
    assert factor > 1.1
    assert after < before


def test_many_runs_of_different_llms_move_the_numbers() -> None:
    names = ["llama-3.1-8b", "llama-3.1-70b-fp8", "qwen3-32b", "qwen3-235b-a22b"]
    several = [runs(1.2, 4, llm=name, tp=tp, device=d) for name in names for tp in (4, 8) for d in ("h100", "h200")]
    few, many = learn(several[0], {}), learn(Runs.of(several), {})

    def widest(found: Any) -> float:
        return max((abs(math.log(f)) for f in found.moved.values()), default=0.0)

    assert widest(many) > 1.5 * widest(few)
    start, end = packaged(*FAMILY)[0], many.calibrations[FAMILY]
    assert start.spread is not None
    assert end.spread is not None
    assert np.trace(end.spread.lower @ end.spread.lower.T) < np.trace(start.spread.lower @ start.spread.lower.T)


def test_plans_are_priced_with_what_was_learned() -> None:
    found = learn(runs(1.2, 3), {}).calibrations[FAMILY]
    setup = Setup("unified", "vllm", Parallelism())
    slow, usual = (
        Replicas.of(LLAMA, H100, cal, [setup]).decode_s(np.array([32.0]), 1000.0)[0]
        for cal in (found, replace(found, learned=()))
    )
    assert slow / usual == pytest.approx(learned_pace(LLAMA, H100, found.learned, [setup])[0])


def test_order_does_not_matter_and_nothing_is_forgotten(tmp_path: Path) -> None:
    one, other = runs(1.2, 2), runs(0.9, 2, tp=2)
    path = tmp_path / "ours.json"
    path.write_text(json.dumps(content_of(learn(one, {}), {})))
    start, before = earlier(path)
    later = learn(Runs("test", (*before, *other.runs), ()), start)
    together = learn(Runs.of([one, other]), {})
    assert pace(later) == pytest.approx(pace(together), rel=1e-3)
    assert pace(later, tp=2) == pytest.approx(pace(together, tp=2), rel=1e-3)
    assert pace(later) > 1.05


def test_a_run_that_contradicts_everything_is_questioned() -> None:
    asked = Runs.of([runs(1.1, 2), runs(5.0, 1, tp=2)])
    doubting, believing = learn(asked, {}), learn(asked, {}, believe=True)
    (question,) = doubting.questioned
    assert question.run.tp == 2
    assert question.output == "tpot"
    assert "standard deviations off" in str(question)
    assert len(doubting.runs) == 2
    assert len(believing.runs) == 3
    assert pace(believing, tp=2) > pace(doubting, tp=2)


def test_a_smaller_cache_means_a_larger_runtime(tmp_path: Path) -> None:
    written(tmp_path, "server.log", "GPU KV cache size: 300,000 tokens")
    found = learn(Runs("", (), ()), {}, read_results([tmp_path])[1])
    assert found.calibrations[FAMILY].runtime_bytes > packaged(*FAMILY)[0].runtime_bytes + 1e9
    assert "300,000 tokens of KV cache" in found.memory[0]
