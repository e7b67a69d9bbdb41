"""What load testers write, as measured runs: vLLM's, SGLang's and TensorRT-LLM's benchmarks, trtllm-bench, GenAI-Perf, AIPerf
and GuideLLM.

None of them knows the replica that it ran against. A folder of :mod:`solver.study.bench` says so beside the results: its
``expected.json`` names LLM, device, engine and degrees under ``replica``.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from solver.errors import BadFile, BadInput
from solver.study.fidelity.runs import MeasuredRun, Runs, read_runs, recognised
from solver.study.learning.logs import EngineLog, read_log
from solver.workload.fields import read_record
from solver.workload.files import MOST_BYTES, read_text

#: What describes the replica of the results in its folder, and what in it does.
SIDECAR, REPLICA = "expected.json", "replica"
#: Share of the requests that may fail before a run says nothing.
MOST_FAILED = 0.02
#: Files of a folder that may hold results or logs.
SUFFIXES = (".json", ".jsonl", ".csv", ".log")


def read_results(paths: list[Path]) -> tuple[Runs, list[EngineLog]]:
    """The runs and engine logs in some files and folders; what cannot be used is named.

    A folder stands for all results and logs in it and below; a CSV or JSON table of runs is read as ``fidelity`` does.

    Raises
    ------
    BadFile: no such file, not the result of a load tester, or nothing that says which replica it ran against.
    """
    runs: list[MeasuredRun] = []
    skipped: list[str] = []
    logs: list[EngineLog] = []
    for path, asked in _files(paths):
        if path.suffix == ".log":
            logs.append(read_log(path, _replica(path)))
            continue
        found = _table(path)
        if found is not None:
            runs += found.runs
            skipped += found.skipped
            continue
        results = list(_results(path))
        if not results and asked:
            raise BadFile(f"{path}: not a result of a load tester, nor a table of runs")
        for number, result in enumerate(results, 1):
            where = f"{path}, result {number}" if len(results) > 1 else str(path)
            failed = result.pop("failed", 0.0)
            if failed > MOST_FAILED:
                skipped.append(f"{where}: {failed:.0%} of the requests failed")
                continue
            runs.append(_run(where, _replica(path), result))
    if not runs and not logs:
        raise BadFile(f"{', '.join(map(str, paths))}: no run was found" + (f"; {skipped[0]}" if skipped else ""))
    return Runs(", ".join(dict.fromkeys(path.name for path in paths)), tuple(runs), tuple(skipped)), logs


def _files(paths: list[Path]) -> Iterator[tuple[Path, bool]]:
    """Files, and whether each was named by itself."""
    for path in paths:
        if not path.is_dir():
            yield path, True
            continue
        inside = sorted(p for p in path.rglob("*") if p.suffix in SUFFIXES and p.name != SIDECAR and "deploy" not in p.parts)
        yield from ((each, False) for each in inside)


def _table(path: Path) -> Runs | None:
    """A table of runs as ``fidelity`` reads it; None where it is something else."""
    text = read_text(path, MOST_BYTES)
    if path.suffix == ".csv":
        header = next(csv.reader(io.StringIO(text)), [])
        return read_runs(str(path)) if {"llm", "device", "engine"} <= set(header) else None
    content = _json(text)
    if isinstance(content, dict) and "calibrations" in content:
        return None  # what was learned before
    rows = content.get("runs") if isinstance(content, dict) else content
    named = isinstance(rows, list) and rows and isinstance(rows[0], dict) and {"llm", "engine"} <= rows[0].keys()
    return read_runs(str(path)) if named else None


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _replica(path: Path) -> Mapping[str, Any]:
    """What the results in the folder of a file ran against.

    Raises
    ------
    BadFile: nothing says so.
    """
    sidecar = path.parent / SIDECAR
    content = _json(read_text(sidecar, MOST_BYTES)) if sidecar.exists() else None
    if not isinstance(content, dict) or not isinstance(content.get(REPLICA), dict):
        raise BadFile(
            f"{path}: which replica it ran against stands in {SIDECAR} beside it, as rackplan measure writes it: "
            '{"replica": {"llm": ..., "device": ..., "engine": ..., "tp": ...}}'
        )
    found: dict[str, Any] = content[REPLICA] | {
        name: content[name] for name in ("concurrency", "prompt_tokens", "output_tokens") if name in content
    }
    return found


def _run(where: str, replica: Mapping[str, Any], result: Mapping[str, Any]) -> MeasuredRun:
    """A result as a run; what it does not say stands in the test that was asked for."""
    told = {name: value for name, value in result.items() if value is not None}
    content = {"id": where, **replica, **told}
    rate = content.pop("output_tokens_per_s", None)
    try:
        run = recognised(read_record(MeasuredRun, content, where))
    except BadInput as error:
        raise BadFile(str(error)) from None
    if run.tpot_ms is None:
        raise BadFile(f"{where}: the time per output token is missing: stream, and ask for more than one token")
    if rate is None:
        return run
    llm = run.served
    return run.model_copy(update={"output_tokens_per_s_per_device": float(rate) / run.devices(llm)})


def _results(path: Path) -> Iterator[dict[str, Any]]:
    """Figures of every result in a file, in the names of a run; ``failed`` is a share of the requests."""
    text = read_text(path, MOST_BYTES)
    if path.suffix == ".csv":
        yield from _metric_rows(text)
        return
    content = _json(text)
    entries = [content] if isinstance(content, dict) else [_json(line) for line in text.splitlines() if line.strip()]
    for entry in entries:
        if isinstance(entry, dict):
            yield from next((found for read in READERS if (found := list(read(entry)))), [])


def _of_vllm(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """``vllm bench serve``, ``sglang.bench_serving`` and TensorRT-LLM's ``benchmark_serving``: one flat record."""
    done = entry.get("completed")
    if not done or "output_throughput" not in entry or "median_tpot_ms" not in entry:
        return
    wanted = entry.get("num_prompts") or done + (entry.get("failed") or 0)
    yield {
        "statistic": "median",
        "ttft_ms": entry.get("median_ttft_ms"),
        "tpot_ms": entry.get("median_tpot_ms"),
        "output_tokens_per_s": entry.get("output_throughput"),
        "concurrency": entry.get("max_concurrency"),
        "prompt_tokens": entry["total_input_tokens"] / done if entry.get("total_input_tokens") else None,
        "output_tokens": entry["total_output_tokens"] / done if entry.get("total_output_tokens") else None,
        "acceptance_length": entry.get("accept_length"),
        "failed": max(1 - done / wanted, 0.0),
    }


def _of_trtllm_bench(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """``trtllm-bench --report_json``: latencies by percentile where it streamed."""
    asked, streamed, done = (entry.get(name) for name in ("request_info", "streaming_metrics", "performance"))
    if not isinstance(asked, dict) or not isinstance(done, dict):
        return
    streamed = streamed if isinstance(streamed, dict) else {}
    engine = entry.get("engine") if isinstance(entry.get("engine"), dict) else {}
    yield {
        "statistic": "median",
        "ttft_ms": (streamed.get("ttft_percentiles") or {}).get("p50", streamed.get("avg_ttft_ms")),
        "tpot_ms": (streamed.get("tpot_percentiles") or {}).get("p50", streamed.get("avg_tpot_ms")),
        "output_tokens_per_s": done.get("system_output_throughput_tok_s"),
        "concurrency": asked.get("avg_num_concurrent_requests"),
        "prompt_tokens": asked.get("avg_input_length"),
        "output_tokens": asked.get("avg_output_length"),
        "engine_version": (engine or {}).get("version"),
    }


def _of_perf(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """GenAI-Perf and AIPerf: a block of statistics for each metric."""
    if not isinstance(entry.get("inter_token_latency"), dict):
        return

    def of(name: str, *statistics: str) -> Any:
        block = entry.get(name)
        return next((block[s] for s in statistics if block.get(s) is not None), None) if isinstance(block, dict) else None

    counts = [of(name, "avg") or 0.0 for name in ("request_count", "error_request_count")]
    yield {
        "statistic": "median",
        "ttft_ms": of("time_to_first_token", "p50", "avg"),
        "tpot_ms": of("inter_token_latency", "p50", "avg"),
        "output_tokens_per_s": of("output_token_throughput", "avg"),
        "concurrency": _concurrency(entry.get("input_config")),
        "prompt_tokens": of("input_sequence_length", "avg"),
        "output_tokens": of("output_sequence_length", "avg"),
        "failed": counts[1] / sum(counts) if sum(counts) else 0.0,
    }


def _concurrency(config: Any) -> float | None:
    """The number of requests in flight, wherever a configuration has it."""
    if not isinstance(config, Mapping):
        return None
    own = config.get("concurrency")
    if isinstance(own, int | float) and own > 0:
        return own
    return next((found for part in config.values() if (found := _concurrency(part)) is not None), None)


def _of_guidellm(entry: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """GuideLLM: a benchmark for every load; its time per output token has the first in it, so gaps between tokens count."""
    benchmarks = entry.get("benchmarks")
    for one in benchmarks if isinstance(benchmarks, list) else ():
        metrics = one.get("metrics") if isinstance(one, dict) else None
        if not isinstance(metrics, dict) or not isinstance(metrics.get("inter_token_latency_ms"), dict):
            continue

        def of(name: str, statistic: str, metrics: Mapping[str, Any] = metrics) -> Any:
            return ((metrics.get(name) or {}).get("successful") or {}).get(statistic)

        totals = metrics.get("request_totals") or {}
        done, failed = (totals.get(name) or 0 for name in ("successful", "errored"))
        yield {
            "statistic": "median",
            "ttft_ms": of("time_to_first_token_ms", "median"),
            "tpot_ms": of("inter_token_latency_ms", "median"),
            "output_tokens_per_s": of("output_tokens_per_second", "mean"),
            "concurrency": _streams(one),
            "prompt_tokens": of("prompt_token_count", "mean"),
            "output_tokens": of("output_token_count", "mean"),
            "failed": failed / (done + failed) if done + failed else 0.0,
        }


def _streams(benchmark: Mapping[str, Any]) -> float | None:
    """Streams of a concurrent strategy, by the names that GuideLLM's versions have for it."""
    for holder in ("config", "args", "scheduler"):
        strategy = (benchmark.get(holder) or {}).get("strategy") if isinstance(benchmark.get(holder), dict) else None
        if isinstance(strategy, dict):
            for name in ("streams", "max_concurrency"):
                if strategy.get(name):
                    return float(strategy[name])
    return None


#: Rows of GenAI-Perf's and AIPerf's tables, by what a run calls them.
_ROWS = {
    "time to first token": "ttft_ms",
    "inter token latency": "tpot_ms",
    "output token throughput": "output_tokens_per_s",
    "input sequence length": "prompt_tokens",
    "output sequence length": "output_tokens",
}


def _metric_rows(text: str) -> Iterator[dict[str, Any]]:
    """GenAI-Perf's and AIPerf's CSV: tables of a row for each metric, under a header that names the statistics."""
    found: dict[str, Any] = {}
    header: list[str] = []
    for row in csv.reader(io.StringIO(text)):
        cells = [cell.strip() for cell in row]
        if cells and cells[0] == "Metric":
            header = [cell.lower() for cell in cells]
        name = _ROWS.get(cells[0].partition(" (")[0].lower()) if cells else None
        if name is None or not header:
            continue
        values = dict(zip(header, cells, strict=False))
        wanted = ("p50", "avg", "value") if name.endswith("_ms") else ("avg", "value")
        value = next((values[s] for s in wanted if values.get(s)), None)
        if value is not None:
            found[name] = float(value.replace(",", ""))
    if "tpot_ms" in found:
        yield {"statistic": "median", **found}


READERS: tuple[Callable[[Mapping[str, Any]], Iterator[dict[str, Any]]], ...] = (
    _of_vllm,
    _of_trtllm_bench,
    _of_perf,
    _of_guidellm,
)
