"""Surprises of measured runs teach those of replicas that share something with them, and nothing else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import topologies
from solver.cost import surprises
from solver.cost.cases import Case, Surprise
from solver.cost.surprises import (
    DRAWS,
    MECHANISM_SPREAD,
    Spreads,
    Surprises,
    known_surprises,
    packaged_surprises,
)
from solver.errors import BadFile
from solver.llm import LLM
from solver.replica import Parallelism, Setup

#: An engine's effect of 10 %, a layout's of 5 % and noise of 3 %, in every output.
SPREADS = Spreads({"engine": (0.1,) * 3, "size kind llm engine device weights": (0.05,) * 3}, (0.03,) * 3)
LLAMA, H100 = LLM.from_config("llama-3.1-8b"), topologies.device("h100")


def case(engine: str = "vllm", tp: int = 1, **setup: int) -> Case:
    shape = Parallelism(tp=tp, pp=setup.pop("pp", 1))
    return surprises.case(Setup("unified", engine, shape, **setup), LLAMA, H100)  # type: ignore[arg-type]


def test_a_run_moves_what_shares_its_effects_by_their_part_of_the_variance() -> None:
    known = Surprises([Surprise(case(), 0.2, 0.0, None)], SPREADS)
    whole = 0.1**2 + 0.05**2 + 0.03**2
    mean = known.mean([case(), case(tp=2), case("sglang")])[0]
    assert mean == pytest.approx([0.2 * (0.1**2 + 0.05**2) / whole, 0.2 * 0.1**2 / whole, 0.0])
    deviation = known.deviation([case(tp=2), case("sglang")])[0]
    assert deviation == pytest.approx([(whole - 0.1**4 / whole) ** 0.5, whole**0.5])


def test_repeats_teach_more_than_one_run_but_never_everything() -> None:
    once, often = (Surprises([Surprise(case(), 0.2, 0.0, 0.0, runs)], SPREADS) for runs in (1, 100))
    assert once.mean([case()])[0, 0] < often.mean([case()])[0, 0] < 0.2
    assert often.deviation([case()])[0, 0] == pytest.approx(0.03, rel=0.02), "the noise of the next run is left"


def test_draws_scatter_as_the_posterior_says() -> None:
    known = Surprises([Surprise(case(), 0.2, 0.0, 0.0), Surprise(case("sglang"), -0.1, 0.0, 0.0)], SPREADS)
    cases = [case(), case(tp=2), case("sglang", tp=2), case("trtllm")]
    drawn = known.draws(cases, "tpot")
    assert drawn.shape == (4, DRAWS)
    assert drawn.mean(axis=1) == pytest.approx(known.mean(cases)[0], abs=0.02)
    assert drawn.std(axis=1) == pytest.approx(known.deviation(cases)[0], rel=0.15)
    exact = known.covariance(cases[1:2] + cases[:1], 0)
    assert np.cov(drawn[1], drawn[0])[0, 1] == pytest.approx(exact[0, 1], abs=0.002)


def test_other_llms_narrow_but_do_not_move_an_unseen_one() -> None:
    other = replace(case(), llm="another")
    known = Surprises([Surprise(other, 0.2, 0.0, 0.0)], SPREADS)
    assert known.mean([case()])[0, 0] == 0
    assert known.mean([other])[0, 0] > 0.15
    assert known.draws([case()], "tpot").mean() == pytest.approx(0.0, abs=0.02)
    assert known.deviation([case()])[0, 0] < Surprises([], SPREADS).deviation([case()])[0, 0]


def test_draws_are_common_whoever_is_asked_about_with_whom() -> None:
    known = known_surprises()
    alone = known.draws([case(tp=2)], "tpot")[0]
    assert np.allclose(alone, known.draws([case("sglang"), case(tp=2)], "tpot")[1], atol=1e-12)
    assert np.allclose(alone, Surprises(known.seen, known.spreads).draws([case(tp=2)], "tpot")[0], atol=1e-12)


def test_a_mechanism_that_no_run_had_is_wide() -> None:
    plain, deep = known_surprises().deviation([case(tp=2), case(tp=2, pp=2)])[0]
    assert deep**2 >= plain**2 + 0.9 * MECHANISM_SPREAD[0] ** 2


def test_where_nothing_was_measured_less_is_known() -> None:
    measured = next(each.case for each in packaged_surprises() if each.runs > 3)
    unseen = replace(measured, llm="another", device="other", engine="none", release="", weights="int3")
    assert known_surprises().deviation([unseen])[0] > 1.3 * known_surprises().deviation([measured])[0]


def test_effects_and_noise_of_a_kind_are_as_wide_as_is_said() -> None:
    """Twice as wide on other vendors' devices, in deviation and in draws; what few runs had keeps its own spread."""
    widths = {"together": (1.0,) * 3, "apart": (1.0,) * 3, "elsewhere": (2.0,) * 3}
    known = Surprises([], replace(SPREADS, widths=widths))
    near, far = case(), replace(case(), vendor="AMD")
    assert known.deviation([far])[0] == pytest.approx(2 * known.deviation([near])[0])
    assert np.allclose(known.draws([far], "tpot", noisy=False), 2 * known.draws([near], "tpot", noisy=False))
    deep = [replace(each, mechanisms="pipeline") for each in (near, far)]
    more = known.deviation(deep)[0] ** 2 - known.deviation([near, far])[0] ** 2
    assert more == pytest.approx([MECHANISM_SPREAD[0] ** 2] * 2)
    # A run there says as much of its own kind as one here, and half as much of what is not wider.
    seen = Surprises([Surprise(far, 0.2, 0.0, None)], known.spreads)
    alike = Surprises([Surprise(near, 0.2, 0.0, None)], known.spreads)
    assert seen.mean([far])[0] == pytest.approx(alike.mean([near])[0])
    assert seen.mean([near])[0] == pytest.approx(alike.mean([near])[0] / 2)
    assert surprises.case(Setup("unified", "vllm", Parallelism()), LLAMA, topologies.device("mi300x")).width == 2
    assert surprises.case(Setup("decode", "vllm", Parallelism()), LLAMA, H100).width == 1


@pytest.mark.parametrize("row", [[], "x", [1] * 16, [*packaged_surprises()[0].plain()[:-1], 0]])
def test_what_is_no_surprise_is_refused(row: object) -> None:
    with pytest.raises(BadFile, match="a surprise is a list of"):
        Surprise.read(row, "ours.json")


def test_rows_are_read_back() -> None:
    for each in packaged_surprises()[:20]:
        assert Surprise.read(each.plain(), "x") == each
