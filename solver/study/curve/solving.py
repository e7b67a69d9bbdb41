"""Solves of many variants of one scenario: side by side in processes, each once, resumable from a journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path

from solver.errors import BadFile, SolverDefect
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.workload import Scenario
from solver.workload.fields import read_record
from solver.workload.files import read_text


@dataclass(frozen=True)
class Unserved:
    """Why a variant has no plan; ``proven`` where none can exist."""

    because: str
    proven: bool = False


Answer = Plan | Unserved


@dataclass
class Solves:
    """Answers by scenario.

    Attributes
    ----------
    folder: where relative paths in scenarios start.
    effort: of each solve; its workers are processes that solve side by side, one thread each.
    journal: file of answers, one JSON line each; it is continued, and answers of other scenarios in it are left alone.
    told: is told how many of how many are done whenever one is.
    """

    folder: Path = Path(".")
    effort: Effort = field(default_factory=Effort)
    journal: Path | None = None
    told: Callable[[int, int], None] = lambda done, of: None
    _known: dict[str, Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.journal is not None and self.journal.exists():
            self._known.update(_recorded(self.journal))

    def answers(self, scenarios: Sequence[Scenario]) -> list[Answer]:
        """The answer of every scenario, in their order: the cheapest plan, which alone moves evenly along a curve."""
        scenarios = [_for_the_least(scenario) for scenario in scenarios]
        keys = [_key(scenario) for scenario in scenarios]
        missing = {key: one for key, one in zip(keys, scenarios, strict=True) if key not in self._known}
        quiet = replace(self.effort, workers=1, progress=None)
        jobs = [(scenario, quiet, self.folder) for scenario in missing.values()]
        done = len(keys) - len(missing)
        for key, answer in zip(missing, _answers(jobs, min(self.effort.workers, len(jobs))), strict=True):
            self._known[key] = answer
            self._record(key, answer)
            done += 1
            self.told(done, len(keys))
        return [self._known[key] for key in keys]

    def _record(self, key: str, answer: Answer) -> None:
        if self.journal is None:
            return
        found = (
            {"plan": json.loads(answer.dumps())}
            if isinstance(answer, Plan)
            else {"because": answer.because, "proven": answer.proven}
        )
        try:
            with self.journal.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"key": key, **found}) + "\n")
        except OSError as error:
            raise BadFile(f"{self.journal}: cannot be written: {error.strerror}") from None


def _for_the_least(scenario: Scenario) -> Scenario:
    options = scenario.options.model_copy(update={"simplicity": 0.0})
    return scenario.model_copy(update={"options": options})


def _key(scenario: Scenario) -> str:
    return hashlib.sha256(scenario.model_dump_json(by_alias=True).encode()).hexdigest()[:24]


def _recorded(journal: Path) -> Iterator[tuple[str, Answer]]:
    """Answers of a journal; a last line that was cut off is left out.

    Raises
    ------
    BadFile: a line that is no answer.
    """
    lines = read_text(journal, 1 << 30).splitlines()
    for number, line in enumerate(lines):
        try:
            entry = json.loads(line)
            key = str(entry["key"])
            plan = entry.get("plan")
            if plan is None:
                yield key, Unserved(str(entry["because"]), bool(entry["proven"]))
                continue
        except (ValueError, KeyError, TypeError, AttributeError):
            if number == len(lines) - 1:
                return
            raise BadFile(f"{journal}: line {number + 1} is not an answer of a curve; use another journal") from None
        yield key, read_record(Plan, plan, f"{journal}: line {number + 1}")


def _answers(jobs: Sequence[tuple[Scenario, Effort, Path]], processes: int) -> Iterator[Answer]:
    if processes <= 1:
        yield from map(_answer, jobs)
        return
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(_answer, jobs)


def _answer(job: tuple[Scenario, Effort, Path]) -> Answer:
    """The plan of one variant, or why there is none: a hole in a curve must not cost the other points."""
    try:
        outcome = solve_scenario(*job)
    except SolverDefect as defect:
        return Unserved(f"a defect of rackplan: {defect}")
    return outcome.found or Unserved(outcome.reason, outcome.status == "infeasible")
