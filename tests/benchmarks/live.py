"""How long somebody at the live page waits: for a plan's page, and after an edit for the new plan and its confirmation."""

from __future__ import annotations

from pathlib import Path
from time import monotonic

import pytest
from packaged_plans import SCENARIOS, solved

from solver.live.job import starter
from solver.live.session import Session
from solver.optimize.arithmetic.run import Effort

#: Seconds that a packaged scenario's page may take.
PAGE_S = 3.0
#: Longer than an edit takes [s].
LONG_S = 120.0


@pytest.mark.benchmark
def test_pages() -> None:
    pages = {}
    for name in SCENARIOS:
        session = _session(name)
        start = monotonic()
        assert session.step.page
        pages[name] = monotonic() - start
        print(f"{name}: page {pages[name]:.1f} s")
    assert max(pages.values()) < PAGE_S


@pytest.mark.benchmark
def test_edits() -> None:
    for name in SCENARIOS:
        planned, confirmed = waited(_session(name), {"slo.tpot_p95": "25ms"})
        print(f"{name}: after an edit the plan {planned:.1f} s, confirmed {confirmed:.1f} s")


def _session(name: str) -> Session:
    return Session(solved(name), Path("."), starter(Path("."), Effort()))


def waited(session: Session, texts: dict[str, str]) -> tuple[float, float]:
    """Seconds from an edit to its plan, and to the plan's confirmation."""
    start, version, planned = monotonic(), -1, None
    session.edit(texts)
    while True:
        state = session.after(version, LONG_S)
        assert state is not None
        version = state["version"]
        if state["phase"] != "solving" and planned is None:
            planned = monotonic() - start
        if state["phase"] == "ready":
            assert planned is not None
            return planned, monotonic() - start
