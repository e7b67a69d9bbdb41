"""Closed forms of the tiers: published vectors, the laws behind them, and bad input."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from solver.economics import hold_times
from solver.economics.cache_prices import CachePrices, listed
from solver.economics.capacity import balanced_kv_bytes
from solver.economics.hold_times import Tier, break_even_s, recompute_break_even_s
from solver.economics.roofline import balance_ratio, prefill_s
from solver.errors import BadInput


def drain(given: dict[str, Any]) -> dict[str, Any]:
    return {"t_s": Tier("tier", 0.0, given["capacity"], given["bw"]).drain_s}


def context(given: dict[str, Any]) -> dict[str, Any]:
    ratio = balance_ratio(given["flops"], given["bw"], 1)
    return {"ctx": balanced_kv_bytes(given["N_active"], 1, ratio) / given["kv_bytes_per_token"]}


def recompute(given: dict[str, Any]) -> dict[str, Any]:
    each = prefill_s(given["N_active"], 1, 1, given["flops"], given["mfu"])
    return {
        "remat_s_per_token": each,
        "T_star_s": hold_times.recompute_against_hbm_s(each, given["hbm"], given["kv_bytes_per_token"]),
    }


def reads(given: dict[str, Any]) -> dict[str, Any]:
    short, long = (CachePrices(1.0, given[name], given["read"], 300.0) for name in ("write_5m", "write_1h"))
    return {
        "n_5m": short.break_even_reads,
        "n_1h": long.break_even_reads,
        "reads_5m": short.reads_needed,
        "reads_1h": long.reads_needed,
    }


def implied(given: dict[str, Any]) -> dict[str, Any]:
    short = CachePrices(given["base"], given["write_5m"], 0.1 * given["base"], 300.0)
    long = CachePrices(given["base"], given["write_1h"], 0.1 * given["base"], 3600.0)
    hbm = Tier("HBM of an H100 at 2 USD/h", 2 / 3600, 80e9, 3.35e12)
    return {
        "usd_GBh_5m": [short.implied_usd_per_gb_hour(k) for k in given["kv_bytes"]],
        "usd_GBh_1h": [long.implied_usd_per_gb_hour(k) for k in given["kv_bytes"]],
        "hbm_h100_usd_GBh": hbm.hold_usd(1e9, 3600),
    }


def from_context(given: dict[str, Any]) -> dict[str, Any]:
    return {"k": [balanced_kv_bytes(given["N_active"], w, given["R"]) / given["ctx"] for w in given["bytes_per_weight"]]}


def rule(given: dict[str, Any]) -> dict[str, Any]:
    tier = Tier("tier", 1.0, given["C"], given["BW"])
    return {
        "hold_fraction_s": tier.hold_share_s(given["k"], given["T"]),
        "retrieve_fraction_s": tier.retrieve_share_s(given["k"]),
    }


VECTORS: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "tier.ctx_star_dsv3_h100_fp8": context,
    "tier.ctx_star_llama70b_h100_bf16": context,
    "tier.remat_vs_hbm": recompute,
    "tier.api_breakeven_reads": reads,
    "tier.api_implied_usd_per_GBh": implied,
    "tier.kv_from_200k": from_context,
    "tier.price_io_ratio": lambda given: {"decode_mfu": hold_times.decode_mfu(given["prefill_mfu"], given["ratio"])},
    "tier.drain_rule": rule,
    "tier.drain_ddr5_12ch": drain,
    "tier.drain_hdd_24tb": drain,
    "tier.drain_nvme_gen5_3p8tb": drain,
    "tier.drain_nvme_7g_15tb": drain,
}


def test_every_published_vector(shared_data: Path) -> None:
    records = json.loads((shared_data / "vectors.json").read_text(encoding="utf-8"))
    found = {r["id"]: r for r in records if r["id"].startswith("tier.")}
    assert found.keys() == VECTORS.keys()
    for name, record in found.items():
        ours = VECTORS[name](record["inputs"])
        for key, value in record["expected"].items():
            assert ours[key] == pytest.approx(value, rel=record["tolerance"]), f"{name}: {key}"


HBM, DRAM = Tier("HBM", 2 / 3600, 80e9, 3.35e12), Tier("DRAM", 0.25 / 3600, 2e12, 60e9)


def test_break_even_is_where_the_costs_meet() -> None:
    hold = break_even_s(HBM, DRAM, 1e9, (0.0, 2 / 3600))
    dear = HBM.hold_usd(1e9, hold) + HBM.retrieve_usd(1e9)
    cheap = DRAM.hold_usd(1e9, hold) + DRAM.retrieve_usd(1e9, 2 / 3600)
    assert dear == pytest.approx(cheap, rel=1e-12)
    assert break_even_s(DRAM, HBM) == math.inf


def test_the_price_of_the_device_cancels_in_hbm() -> None:
    each = prefill_s(37e9, 1, 1, 1979e12, 0.5)
    fast = Tier("HBM", 2 / 3600, 80e9, 1e30)
    dear = Tier("HBM", 20 / 3600, 80e9, 1e30)
    ours = recompute_break_even_s(fast, 70272, each, 2 / 3600)
    assert ours == pytest.approx(recompute_break_even_s(dear, 70272, each, 20 / 3600))
    assert ours == pytest.approx(hold_times.recompute_against_hbm_s(each, 80e9, 70272))


def test_reading_dearer_than_computing_is_never_worth_it() -> None:
    slow = Tier("tape", 1 / 3600, 1e12, 1e3)
    assert recompute_break_even_s(slow, 70272, prefill_s(37e9, 1, 1, 1979e12, 0.5), 2 / 3600) == 0.0


@pytest.mark.parametrize(
    ("fields", "named"),
    [((0.1, 0.0, 1e9), "capacity_bytes"), ((0.1, 1e12, 0.0), "bytes_per_s"), ((-1.0, 1e12, 1e9), "price")],
)
def test_a_tier_without_capacity_speed_or_price(fields: tuple[float, float, float], named: str) -> None:
    with pytest.raises(BadInput, match=named):
        Tier("flash", *fields)


def test_cache_prices_that_cannot_be() -> None:
    with pytest.raises(BadInput, match="more than a read"):
        CachePrices(1.0, 1.25, 1.5, 300.0)


def test_published_prices() -> None:
    pytest.importorskip("genai_prices")
    prices, _ = listed("claude-sonnet-4-5", "anthropic")
    assert (prices.write / prices.base, prices.read / prices.base) == pytest.approx((1.25, 0.1))
    assert prices.reads_needed == 1
    _, step = listed("gemini-2.5-pro", "google")
    assert step == 200_000
    with pytest.raises(BadInput, match="knows no model"):
        listed("no-such-model-at-all")
