"""Plan files: what is written is read back, byte for byte; what does not belong is refused with its path."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from solver import BadInput
from solver.check import check
from solver.plan import Plan

RACKPLAN = Path(sys.executable).with_name("rackplan")
WORDS = ("llama-70b-16xh100", "--set", "cluster.nodes=1", "--requests-per-s", "4", "--seed", "7")


@cache
def solved(hash_seed: str) -> bytes:
    """A seeded plan, as a process with this hash seed writes it."""
    ran = subprocess.run(
        [RACKPLAN, "solve", *WORDS, "--json"], capture_output=True, check=True, env={"PYTHONHASHSEED": hash_seed}
    )
    return ran.stdout


def test_a_seeded_plan_is_the_same_bytes_whatever_the_hash_seed() -> None:
    assert solved("0") == solved("42")


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_bytes(solved("0"))
    plan = Plan.load(path)
    check(plan)
    plan.save(tmp_path / "again.json")
    assert Plan.load(tmp_path / "again.json") == plan


def test_the_published_schema_accepts_plans() -> None:
    published = json.loads(subprocess.run([RACKPLAN, "schema"], capture_output=True, check=True).stdout)
    jsonschema.validate(json.loads(solved("0")), published)


def put(path: str, value: Any) -> Callable[[dict[str, Any]], None]:
    *keys, last = path.split(".")

    def bend(content: dict[str, Any]) -> None:
        holder: Any = content
        for key in keys:
            holder = holder[int(key) if key.isdigit() else key]
        holder[last] = value

    return bend


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (put("surprise", 1), "surprise"),
        (put("pools.0.surprise", 1), "pools.0.surprise"),
        (put("pools.0.replicas", "two"), "pools.0.replicas"),
        (put("pools.0.replicas", 1.5), "pools.0.replicas"),
        (put("objective.gap", float("nan")), "objective.gap"),
        (put("schema_version", "9.0"), "schema_version"),
        (put("status", "perfect"), "status"),
    ],
)
def test_what_does_not_belong_is_refused(tmp_path: Path, bend: Callable[[dict[str, Any]], None], said: str) -> None:
    content = json.loads(solved("0"))
    bend(content)
    path = tmp_path / "bent.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput) as caught:
        Plan.load(path)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
