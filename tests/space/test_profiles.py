"""Columns: bands that cover every count once, and prices that no member of a band falls below."""

from __future__ import annotations

import numpy as np
import pytest
from small_fleet import CHAT, FLEET, asked

from solver.cost.pool.mix import Mix
from solver.cost.pool.most import PricedRows, fullest
from solver.cost.pool.operating_point import WIDTH
from solver.cost.pool.promise import Promise
from solver.replica import Role
from solver.space.candidates import Candidate
from solver.space.profiles import SINGLE_COUNTS, bands, cells_of
from solver.space.shapes import most_replicas
from solver.workload import RequestClass
from solver.workload.measures import TPOT_P50, TPOT_P95, TTFT_P50, TTFT_P95, Measure

#: Some of its prompts are longer than the usual chunks.
LONG = {"name": "long", "prompt_tokens": 6900, "prompt_cv": 1.0, "output_tokens": 15, "requests_per_s": 1.0}


@pytest.mark.parametrize("most", [1, 2, SINGLE_COUNTS, SINGLE_COUNTS + 1, 1000])
def test_bands_cover_every_count_once(most: int) -> None:
    counted = [count for low, high in bands(most) for count in range(low, high + 1)]
    assert counted == list(range(1, most + 1))
    assert all(low == high for low, high in bands(min(most, SINGLE_COUNTS)))


def test_a_column_promises_what_its_candidate_serves() -> None:
    """Priced again, alone: at the fewest replicas of its band it serves the rate, and keeps the promise."""
    found, _ = asked("llama-3.1-8b", max_tp=2, forbid=("pp",))
    assert found is not None
    promise = Promise({TPOT_P95: 0.03})
    cells = cells_of(found, CHAT, promise, group=0)
    assert cells is not None
    offered = cells.columns([(cell, *band) for cell in range(len(cells)) for band in cells.bands(cell)])
    assert offered
    for column in offered:
        assert 0 < column.rate <= column.best_rate
        assert column.high <= most_replicas(FLEET, column.footprint)
        (row,) = [n for n, each in enumerate(found.rows) if each == column.candidate]
        one = fullest(
            "decode", found.replicas.rows(np.array([row])), np.array([float(column.low)]), CHAT, promise, found.limit[[row]],
            np.ones(1),
        )  # fmt: skip
        assert float(one.service.requests_per_s[0]) == pytest.approx(column.rate)
        assert column.wait <= 0.03 * (1 + 1e-9)
        # Both bound the same rate, each to the width of its own search.
        assert column.best_rate <= max(cells.reach) * (1 + 2e-3)
    assert len({(c.footprint, c.candidate.handover, c.low) for c in offered}) == len(offered)


@pytest.mark.parametrize("role", ["prefill", "decode", "unified"])
@pytest.mark.parametrize("llm", ["llama-3.1-8b", "gpt-oss-120b"])
def test_a_row_is_priced_alike_whatever_rows_are_beside_it(role: Role, llm: str) -> None:
    """Chunks that hold every prompt, and chunks that long prompts need several of, in one call and by themselves."""
    found, _ = asked(llm, role=role)
    assert found is not None
    mix = Mix.of([RequestClass.model_validate(LONG)])
    count, prompts = np.full(len(found), 2.0), np.array([float(row.setup.prompts_per_step) for row in found.rows])
    rows, load = np.arange(min(len(found), 40)), 0.7 if role == "prefill" else 3.0
    together = PricedRows(role, found.replicas, count, mix, prompts).at(rows, np.full(len(rows), load))
    for place, row in enumerate(rows):
        one = np.array([row])
        alone = PricedRows(role, found.replicas.rows(one), count[one], mix, prompts[one]).at(np.zeros(1, int), np.array([load]))
        assert alone.requests_per_s[0] == pytest.approx(together.requests_per_s[place], rel=1e-9)
        for measure in (TTFT_P95, TPOT_P95):
            assert alone.latency(measure)[0] == pytest.approx(together.latency(measure)[place], rel=1e-9)


@pytest.mark.parametrize(
    "limits",
    [{TPOT_P50: 0.012}, {TPOT_P95: 0.012}, {TPOT_P50: 0.012, TPOT_P95: 0.0125}, {TPOT_P50: 0.03, TTFT_P50: 0.2}],
    ids=str,
)
def test_a_band_holds_for_every_number_of_replicas_in_it(limits: dict[Measure, float]) -> None:
    """Of a larger pool, tails are shorter and medians longer; a good rate that its most replicas miss is not lost."""
    role: Role = "unified" if TTFT_P50 in limits else "decode"
    found, _ = asked("llama-3.1-8b", role=role, forbid=("pp",))
    assert found is not None
    promise = Promise(limits)
    cells = cells_of(found, CHAT, promise, group=0)
    assert cells is not None
    assert 1 in {cells.footprint(cell).devices for cell in range(len(cells))}
    for column in cells.columns([(cell, 1, most) for cell, most in enumerate(cells.most)]):
        (row,) = [n for n, each in enumerate(cells.alive.rows) if each == column.candidate]
        counts = np.arange(column.low, column.high + 1, dtype=float)
        rows = np.full(len(counts), row)
        every = fullest(
            role, cells.alive.replicas.rows(rows), counts, CHAT, promise, cells.alive.limit[rows], np.ones(len(counts))
        )
        assert (every.service.requests_per_s >= column.rate * (1 - 2 * WIDTH)).all()
        assert (every.service.requests_per_s <= column.best_rate * (1 + 2 * WIDTH)).all()


@pytest.mark.parametrize("role", ["decode", "unified"])
def test_latencies_grow_with_the_load_where_a_bound_is_priced(role: Role) -> None:
    """Of stages that are bounded over all cuts, too. Where that bound stands still, latencies vary less in a larger batch: 2 %
    less at most, or the load at which a promise breaks first would be far from the last that keeps it."""
    found, _ = asked("gpt-oss-120b", role=role)
    assert found is not None
    cells = cells_of(found, CHAT, Promise({TPOT_P95: 0.012}), group=0)
    assert cells is not None
    twin = cells.alive.optimistic
    assert twin.work.floor is not None
    loads = np.geomspace(1.0, 1000.0, 200)
    for row in range(len(twin)):
        rows = np.full(len(loads), row)
        every = PricedRows(role, twin.rows(rows), np.full(len(loads), 2.0), CHAT, np.ones(len(loads)))
        tpot = every.at(np.arange(len(loads)), loads).latency(TPOT_P95)[:, 0]
        assert (tpot >= 0.98 * np.maximum.accumulate(tpot)).all()


def _stands_in(row: Candidate, other: Candidate) -> bool:
    """Whether one could be taken for the other in any plan, however simple it is to be."""
    alike = [(r.footprint, r.handover, r.untried, r.pipelined) for r in (row, other)]
    return alike[0] == alike[1]


@pytest.mark.parametrize("role", ["prefill", "decode", "unified"])
def test_rows_that_are_not_priced_in_a_band_would_not_have_been_the_best_there(role: Role) -> None:
    found, _ = asked("llama-3.1-8b", role=role)
    assert found is not None
    promise = Promise({TTFT_P95: 1.0}) if role == "prefill" else Promise({TPOT_P95: 0.03, TTFT_P95: 2.0})
    cells = cells_of(found, CHAT, promise, group=0)
    assert cells is not None
    assert len(cells.alive) > len(cells)
    for column in cells.columns([(cell, *band) for cell in range(len(cells)) for band in cells.bands(cell)]):
        rows = [n for n, row in enumerate(cells.alive.rows) if _stands_in(row, column.candidate)]
        for optimistic, said in ((False, column.rate), (True, column.best_rate)):
            limit = cells.alive.optimistic_limit if optimistic else cells.alive.limit
            every = fullest(
                role,
                (cells.alive.optimistic if optimistic else cells.alive.replicas).rows(np.array(rows)),
                np.full(len(rows), float(column.high if optimistic else column.low)),
                CHAT,
                promise,
                limit[rows],
                np.array([float(cells.alive.rows[n].setup.prompts_per_step) for n in rows]),
            )
            best = max(every.reach) if optimistic else max(every.service.requests_per_s)
            # Rates of one row differ by the width of the bracket at most, bounds by that of the search for its peak.
            assert said == pytest.approx(best, rel=2e-3 if optimistic else 2 * WIDTH)
