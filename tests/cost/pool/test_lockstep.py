"""Ranks that step together, against what enumeration says of a few lengths."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from solver.cost.pool.lockstep import Lockstep
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
    assert float(four.mean[0]) == pytest.approx(float(one.mean[0]))
    variances = [float(each.square[0] - each.mean[0] ** 2) for each in (one, four)]
    assert variances[1] == pytest.approx(variances[0] / 4)
