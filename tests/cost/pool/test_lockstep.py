"""Ranks that step together, against what enumeration says of a few lengths."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from solver.cost.pool.lockstep import Lockstep, RankGroup
from solver.cost.pool.prompts import Prefill

ONE = np.ones(1)
#: Two classes of two lengths each; a prompt takes as many seconds as it has tokens.
TOKENS = np.array([[1.0, 4.0], [2.0, 8.0]])
SHARE = np.array([[0.3, 0.2], [0.4, 0.1]])


def steps(chunk: float = 100.0, together: float = 1.0) -> Lockstep:
    mix: Any = SimpleNamespace(prompts=TOKENS)
    count = np.ceil(TOKENS / chunk)[None]
    return Lockstep.of(Prefill(TOKENS[None], TOKENS[None], count, SHARE), mix, ONE * chunk, ONE * together)


def test_the_slowest_of_three() -> None:
    values, weights = TOKENS.ravel(), SHARE.ravel()
    triples = list(itertools.product(range(4), repeat=3))
    for power, found in enumerate(
        (steps().slowest(3 * ONE).mean, steps().slowest(3 * ONE).square, steps().slowest(3 * ONE).cube), 1
    ):
        expected = sum(float(np.prod(weights[list(t)])) * max(values[list(t)]) ** power for t in triples)
        assert float(found[0]) == pytest.approx(expected)


def test_prompts_beside_another_rank() -> None:
    """On average as enumerated; ordered by length, every class has the same mean."""
    found, ranked = steps().beside(ONE)[0], steps().ranked(ONE)[0]
    for place in np.ndindex(2, 2):
        expected = float((np.maximum(TOKENS[place], TOKENS) * SHARE).sum())
        assert found[place] == pytest.approx(expected)
    weights = SHARE / SHARE.sum(axis=1, keepdims=True)
    assert (ranked * weights).sum(axis=1) == pytest.approx((found * weights).sum(axis=1))
    # As often as a class leaves by 4: its shorter prompts, half the mass that leaves then.
    assert ranked[0] == pytest.approx([2.3, 5.0])


def test_alone_nothing_takes_longer() -> None:
    zero = np.zeros(1)
    for chunk in (100.0, 3.0):
        assert steps(chunk).beside(zero)[0] == pytest.approx(TOKENS)
        assert steps(chunk).ranked(zero)[0] == pytest.approx(TOKENS)


def test_chunks_are_steps_of_their_own() -> None:
    """Prompts of 1, 4, 2 and 8 tokens in chunks of 3: steps of 3, 3 and 3 in part, of 1, 1, 2 and 2 at the ends."""
    weights = {3.0: 0.2 + 2 * 0.1, 1.0: 0.3 + 0.2, 2.0: 0.4 + 0.1}
    total = sum(weights.values())
    mean = sum(value * weight for value, weight in weights.items()) / total
    assert float(steps(3.0).slowest(ONE).mean[0]) == pytest.approx(mean)
    pairs = itertools.product(weights.items(), repeat=2)
    slowest = sum(max(a, b) * u * v for (a, u), (b, v) in pairs) / total**2
    assert float(steps(3.0).slowest(2 * ONE).mean[0]) == pytest.approx(slowest)


def test_lengths_of_many_prompts_even_out() -> None:
    one, four = (steps(together=m).slowest(ONE) for m in (1.0, 4.0))
    assert float(four.mean[0]) == pytest.approx(float(one.mean[0]), rel=1e-6)
    variances = [float(each.square[0] - each.mean[0] ** 2) for each in (one, four)]
    assert variances[1] == pytest.approx(variances[0] / 4, rel=0.05)


def test_means_of_many_lengths_lose_their_skew() -> None:
    """The slowest of four ranks of four prompts each, drawn one by one: their mean within 2 %, their variance within 20 %."""
    random = np.random.default_rng(1)
    drawn = random.choice(TOKENS.ravel(), p=SHARE.ravel(), size=(100_000, 4, 4)).mean(axis=2).max(axis=1)
    found = steps(together=4.0).slowest(4 * ONE)
    assert float(found.mean[0]) == pytest.approx(float(drawn.mean()), rel=0.02)
    assert float(found.square[0] - found.mean[0] ** 2) == pytest.approx(float(drawn.var()), rel=0.2)


def test_fullest_rank_has_whole_prompts() -> None:
    """Of prompts alike, five on four ranks of two places leave one rank with two, and eight all; one is alone."""
    shared: Any = dict.fromkeys(("mix", "chunk_tokens", "alone", "packed", "full"))
    group = RankGroup(ranks=4 * ONE, together=2 * ONE, steps=ONE, joined=4 * ONE, uneven=0 * ONE, **shared)
    for taken, fullest, active in ((1.0, 1.0, 1.0), (5.0, 2.0, 19 / 7), (8.0, 2.0, 4.0)):
        assert float(group.fullest(taken * ONE)[0]) == pytest.approx(fullest)
        assert float(group.active(taken * ONE)[0]) == pytest.approx(active)
