"""One sitting: the plans so far, the search that is under way, and what the browser is told of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Condition
from typing import Any, Literal, Protocol

from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.live.form import FormField, edited, fields
from solver.live.messages import Message, Planned, Progressed, Refused
from solver.plan import Plan
from solver.plan.diff import difference
from solver.plan.diff_words import words
from solver.view import html
from solver.workload import Scenario
from topologies.errors import one_line

Phase = Literal["ready", "solving", "confirming"]


class Cancellable(Protocol):
    """A search that is under way."""

    def cancel(self) -> None: ...


#: Starts the search for a scenario's plan, and knows whom to tell.
Start = Callable[[Scenario, Callable[[Message], None]], Cancellable]


@dataclass(frozen=True)
class Step:
    """A plan of the sitting.

    Attributes
    ----------
    before: the plan that was edited; None for the first one.
    fields: the form that goes with the plan.
    changes: what is different from the plan before, line by line.
    """

    plan: Plan
    before: Plan | None
    fields: tuple[FormField, ...]
    changes: tuple[str, ...]

    @classmethod
    def of(cls, plan: Plan, before: Plan | None, folder: Path) -> Step:
        """The step to a plan; relative paths in its scenario start at the folder."""
        changes = () if before is None else tuple(words(difference(before, plan)))
        return cls(plan, before, fields(plan, Instance.of(plan.scenario, folder)), changes)

    @cached_property
    def page(self) -> str:
        """The plan's page."""
        return html.render(self.plan)


class Session:
    """The plans of a sitting, newest last; an edit starts a search and ends the one before it.

    Parameters
    ----------
    folder: where relative paths in the scenario start.

    Raises
    ------
    BadInput: a file that the plan's scenario names is not there.
    """

    def __init__(self, plan: Plan, folder: Path, start: Start) -> None:
        self._steps = [Step.of(plan, None, folder)]
        self._folder, self._start = folder, start
        self._changed = Condition()
        self._version = self._shown = self._edits = 0
        self._job: Cancellable | None = None
        self._phase: Phase = "ready"
        self._since, self._progress, self._problem = 0.0, "", ""
        self.closed = False

    @property
    def step(self) -> Step:
        """The newest plan."""
        return self._steps[-1]

    @property
    def shown(self) -> int:
        """Number of the page to show; it grows with every plan, and with every edit that is taken back."""
        return self._shown

    def edit(self, texts: Mapping[str, str]) -> None:
        """Search for the plan of what the form says; a search for another one is ended.

        Raises
        ------
        BadInput: a wrong value; the plan, and a search that is under way, stay as they are.
        """
        step = self.step
        try:
            wanted = edited(step.plan.scenario, step.fields, texts, self._folder)
        except BadInput as error:
            with self._changed:
                self._say(problem=str(error))
            raise
        with self._changed:
            if wanted != self.step.plan.scenario:
                self._end()
                self._begin(wanted, self._edits)
            elif self._phase == "solving":
                self._end()
            self._say()

    def stop(self) -> None:
        """End the search that is under way, if any."""
        with self._changed:
            self._end()
            self._say()

    def undo(self) -> None:
        """Take the last edit back: the one that is searched for, or else the newest plan."""
        with self._changed:
            searching = self._phase == "solving"
            self._end()
            if not searching and len(self._steps) > 1:
                self._steps.pop()
            self._shown += 1
            self._say()

    def close(self) -> None:
        """End everything; whoever waits for news is told."""
        with self._changed:
            self.closed = True
            self._end()
            self._changed.notify_all()

    def after(self, version: int, wait_s: float) -> dict[str, Any] | None:
        """What there is to know, once it is newer than a version; None if nothing is new for so long [s]."""
        with self._changed:
            news = self._changed.wait_for(lambda: self._version > version or self.closed, wait_s)
            return self._state() if news and not self.closed else None

    def _begin(self, wanted: Scenario, number: int) -> None:
        """Start the search of an edit."""
        self._phase, self._since = "solving", time.monotonic()
        self._job = self._start(wanted, lambda message: self._take(number, message))

    def _end(self) -> None:
        """End the search; what it may still tell is of an edit that no longer counts."""
        self._edits += 1
        if self._job is not None:
            self._job.cancel()
        self._job, self._phase = None, "ready"

    def _say(self, progress: str = "", problem: str = "") -> None:
        self._progress, self._problem = progress, problem
        self._version += 1
        self._changed.notify_all()

    def _take(self, number: int, message: Message) -> None:
        """Take in what the search of an edit tells, if that edit is still the latest."""
        step = self._step_to(message) if isinstance(message, Planned) else None
        with self._changed:
            if number != self._edits:
                return
            if isinstance(message, Progressed):
                self._say(_told(message, time.monotonic() - self._since), self._problem)
            elif isinstance(message, Refused):
                self._job, self._phase = None, "ready"
                self._say(problem=one_line(message.because))
            elif step is not None:
                self._show(step, message.final)

    def _step_to(self, message: Planned) -> Step:
        """The step to a new plan; one that was confirmed comes from where the one came from that was not yet."""
        before = self.step.before if self._phase == "confirming" else self.step.plan
        return Step.of(Plan.model_validate_json(message.text), before, self._folder)

    def _show(self, step: Step, final: bool) -> None:
        """Show a plan; one that was confirmed takes the place of the one that was not yet."""
        if self._phase == "confirming":
            self._steps.pop()
        self._steps.append(step)
        self._phase = "ready" if final else "confirming"
        self._job = None if final else self._job
        self._shown += 1
        self._say()

    def _state(self) -> dict[str, Any]:
        return {
            "version": self._version,
            "shown": self._shown,
            "phase": self._phase,
            "progress": self._progress,
            "problem": self._problem,
            "changes": list(self.step.changes),
            "fields": {entry.name: entry.text for entry in self.step.fields},
            "hints": {entry.name: entry.hint for entry in self.step.fields},
            "undo": self._phase == "solving" or len(self._steps) > 1,
        }


def _told(message: Progressed, seconds: float) -> str:
    """How far the search is, in a line.

    >>> _told(Progressed(1.25, 1.0), 3.2)
    '3 s: best 1.25, bound 1, gap 20.0%'
    """
    if not message.best:
        return f"{seconds:.0f} s: no layout yet, bound {message.bound:.4g}"
    gap = abs(message.bound - message.best) / max(abs(message.best), abs(message.bound))
    return f"{seconds:.0f} s: best {message.best:.4g}, bound {message.bound:.4g}, gap {gap:.1%}"
