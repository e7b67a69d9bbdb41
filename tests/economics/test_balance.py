"""The balance of arithmetic and memory: closed forms against the ideal engine, and published figures."""

from __future__ import annotations

import math

import numpy as np
import pytest

import topologies
from solver.cost.calibration import packaged
from solver.economics.balance import balance
from solver.economics.roofline import Serving
from solver.errors import BadInput
from solver.llm import LLM, names

BATCH = 1e7


@pytest.mark.parametrize("device", ["h100", "gb200", "mi355x"])
def test_closed_form_is_the_ideal_engine_for_every_llm(device: str) -> None:
    """Arithmetic and reading of a full batch agree within 2 % (they agree to rounding), MLA, indexers and states included."""
    hardware = topologies.device(device)
    for name in names():
        llm = LLM.from_config(name)
        context = min(4096, llm.max_context)
        closed, engine = Serving.of(llm, hardware, context=context), balance(llm, hardware, context)
        compute, memory, step = (float(part[0]) for part in engine.reading(np.array([BATCH])))
        assert closed.compute_s(BATCH) == pytest.approx(compute, rel=0.02), name
        assert closed.memory_s(BATCH) == pytest.approx(memory, rel=0.02), name
        # Blocks follow one another: a step is no shorter than the lecture's, and no longer than the sum of its two lines.
        assert closed.step_s(BATCH) <= step * (1 + 1e-9), name
        assert step <= closed.compute_s(BATCH) + closed.memory_s(BATCH), name


def test_step_is_the_lectures_where_one_line_is_far_above_the_other() -> None:
    llm, h100 = LLM.from_config("llama-3.1-70b"), topologies.device("h100")
    closed, engine = Serving.of(llm, h100), balance(llm, h100)
    for batch in (1.0, 16.0, 8192.0, 1e5):
        assert engine.reading(np.array([batch])).step_s[0] == pytest.approx(closed.step_s(batch), rel=0.02)


def test_dense_balance_is_three_hundred_tokens_on_hopper() -> None:
    """989e12 x 2 / (2 x 3.35e12) = 295 (scaling book, lecture: "about 300")."""
    found = balance(LLM.from_config("llama-3.1-70b"), topologies.device("h100")).batch
    assert found == pytest.approx(295, rel=0.01)


def test_sparse_balance_is_that_times_total_over_active() -> None:
    """fp8: 1979e12 / (2 x 3.35e12) x 671 / 37 = 5,357; bf16 attention rates and unread embeddings make it a little less."""
    found = balance(LLM.from_config("deepseek-v3"), topologies.device("h100"))
    assert found.batch == pytest.approx(5357, rel=0.06)
    assert found.disagreement() == ""


def test_mla_computes_where_the_lecture_only_read() -> None:
    """Absorbed MLA takes 2 h (2 kv + rope) / (kv + rope) FLOP per element, 241 per byte in bf16: below GB200's ridge of 312."""
    llm = LLM.from_config("deepseek-v3")
    bound = balance(llm, topologies.device("gb200"), 4000)
    assert bound.batch is not None
    assert bound.lecture.attention_flop > 2 * bound.lecture.active_parameters
    assert balance(llm.with_precision(kv_cache="fp8"), topologies.device("gb200"), 160000).batch is not None


def test_context_beyond_which_nothing_is_compute_bound() -> None:
    """Llama-3 70B on H100 in bf16: N w / (R k) = 1,437 tokens, somewhat more since attention computes too."""
    found = balance(LLM.from_config("llama-3.1-70b"), topologies.device("h100"), 8000)
    assert found.last_context == pytest.approx(1437, rel=0.05)
    assert found.batch is None
    assert math.isinf(found.lecture.crossover_batch)


def test_drain_and_third_roof() -> None:
    found = balance(LLM.from_config("deepseek-v3"), topologies.device("h100"))
    assert found.drain_s * 1e3 == pytest.approx(23.9, rel=0.01)
    assert found.third_roof is not None
    assert found.third_roof.shape.ep == 16
    assert found.third_roof.over_compute > balance(found.llm, topologies.device("gb200")).third_roof.over_compute


def test_kernels_move_the_balance_and_say_so() -> None:
    llm, h100 = LLM.from_config("llama-3.1-70b"), topologies.device("h100")
    measured = balance(llm, h100, calibration=packaged("vllm", "hopper")[0])
    assert "of the peaks' ratio" in measured.disagreement()
    assert balance(LLM.from_config("gpt-oss-120b"), h100, 1000).disagreement() == ""


def test_context_that_was_never_released() -> None:
    with pytest.raises(BadInput, match="released for"):
        balance(LLM.from_config("llama-3.1-70b"), topologies.device("h100"), 1e7)
