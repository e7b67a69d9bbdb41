"""A solve in a process of its own, which can be ended at any moment: plan first, confirmation after."""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path
from threading import Thread

from solver.errors import RackplanError
from solver.live.messages import Message, Planned, Progressed, Refused
from solver.optimize.arithmetic.run import Effort
from solver.plan import Plan
from solver.workload import Scenario

#: Seconds that a process may take to end when asked.
PATIENCE_S = 2.0


class Job:
    """A scenario that is being solved.

    Parameters
    ----------
    effort: for the solve and its confirmation together, with a clock that does not run yet.
    told: called from a thread with every message; not after :meth:`cancel` has been called.
    """

    def __init__(self, scenario: Scenario, folder: Path, effort: Effort, told: Callable[[Message], None]) -> None:
        self._told, self._cancelled = told, False
        context = get_context("spawn")
        self._end, there = context.Pipe(duplex=False)
        content = scenario.model_dump_json(by_alias=True)
        self._process = context.Process(target=_work, args=(there, content, folder, effort), daemon=True)
        self._process.start()
        there.close()
        Thread(target=self._listen, daemon=True).start()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return not self._ended(within_s=0.0)

    def cancel(self) -> None:
        """End the process; what it has not told is lost."""
        self._cancelled = True
        self._process.terminate()
        if not self._ended(PATIENCE_S):
            self._process.kill()
            self._ended(within_s=None)

    def _ended(self, within_s: float | None) -> bool:
        """Whether the process ends within a time [s].

        Only the listener takes its exit status: of two threads that ask for it, one may be told that it still runs.
        """
        return bool(wait([self._process.sentinel], within_s))

    def _listen(self) -> None:
        """Pass on what the process tells, and say so if it ends in silence."""
        done = False
        while not done:
            try:
                message: Message = self._end.recv()
            except (EOFError, OSError):
                self._process.join()
                message = Refused(f"the search ended without an answer (exit status {self._process.exitcode})")
            done = isinstance(message, Refused) or (isinstance(message, Planned) and message.final)
            if not self._cancelled:
                self._told(message)
        self._end.close()
        self._process.join()


def starter(folder: Path, effort: Effort) -> Callable[[Scenario, Callable[[Message], None]], Job]:
    """What starts a job for a scenario and knows whom to tell."""
    return lambda scenario, told: Job(scenario, folder, effort, told)


def _work(end: Connection, content: str, folder: Path, effort: Effort) -> None:
    """What the process does. Ctrl-C in the terminal is for the server, which then ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with suppress(BrokenPipeError):  # the server is gone
        try:
            _solve(Scenario.model_validate_json(content), folder, effort, end.send)
        except RackplanError as error:
            end.send(Refused(str(error)))


def _solve(scenario: Scenario, folder: Path, effort: Effort, tell: Callable[[Message], None]) -> None:
    """Solve as ``rackplan solve`` does, and tell the plan before it is replayed and after.

    Raises
    ------
    NoPlan: there is none.
    """
    from solver.optimize.solve import solve_scenario
    from solver.study.confirm import Glance, confirm

    effort = effort.started()
    first = solve_scenario(
        scenario, replace(effort, progress=lambda best, bound: tell(Progressed(best, bound))), folder
    )
    tell(_planned(first.plan, final=False))
    glance = Glance() if effort.seed is None else Glance(cpu_s=None)
    tell(_planned(confirm(scenario, first, effort, folder, glance).plan, final=True))


def _planned(plan: Plan, final: bool) -> Planned:
    return Planned(plan.dumps(), final)
