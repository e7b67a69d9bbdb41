"""The best load below the end of a bracket, on curves of every shape that requests/s have."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from solver.cost.pool.operating_point import PEAK_WIDTH, WIDTH, Bracket, best_load, smallest

Floats = NDArray[np.float64]


def hump(load: Floats, peak: float, plateau: float, rise: float) -> Floats:
    """Grows to 1 at the peak, falls to a plateau, and rises on it again by so much per factor e of load."""
    falls = (load / peak) * np.exp(1 - load / peak)
    return np.where(load < peak, falls, np.maximum(falls, plateau + rise * np.log1p(load / peak)))


@given(
    peak=st.floats(0.2, 3000), end=st.floats(1.5, 4000), plateau=st.floats(0.3, 0.9), rise=st.sampled_from([0.0, 1e-5, 1e-4])
)
def test_a_peak_before_a_plateau_is_found(peak: float, end: float, plateau: float, rise: float) -> None:
    load = np.array([peak * end])
    found = best_load(lambda rows, x: hump(x, peak, plateau, rise), Bracket(load, load * (1 + WIDTH)))
    loads = np.geomspace(load[0] / 65536, load[0], 100_000)
    most = hump(loads, peak, plateau, rise).max()
    assert hump(found.load, peak, plateau, rise)[0] >= most / (1 + 2 * PEAK_WIDTH)
    assert found.reach[0] >= most * (1 - 1e-9)


@given(peak=st.floats(0.2, 300), ends=st.tuples(st.floats(1.5, 4000), st.floats(1.5, 4000)), flat=st.floats(0.02, 1.0))
def test_whoever_looks_from_another_end_finds_as_much(peak: float, ends: tuple[float, float], flat: float) -> None:
    """Also where the top is wide and flat: the witness looks from another load than the search did."""
    found = []
    for end in ends:
        load = np.array([peak * end])
        best = best_load(lambda rows, x: hump(x, peak, 0.3, 0.0) ** flat, Bracket(load, load * (1 + WIDTH)))
        found.append(float(hump(best.load, peak, 0.3, 0.0)[0] ** flat))
    assert found[0] == pytest.approx(found[1], rel=2e-5)


@pytest.mark.parametrize("power", [0.3, 0.7, 1.0])
def test_what_always_grows_is_best_at_the_end(power: float) -> None:
    load = np.array([50.0])
    found = best_load(lambda rows, x: x**power, Bracket(load, load * (1 + WIDTH)))
    assert found.load[0] == 50.0


def test_a_limit_in_whole_sequences_is_as_good_as_any() -> None:
    whole = np.array([5])
    found = best_load(lambda rows, x: 10 * x / (1 + x), Bracket(whole, whole))
    assert found.load[0] == pytest.approx(5)
    assert found.reach[0] == pytest.approx(50 / 6)


@example(peak=2.0, share=0.9921875, beside=1.0)
@given(peak=st.floats(1e-3, 5.0), share=st.one_of(st.just(1.0), st.floats(0.3, 1.0)), beside=st.floats(0.1, 1.5))
def test_the_lightest_of_several_loads_that_serve_as_much(peak: float, share: float, beside: float) -> None:
    """A narrow hump before a higher hill: what the hump serves is served there, at its very top too, whatever is beside."""

    def rate(rows: NDArray[np.intp], load: Floats) -> Floats:
        return load / peak * np.exp(1 - load / peak) + np.maximum(load - 20 * peak, 0.0) / peak

    asked = np.array([share, beside])
    found = smallest(rate, asked, np.full(2, 1e-6), np.full(2, 100 * peak), 1e-9)
    assert 1e-6 < found[0] <= peak * 1.002
    assert rate(np.zeros(1, int), found[:1])[0] == pytest.approx(share, rel=2e-6)
    alone = smallest(rate, asked[:1], np.full(1, 1e-6), np.full(1, 100 * peak), 1e-9)
    assert found[0] == pytest.approx(alone[0], rel=1e-12)
