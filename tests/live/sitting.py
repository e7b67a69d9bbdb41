"""A sitting over a small plan, with searches that a test answers itself or with real ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import plans
from packaged_plans import solved

from solver.live.job import starter
from solver.live.messages import Message
from solver.live.session import Session
from solver.optimize.arithmetic.run import Effort
from solver.plan import Plan
from solver.workload import Scenario

#: The same plan in every run.
SEEDED = Effort(seed=1)
RATE = "traffic.classes.0.requests_per_s"
#: Longer than any search here takes [s].
LONG_S = 90.0


def real() -> Session:
    """A sitting whose searches are made, in processes of their own."""
    return Session(solved(plans.SMALL), Path("."), starter(Path("."), SEEDED))


class Search:
    """A search that says what the test makes it say."""

    def __init__(self, scenario: Scenario, told: Callable[[Message], None]) -> None:
        self.scenario, self.tell, self.cancelled = scenario, told, False

    def cancel(self) -> None:
        self.cancelled = True


class Sitting:
    """A session, and the searches that it has started."""

    def __init__(self) -> None:
        self.searches: list[Search] = []
        self.session = Session(solved(plans.SMALL), Path("."), self._start)

    def _start(self, *about: Any) -> Search:
        self.searches.append(Search(*about))
        return self.searches[-1]

    @property
    def plan(self) -> Plan:
        return self.session.step.plan

    @property
    def state(self) -> dict[str, Any]:
        return now(self.session)


def now(session: Session) -> dict[str, Any]:
    """What a browser that has just come is told."""
    state = session.after(-1, 0.0)
    assert state is not None
    return state


def settled(session: Session) -> dict[str, Any]:
    """What a browser knows when nothing is under way any more."""
    state = now(session)
    while state["phase"] != "ready":
        following = session.after(state["version"], LONG_S)
        assert following is not None, f"no news for {LONG_S} s after {state}"
        state = following
    return state
