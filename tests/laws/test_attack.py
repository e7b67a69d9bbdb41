"""The standing attack: scenarios drawn at random, and for each other ways to ask that would show a false bound.

A minute of it here; as long as ``RACKPLAN_ATTACK_S`` says with ``pytest -m attack -n 0 -s tests/laws``, on other scenarios
each time.
"""

from __future__ import annotations

import json
import os
import random
import time
from pathlib import Path

import pytest
from attack import Violation, attack
from drawing import scenario


def shown(violation: Violation, folder: Path) -> str:
    """A violation as a person reads it, with its scenarios as files."""
    folder.mkdir(parents=True, exist_ok=True)
    stem = f"{violation.law.replace(' ', '-')[:40]}-{abs(hash(json.dumps(violation.scenario, sort_keys=True))) % 10**6}"
    files = [folder / f"{stem}.json"]
    files[0].write_text(json.dumps(violation.scenario))
    if violation.other is not None:
        files.append(folder / f"{stem}.other.json")
        files[1].write_text(json.dumps(violation.other))
    return f"{violation.law}: {violation.sentence} ({', '.join(map(str, files))})"


@pytest.mark.parametrize("seed", range(6))
def test_no_accepted_plan_lies_under_a_stated_bound(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    end = time.monotonic() + 10
    found = list(attack(scenario(rng), rng, seconds=5, time_left=lambda: time.monotonic() < end))
    assert [shown(violation, tmp_path) for violation in found] == []


@pytest.mark.attack
def test_an_attack_of_an_hour(tmp_path_factory: pytest.TempPathFactory) -> None:
    seconds = float(os.environ.get("RACKPLAN_ATTACK_S", "3600"))
    seed = int(os.environ.get("RACKPLAN_ATTACK_SEED", str(time.time_ns())))
    folder = tmp_path_factory.mktemp("attack")
    rng, end, found, drawn = random.Random(seed), time.monotonic() + seconds, [], 0
    while time.monotonic() < end:
        drawn += 1
        content = scenario(rng)
        for violation in attack(content, rng, seconds=10, time_left=lambda: time.monotonic() < end):
            found.append(shown(violation, folder))
            print(found[-1], flush=True)
    print(f"{drawn} scenarios from seed {seed}, {len(found)} violations")
    assert found == []
