"""GLM-5 (sparse attention, 8 H200, SGLang 0.5.12, 7,373 prompt and 922 output tokens), as InferenceX published it in May 2026.

The runs drafted three tokens; how many were accepted they do not say, so that it is what is usual of DeepSeek-R1. Without the
gather of selected keys and the scores these were 13 to 23 % too short, the more the busier.
"""

from __future__ import annotations

import pytest

from solver.study.fidelity import Runs, packaged_for, predict
from solver.study.fidelity.runs import MeasuredRun

#: Requests in flight, and milliseconds per output token.
MEASURED = {4: 11.84, 8: 16.72, 16: 25.22, 32: 40.16}


def test_what_prompts_cost_the_others_is_what_was_measured() -> None:
    runs = Runs(
        "InferenceX",
        tuple(
            MeasuredRun(
                llm="glm-5", device="h200", engine="sglang", engine_version="0.5.12", precision="fp8", tp=8, moe_tp=8,
                prompt_tokens=7373, output_tokens=922, concurrency=concurrency, tpot_ms=tpot, draft_tokens=3,
            )
            for concurrency, tpot in MEASURED.items()
        ),
        (),
    )  # fmt: skip
    found = predict(runs, packaged_for(runs)[0])
    assert (found.tpot_s * 1e3).tolist() == pytest.approx(list(MEASURED.values()), rel=0.1)
