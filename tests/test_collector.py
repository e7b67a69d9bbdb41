"""The search for reference cycles is seldom while a cluster is planned or checked, and as it was after."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from topologies.collector import SELDOM, seldom


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.set_threshold(*before)


def test_it_is_as_it_was_after_the_outermost() -> None:
    gc.set_threshold(701, 11, 12)
    with seldom():
        with seldom():
            assert gc.get_threshold() == SELDOM
        assert gc.get_threshold() == SELDOM
    assert gc.get_threshold() == (701, 11, 12)


def test_it_is_as_it_was_after_an_error() -> None:
    gc.set_threshold(701, 11, 12)
    with pytest.raises(RuntimeError), seldom():
        raise RuntimeError
    assert gc.get_threshold() == (701, 11, 12)


def test_who_switched_it_off_keeps_it_off() -> None:
    gc.set_threshold(0)
    with seldom():
        assert gc.get_threshold()[0] == 0
