"""One budget for all searches, which somebody can stop."""

from __future__ import annotations

import math
import random
import threading
import time

import pytest

from solver.optimize.arithmetic.integers import IntegerProgram, IntegerRow
from solver.optimize.arithmetic.run import Deadline, Effort, run


def hard(count: int = 300) -> IntegerProgram:
    """A knapsack of many dimensions that takes CP-SAT far longer than a test may."""
    rng = random.Random(count)
    terms = [tuple((n, rng.randint(100, 999)) for n in range(count)) for _ in range(25)]
    rows = tuple(IntegerRow("half", t, None, sum(f for _, f in t) // 2) for t in terms)
    goal = tuple((n, rng.randint(100, 999)) for n in range(count))
    return IntegerProgram(tuple(f"x{n}" for n in range(count)), ((0, 1),) * count, rows, goal, 1.0, True)


def test_a_stopped_clock_stops_the_search() -> None:
    clock = Deadline()
    threading.Timer(0.5, clock.stop).start()
    begin = time.monotonic()
    answer = run(hard(), Effort(clock=clock, workers=1))
    assert time.monotonic() - begin < 30
    assert answer.status in ("unknown", "feasible")
    assert run(hard(), Effort(clock=clock)).status == "unknown"


def test_parts_share_what_is_left() -> None:
    clock = Deadline(100.0)
    half = clock.part(0.5)
    assert half.left_s() == pytest.approx(50.0, abs=1.0)
    assert not half.spent()
    clock.stop()
    assert half.spent()
    assert half.left_s() == 0.0


def test_a_seeded_run_has_no_deadline_but_can_be_stopped() -> None:
    effort = Effort(time_limit_s=5.0, seed=1).started()
    assert effort.clock is not None
    assert effort.clock.left_s() == math.inf
    assert effort.started() is effort
    effort.clock.stop()
    assert effort.late
    assert effort.finishing().clock is None
