"""Reversible networks as ciphers: exact in integers, not in floats."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solver.errors import BadInput
from solver.training import activations, efficiency, feistel, links, network, schedules
from solver.training.coupling import ReversibleStack
from solver.training.feistel import Feistel


@pytest.mark.parametrize("module", [feistel, activations, efficiency, links, network, schedules])
def test_examples_hold(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]


@given(bits=st.integers(1, 31), rounds=st.integers(1, 12), data=st.data())
def test_every_word_comes_back(bits: int, rounds: int, data: st.DataObject) -> None:
    cipher = Feistel(bits, rounds)
    word = data.draw(st.integers(0, cipher.size - 1))
    assert cipher.decrypt(cipher.encrypt(word)) == word


@pytest.mark.parametrize("bits", [1, 3, 5])
def test_slots_are_a_permutation(bits: int) -> None:
    slots = Feistel(bits).permutation()
    assert sorted(slots) == list(range(4**bits))


def test_words_out_of_range_are_refused() -> None:
    with pytest.raises(BadInput, match="words go from 0 to 15"):
        Feistel(2).encrypt(16)
    with pytest.raises(BadInput, match="1 to 31 bits"):
        Feistel(0)


@given(depth=st.integers(4, 24), seed=st.integers(0, 1000))
def test_fixed_point_coupling_is_bit_exact_and_floats_drift(depth: int, seed: int) -> None:
    stack = ReversibleStack.random(depth, width=16, seed=seed)
    first, second = np.random.default_rng(seed + 1).normal(size=(2, 8, 16))
    inputs = stack.fixed(first), stack.fixed(second)
    outputs = stack.forward(*inputs)
    assert not np.array_equal(outputs[0], inputs[0])
    back = stack.backward(*outputs)
    assert all(np.array_equal(one, other) for one, other in zip(back, inputs, strict=True))
    assert stack.drift(first, second) > 0
