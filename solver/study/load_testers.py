"""Load testers: the command of each that runs a :class:`solver.study.measure.LoadTest` against a server.

Every one keeps a number of requests in flight, all of the same lengths, to their last token, and writes what it saw into a
file beside itself. Options are those of vLLM 0.32, SGLang 0.5.23, TensorRT-LLM 1.2, aiperf 0.14 and GuideLLM 0.5.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from solver.study.measure import LoadTest

#: Variables of a script: where the server is, and what it serves.
URL, MODEL = '"${URL:-http://127.0.0.1:8000}"', "$MODEL"


def _vllm(test: LoadTest) -> list[str]:
    return [
        *("vllm bench serve --backend openai --endpoint /v1/completions", f"--base-url {URL} --model {MODEL}"),
        *("--dataset-name random --ignore-eos", *_random(test)),
        *("--percentile-metrics ttft,tpot,itl,e2el --metric-percentiles 50,95", "--save-result --result-filename vllm.json"),
    ]


def _sglang(test: LoadTest) -> list[str]:
    return [
        *("python3 -m sglang.bench_serving --backend vllm", f"--base-url {URL} --model {MODEL}"),
        *("--dataset-name random --random-range-ratio 1", *_random(test), "--output-file sglang.jsonl"),
    ]


def _trtllm(test: LoadTest) -> list[str]:
    return [
        *("python3 -m tensorrt_llm.serve.scripts.benchmark_serving --backend openai --endpoint /v1/completions",),
        *(f"--base-url {URL} --model {MODEL}", "--dataset-name random --random-ids --ignore-eos", *_random(test)),
        *("--percentile-metrics ttft,tpot,itl,e2el --metric-percentiles 50,95", "--save-result --result-filename trtllm.json"),
    ]


def _aiperf(test: LoadTest) -> list[str]:
    return [
        *("aiperf profile --endpoint-type completions --streaming", f"--url {URL} --model {MODEL}"),
        f"--synthetic-input-tokens-mean {test.prompt_tokens} --synthetic-input-tokens-stddev 0",
        f"--output-tokens-mean {test.output_tokens} --output-tokens-stddev 0 --extra-inputs ignore_eos:true",
        f"--concurrency {test.concurrency} --request-count {test.requests} --profile-export-file aiperf.json",
    ]


def _guidellm(test: LoadTest) -> list[str]:
    return [
        f"guidellm benchmark --target {URL} --model {MODEL}",
        f"--rate-type concurrent --rate {test.concurrency} --max-requests {test.requests}",
        f"--data {shlex.quote(f'prompt_tokens={test.prompt_tokens},output_tokens={test.output_tokens}')}",
        "--output-path guidellm.json",
    ]


def _random(test: LoadTest) -> tuple[str, str]:
    """Lengths and load, as the benchmarks that descend from vLLM's have them."""
    return (
        f"--random-input-len {test.prompt_tokens} --random-output-len {test.output_tokens}",
        f"--num-prompts {test.requests} --max-concurrency {test.concurrency}",
    )


#: By name, what a tester is told.
TESTERS: Mapping[str, Callable[[LoadTest], list[str]]] = {
    "vllm": _vllm,
    "sglang": _sglang,
    "trtllm": _trtllm,
    "aiperf": _aiperf,
    "guidellm": _guidellm,
}


def script(test: LoadTest, tester: str, model: str) -> str:
    """The shell script of a tester.

    Parameters
    ----------
    model: what the server was started with, where ``MODEL`` says nothing else.
    """
    command = " \\\n  ".join(TESTERS[tester](test))
    return "\n".join(
        (
            "#!/usr/bin/env bash",
            f"# {test.layout}: {test.concurrency:,} requests in flight, {test.requests:,} in all.",
            "set -euo pipefail",
            'cd "$(dirname "$0")"',
            f"MODEL=${{MODEL:-{shlex.quote(model)}}}",
            command,
            "",
        )
    )
