"""Traffic: promises, reuse, idle times and lengths, by the arithmetic that they claim."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.errors import BadInput
from solver.workload import SLO, RequestClass, Scenario, Traffic, Users
from solver.workload.idle import Idle
from solver.workload.lengths import lengths
from solver.workload.scenario import Speculation


def chat(**changes: object) -> RequestClass:
    return RequestClass(
        **{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 2.0, **changes}
    )


def test_a_promise_stands_over_the_default() -> None:
    default = SLO(ttft_p95_s=2.0, tpot_p95_s=0.03)
    assert SLO(tpot_p95_s=0.01).over(default) == SLO(ttft_p95_s=2.0, tpot_p95_s=0.01)
    assert SLO().over(default) == default


def test_classes_with_one_promise_are_a_group() -> None:
    default, fast = SLO(tpot_p95_s=0.03), SLO(tpot_p95_s=0.01)
    mix = Traffic([chat(), chat(name="fast", slo=fast), chat(name="same", slo=SLO(tpot_p95_s=0.03))])
    assert [(slo, [c.name for c in members]) for slo, members in mix.groups(default)] == [
        (default, ["chat", "same"]),
        (fast, ["fast"]),
    ]
    assert (mix.requests_per_s, mix.output_tokens_per_s) == (6.0, 1200.0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reused_tokens": {"shared": 500, "private": 500}}, "at most 999 can be reused"),
        ({"reused_tokens": {"private": 10, "generated": 11}}, "11 generated tokens are more than the 10"),
        ({"longest_tokens": 1199}, "at least 1200"),
        ({"reused_tokens": {"private": 10}, "return_fraction": 0.5}, "give idle_s"),
        ({"idle_s": {"median": "2min", "p90": "1min"}}, "must not be below the median"),
        ({"idle_s": {"median": 1, "p90": 2, "returned": [[1, 0.5], [2, 0.4]]}}, "ages and shares must rise"),
        ({"idle_s": {"median": 1, "p90": 2, "returned": [[1, 0.5], [2, 0.9]]}}, "it must be 1"),
    ],
)
def test_what_cannot_be_is_said(changes: dict[str, object], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        chat(**changes)
    with pytest.raises(BadInput, match="two classes are named 'chat'"):
        Traffic([chat(), chat()])


IDLE = [
    Idle(median=60, p90=600),
    Idle(median=60, p90=60),
    Idle(median=60, p90=600, returned=((30, 0.3), (120, 0.8), (900, 1.0))),
]


@pytest.mark.parametrize("idle", IDLE, ids=["lognormal", "at once", "recorded"])
def test_time_away_is_the_integral_of_those_who_are_not_back(idle: Idle) -> None:
    ages = np.linspace(0.0, 900.0, 90_001)
    away = 1 - np.array([idle.returned_by(age) for age in ages])
    assert (np.diff(away) <= 1e-12).all()
    integral = np.r_[0.0, np.cumsum((away[1:] + away[:-1]) / 2 * np.diff(ages))]
    for place in (1000, 6000, 30_000, 90_000):
        assert idle.away_s(float(ages[place])) == pytest.approx(integral[place], rel=1e-3)


def test_quantiles_of_idle_time_are_those_that_were_given() -> None:
    assert IDLE[0].returned_by(60) == pytest.approx(0.5)
    assert IDLE[0].returned_by(600) == pytest.approx(0.9)
    assert IDLE[2].returned_by(75) == pytest.approx(0.55)


@given(st.floats(0.05, 3.0), st.floats(0.0, 20.0))
def test_lengths_have_their_mean_and_are_cut(cv: float, most: float) -> None:
    found = lengths(cv, most)
    assert found.mean_between(0.0, 1.0) == pytest.approx(1.0, rel=1e-6)
    parts = [found.mean_between(n / 10, (n + 1) / 10) for n in range(10)]
    assert np.mean(parts) == pytest.approx(1.0, rel=1e-6)
    assert parts == sorted(parts)
    assert parts[-1] <= found.most * (1 + 1e-9)
    assert found.most >= 1 + 2 * cv - 1e-9


def test_lengths_are_those_of_samples() -> None:
    """A million draws of the lognormal with its cut."""
    found = lengths(0.8)
    draws = np.sort(
        np.minimum(found.scale * np.exp(found.sigma * np.random.default_rng(1).standard_normal(10**6)), found.most)
    )
    for low, high in ((0.0, 0.5), (0.5, 0.9), (0.9, 1.0)):
        part = draws[int(low * 10**6) : int(high * 10**6)]
        assert found.mean_between(low, high) == pytest.approx(part.mean(), rel=0.01)


def test_drafts_that_are_accepted_multiply() -> None:
    given = Speculation(acceptance=(0.8, 0.5, 0.5))
    assert [given.accepted(n) for n in given.choices] == pytest.approx([1.0, 1.8, 2.2, 2.4])
    with pytest.raises(BadInput, match="needs as many acceptance probabilities"):
        Speculation(acceptance=(0.8,), draft_tokens=2)


def test_usual_requests_are_two_deviations_long() -> None:
    assert chat().usually_at_most == 1200
    assert chat(prompt_cv=0.5, output_cv=1.0).usually_at_most == 1000 * 2 + 200 * 3
    assert chat().context_tokens == 1100


def test_engines_in_question() -> None:
    content = {
        "llm": {"config": "llama-3.1-8b"},
        "cluster": {"builder": "hgx"},
        "traffic": {"classes": [chat().model_dump()]},
    }
    assert Scenario.from_mapping(content | {"engine": "vllm@0.32"}, "t").engine_version == "0.32"
    auto = Scenario.from_mapping(content | {"engine": "auto"}, "t")
    assert auto.engines == ("vllm", "sglang", "trtllm")
    pinned = {"pools": [{"role": "unified", "parallelism": {"tp": 1}, "engine": "sglang"}]}
    assert Scenario.from_mapping(content | {"engine": "auto", "constraints": pinned}, "t").engines == ("sglang",)


@given(
    count=st.integers(1, 5000),
    speed=st.floats(1, 300),
    think=st.floats(0, 600),
    output=st.integers(2, 3000),
    spare=st.floats(0, 0.9),
)
def test_a_loop_of_users_keeps_the_promised_time_where_a_plan_serves_their_rate(count, speed, think, output, spare) -> None:
    rate = Users(count=count, tokens_per_s=speed, think_s=think).requests_per_s(output)
    promised = (output - 1) / speed

    def answer_s(load: float) -> float:
        """Rises with the load, without end at a capacity above the rate; at the rate it is within the promise."""
        capacity = rate * (1 + spare) + 1e-9
        return promised * (1 - spare) * (1 - rate / capacity) / max(1 - load / capacity, 1e-12)

    low, high = 0.0, rate * (1 + spare)
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if middle * (think + answer_s(middle)) < count else (low, middle)
    assert answer_s(low) <= promised * (1 + 1e-6)


def test_users_become_a_rate_and_a_promise() -> None:
    people = {"count": 80, "tokens_per_s": 25, "think": "14s"}
    read = RequestClass("chat", prompt_tokens=2000, output_tokens=501, users=people, slo={"ttft_p95": "2s"})
    assert read.requests_per_s == pytest.approx(80 / (14 + 20))
    assert read.slo == SLO(ttft_p95_s=2.0, tpot_mean_s=0.04)
    assert RequestClass(**read.model_dump(by_alias=True)) == read
    with pytest.raises(BadInput, match="leave one out"):
        chat(users=people)
    with pytest.raises(BadInput, match="users: think: this key is missing"):
        RequestClass("chat", prompt_tokens=2000, output_tokens=500, users={"count": 80, "tokens_per_s": 25})
