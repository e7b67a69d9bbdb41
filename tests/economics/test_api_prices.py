"""List prices read backwards."""

from __future__ import annotations

import sys

import pytest

from solver.economics.api_prices import ListPrices, list_prices
from solver.economics.roofline import Serving, balance_ratio
from solver.errors import BadInput


def test_output_price_gives_the_batch_that_costs_so_much() -> None:
    llm = Serving(
        devices=8, flops=1e15, bytes_per_s=3e12, weight_bytes=5e11, active_parameters=3e10,
        kv_bytes_per_token=50e3, context=10e3,
    )  # fmt: skip
    batch = ListPrices(1.0, 5.0).batch_over_balance(llm.kv_slope_ratio) * llm.balance_batch
    assert llm.cost_over_floor(batch) == pytest.approx(5.0)


def test_step_gives_the_kv_bytes_of_the_balanced_context() -> None:
    prices = ListPrices(3.0, 15.0, 0.3, step=200_000)
    ratio = balance_ratio(1e15, 3e12, 1)
    kv = prices.kv_bytes_per_token(1e11, ratio, 1)
    llm = Serving(
        devices=1, flops=1e15, bytes_per_s=3e12, weight_bytes=1e12, active_parameters=1e11, kv_bytes_per_token=kv,
        context=200_000,
    )  # fmt: skip
    assert llm.kv_slope_ratio == pytest.approx(1.0)


def test_cache_reads_need_a_store_so_fast() -> None:
    """At a tenth of the price, loading may take a tenth of recomputing's time."""
    prices = ListPrices(3.0, 15.0, 0.3)
    rate = prices.store_bytes_per_s(70e3, 37e9, 1e15)
    assert 70e3 / rate == pytest.approx(0.1 * 2 * 37e9 / 1e15)


def test_prices_that_follow_no_cost_are_refused() -> None:
    with pytest.raises(BadInput, match="follows no cost"):
        ListPrices(1.0, 2.0).batch_over_balance(3.0)
    with pytest.raises(BadInput, match="no price for cached"):
        ListPrices(1.0, 2.0).store_bytes_per_s(1, 1, 1)
    with pytest.raises(BadInput, match="no step"):
        ListPrices(1.0, 2.0).kv_bytes_per_token(1, 1, 1)
    with pytest.raises(BadInput, match="cost something"):
        ListPrices(0.0, 2.0)


def test_absent_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "genai_prices", None)
    with pytest.raises(BadInput, match=r"pip install 'rackplan\[prices\]'"):
        list_prices("gpt-5")


def test_published_prices() -> None:
    pytest.importorskip("genai_prices", reason="needs the extra `prices`")
    found = list_prices("claude-sonnet-4-5", "anthropic")
    assert (found.output_over_input, found.cached_over_input) == (5, pytest.approx(0.1))
    assert found.step == 200_000
    assert found.input_beyond > found.input
    with pytest.raises(BadInput, match="knows no model"):
        list_prices("no-such-model-of-anyone")
