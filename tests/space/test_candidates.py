"""Candidates: what is legal, allowed and fits, and where everything else was dropped."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_fleet import CHAT, FLEET, VLLM, asked

import topologies
from solver.cost.calibration import packaged
from solver.cost.network.fleet import fleets
from solver.engines import engine_rules
from solver.engines.memory import MOST_FRACTION
from solver.llm import LLM
from solver.space.candidates import NO_LONGEST, NO_ROOM, candidates, startable
from solver.space.legality import Inquiry
from solver.space.shapes import most_replicas, shapes
from solver.workload import Constraints


@pytest.mark.parametrize("name", ["llama-3.1-70b", "qwen3-30b-a3b"])
def test_what_is_left_starts_and_fits(name: str) -> None:
    found, _ = asked(name)
    assert found is not None
    rows = [row for row in found.rows if not row.setup.overlap]
    assert len(rows) > 5
    assert not any(Inquiry(found.llm, VLLM, FLEET.device, [row.setup for row in rows]).refusals())
    assert all(most_replicas(FLEET, row.footprint) >= 1 for row in found.rows)
    assert (found.optimistic_limit > 0).all()
    assert (found.optimistic_limit >= found.limit - 1e-9).all()


def test_what_overlaps_starts_too() -> None:
    found, _ = asked("llama-3.1-70b")
    assert found is not None
    rows = [row.setup for row in found.rows if row.setup.overlap]
    assert not any(Inquiry(found.llm, VLLM, FLEET.device, rows).refusals())


def test_every_shape_is_kept_or_counted_where_it_was_dropped() -> None:
    """But for those that differ only in how they lie on hosts: of these the first legal one is kept."""
    found, dropped = asked("llama-3.1-70b")
    assert found is not None
    shaped = [shape.setup(VLLM, "decode") for shape in shapes(found.llm, FLEET)]
    kept = {replace(row.setup, chunk_tokens=shaped[0].chunk_tokens, overlap=False, stages=()) for row in found.rows}
    assert kept <= set(shaped)
    assert 0 < len(kept) < len(shaped) <= len(kept) + dropped.total()
    assert dropped[NO_ROOM] > 0


def test_the_user_s_limits_hold() -> None:
    found, dropped = asked("llama-3.1-8b", forbid=("pp",), max_tp=2)
    assert found is not None
    assert {row.setup.parallelism.pp for row in found.rows} == {1}
    assert max(row.setup.parallelism.tp for row in found.rows) == 2
    assert dropped["forbidden by constraints"] > 0


def test_an_llm_that_fits_nowhere_leaves_none_and_says_why() -> None:
    (small,) = fleets(topologies.hgx(nodes=1, device="h100", devices_per_host=4))
    found, dropped = asked("deepseek-v3", fleet=small)
    assert found is None
    assert dropped[NO_ROOM] > 0


def test_a_longer_context_leaves_fewer() -> None:
    short, _ = asked("llama-3.1-8b", longest=4096)
    long, dropped = asked("llama-3.1-8b", longest=2_000_000)
    assert short is not None
    assert dropped[NO_LONGEST] > 0
    assert long is None or len(long) < len(short)


def test_prompts_share_a_step_only_where_it_holds_them() -> None:
    found, _ = asked("llama-3.1-8b", role="prefill")
    assert found is not None
    for row in found.rows:
        prompts, chunk = row.setup.prompts_per_step, row.setup.chunk_tokens
        assert prompts == 1 or prompts * CHAT.longest_prompt <= chunk
    assert max(row.setup.prompts_per_step for row in found.rows) > 1


def test_rows_that_are_kept_keep_their_prices() -> None:
    found, _ = asked("llama-3.1-8b")
    assert found is not None
    mask = np.arange(len(found)) % 3 == 0
    kept = found.keep(mask)
    assert kept.rows == tuple(row for row, ok in zip(found.rows, mask, strict=True) if ok)
    assert np.array_equal(kept.limit, found.limit[mask])
    assert np.array_equal(kept.replicas.ledger.kv_room, found.replicas.ledger.kv_room[mask])


def test_where_memory_binds_engines_are_told_the_most_that_people_set() -> None:
    """DeepSeek-R1 on eight H20: SGLang's automatic reserve leaves tensor parallelism no room, 0.95 does."""
    llm, sglang = LLM.from_config("deepseek-r1"), engine_rules("sglang")
    fleet = fleets(topologies.hgx(nodes=1, device="h20"))[0]
    calibration = packaged("sglang", "hopper")[0]

    def fractions(told: float | None) -> set[float | None]:
        started = startable(llm, fleet, sglang, "unified", Constraints(), memory_fraction=told)
        found, _ = candidates(started, calibration, CHAT, Constraints(), 2048)
        rows = found.rows if found else ()
        return {row.setup.memory_fraction for row in rows if row.setup.parallelism.tp == 8}

    assert MOST_FRACTION in fractions(None)
    assert fractions(0.8) == set()
