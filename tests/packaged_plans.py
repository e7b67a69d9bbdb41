"""Plans of the packaged scenarios, each solved once in a run of the tests, by whichever process needs it first."""

from __future__ import annotations

import fcntl
import tempfile
from functools import cache
from pathlib import Path

from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import Scenario
from solver.workload.files import packaged, read_content

SCENARIOS = packaged()
#: What the processes of one run share; gone after it, so that no plan outlives the solver that found it.
_shared: list[tempfile.TemporaryDirectory[str] | Path] = []


def share(folder: Path | None = None) -> Path:
    """The folder of this run; another process's, where one is given."""
    if not _shared:
        _shared.append(folder or tempfile.TemporaryDirectory(prefix="rackplan-tests-"))
    [held] = _shared
    return held if isinstance(held, Path) else Path(held.name)


@cache
def solved(name: str, engine: str | None = None) -> Plan:
    """The plan of a packaged scenario, for its own engine or another; the same in every run."""
    content, _ = read_content(name)
    scenario = Scenario.from_mapping({**content, **({"engine": engine} if engine else {})}, name)
    path = share() / f"{name}.{scenario.engine}.json"
    with path.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            solve_scenario(scenario, Effort(seed=1)).plan.save(path)
    return Plan.load(path)
