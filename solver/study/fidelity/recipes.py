"""How public collections of runs start their engines, where their records do not say.

Source: SemiAnalysisAI/InferenceX, ``benchmarks/dsr1_fp4_b200.sh``, ``dsr1_fp8_b200.sh`` and ``qwen3.5_fp8_b200.sh``: on B200
SGLang under attention tensor parallelism looks for new requests every 30 steps from 16 requests in flight on, else every 10,
with chunks of 32,768 tokens for DeepSeek in fp8 and of 16,384 else. aiconfigurator's silicon samples ran by these recipes.
DeepSeek-R1 with prefill and decode apart: ``recipes.json`` says how many sequences a decode rank was told to run, how many
tokens it drafted, chunks of prefill, and the format of the KV cache.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

#: Ids of runs that these recipes started.
_COLLECTIONS = re.compile(r"infmax-|infxapp-|silicon-|dsr1_|qwen3_5_|\d{4}_\d\d_\d\d_")
_LLMS = ("deepseek-r1", "deepseek-v3", "qwen3.5")
#: Requests in flight from which on SGLang is told to look more rarely, and the steps between two looks below and from there on.
_MANY, _POLL_STEPS = 16, (10, 30)
#: Lengths that recipes name, and the shares of them that were served: from 0.8 to 1, 0.9 on average.
_LENGTHS, _SERVED = (1024, 8192), (0.85, 1.0)


def as_started(run: Mapping[str, Any]) -> dict[str, int | str]:
    """What the recipe of a run tells the engine, by field; empty without a recipe.

    Parameters
    ----------
    run: fields of a :class:`~solver.study.fidelity.runs.MeasuredRun` by name.
    """
    if run["decode_tp"] is not None:
        return _apart_as_started(run)
    told = (
        (run["engine"], run["device"], run["dp"]) == ("sglang", "b200", 1)
        and not run["burst_arrival"]
        and run["llm"].startswith(_LLMS)
        and _COLLECTIONS.match(run["id"])
    )
    if not told:
        return {}
    large = run["llm"].startswith("deepseek") and run["precision"] == "fp8"
    return {"poll_steps": _POLL_STEPS[run["concurrency"] >= _MANY], "chunk_tokens": 32768 if large else 16384}


def _apart_as_started(run: Mapping[str, Any]) -> dict[str, int | str]:
    if not (run["llm"].startswith("deepseek") and _COLLECTIONS.match(run["id"])):
        return {}
    asked = (
        run["engine"],
        run["device"],
        run["precision"],
        *(_named(run[name]) for name in ("prompt_tokens", "output_tokens")),
        run["prefill_replicas"],
        (run["prefill_tp"] or 1) * run["prefill_dp"],
        run["decode_replicas"],
        run["decode_tp"] * run["decode_dp"],
        run["decode_dp"] > 1,
        run["draft_tokens"] != 0,
        run["concurrency"],
    )
    return dict(_recipes().get(asked, {}))


def _named(tokens: float) -> int:
    """The length that a recipe names, of which so many tokens were served; 0 for none."""
    return next((length for length in _LENGTHS if _SERVED[0] * length <= tokens <= _SERVED[1] * length), 0)


@cache
def _recipes() -> dict[tuple[object, ...], dict[str, int | str]]:
    """What recipes tell the engine, by what a run says of its deployment and load."""
    text = files(__package__).joinpath("recipes.json").read_text(encoding="utf-8")
    told = ("draft_tokens", "max_running", "chunk_tokens", "kv_cache")
    return {
        (*shape, drafts > 0, concurrency): dict(zip(told, (drafts, sequences, chunk, cache), strict=True))
        for *shape, drafts, sequences, chunk, cache, concurrencies in json.loads(text)["recipes"]
        for concurrency in concurrencies
    }
