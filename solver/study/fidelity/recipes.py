"""How public collections of runs start their engines, where their records do not say.

Source: SemiAnalysisAI/InferenceX, ``benchmarks/dsr1_fp4_b200.sh``, ``dsr1_fp8_b200.sh`` and ``qwen3.5_fp8_b200.sh``: on B200
SGLang under attention tensor parallelism looks for new requests every 30 steps from 16 requests in flight on, else every 10,
with chunks of 32,768 tokens for DeepSeek in fp8 and of 16,384 else. aiconfigurator's silicon samples ran by these recipes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

#: Ids of runs that these recipes started.
_COLLECTIONS = re.compile(r"infmax-|infxapp-|silicon-|dsr1_|qwen3_5_|\d{4}_\d\d_\d\d_")
_LLMS = ("deepseek-r1", "deepseek-v3", "qwen3.5")
#: Requests in flight from which on SGLang is told to look more rarely, and the steps between two looks below and from there on.
_MANY, _POLL_STEPS = 16, (10, 30)


def as_started(run: Mapping[str, Any]) -> dict[str, int]:
    """What the recipe of a run tells the engine, by field; empty without a recipe.

    Parameters
    ----------
    run: fields of a :class:`~solver.study.fidelity.runs.MeasuredRun` by name.
    """
    told = (
        (run["engine"], run["device"], run["dp"]) == ("sglang", "b200", 1)
        and run["decode_tp"] is None
        and not run["burst_arrival"]
        and run["llm"].startswith(_LLMS)
        and _COLLECTIONS.match(run["id"])
    )
    if not told:
        return {}
    large = run["llm"].startswith("deepseek") and run["precision"] == "fp8"
    return {"poll_steps": _POLL_STEPS[run["concurrency"] >= _MANY], "chunk_tokens": 32768 if large else 16384}
