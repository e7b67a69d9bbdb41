"""One list of tiers: nobody else spells a tier's name, and whoever uses a tier asks it where it lies."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from solver.plan import KVTier
from solver.workload.kv_tiers import BEYOND, TIERS, KVTierName

ROOT = Path(__file__).parents[2]
HOME = ROOT / "solver" / "workload" / "kv_tiers.py"
SOURCES = [path for package in ("solver", "topologies") for path in sorted((ROOT / package).rglob("*.py"))]


@pytest.mark.parametrize("path", [p for p in SOURCES if p != HOME], ids=lambda p: str(p.relative_to(ROOT)))
def test_no_string_is_a_tier_name(path: Path) -> None:
    names = {tier.name for tier in TIERS}
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and node.value in names:
            pytest.fail(f"{path}:{node.lineno}: {node.value!r} is a tier's name; use solver.workload.kv_tiers")


def test_tiers_are_in_order_and_every_one_has_its_field_in_the_plan() -> None:
    assert tuple(tier.name for tier in TIERS) == get_args(KVTierName)
    assert {tier.until_field for tier in TIERS} <= set(KVTier.model_fields)
    assert [tier.lies for tier in TIERS] == ["device", "host memory", "host storage", "shared storage"]
    assert all(tier.link for tier in BEYOND)
    assert all(tier.link is None for tier in TIERS if tier not in BEYOND)
    assert BEYOND[-1].usd_per_gb_hour({"flash_usd_per_GB_hour": 2.0}) == 2.0
    assert BEYOND[0].usd_per_gb_hour({}) is None
