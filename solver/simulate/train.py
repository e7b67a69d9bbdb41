"""A replica as a process: a step leaves when the last one has arrived, and carries everybody who is ready."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from solver.simulate.requests import ServedRequest

if TYPE_CHECKING:
    import simpy

    from solver.simulate.meters import PoolMeter


@dataclass(frozen=True)
class Room:
    """HBM that a rank gives to KV caches, on the stage that fills up first.

    Attributes
    ----------
    bytes: room.
    sequence_bytes: of each sequence whatever its length; token_bytes: of each token of its context.
    sequences: most running sequences.
    kept_output, kept_tokens: share of what each of them has still to generate, and tokens besides, for which room is kept when
        another one is let in.
    """

    bytes: float
    sequence_bytes: float
    token_bytes: float
    sequences: int
    kept_output: float = 0.0
    kept_tokens: float = 0.0

    def needed(self, context: float) -> float:
        """Bytes of one sequence."""
        return self.sequence_bytes + self.token_bytes * context


class Train(ABC):
    """A replica (or one of its ranks) that steps whenever it has work.

    Steps in which nothing changes are taken at once: ``board`` says for how many steps the same sequences run on. Who
    gets ready in between interrupts, and boards at the end of the step in progress.

    Parameters
    ----------
    room: of each rank.
    meter: where it notes what it did.
    """

    def __init__(self, env: simpy.Environment, room: Room, meter: PoolMeter) -> None:
        self.env, self.room, self.meter = env, room, meter
        self.held: set[ServedRequest] = set()
        self._sleeping: simpy.Event | None = None
        self._cruising = False
        self._epoch = 0
        self.start()

    def start(self) -> None:
        """Begin to run, at first or after a failure."""
        self._process = self.env.process(self._run(self._epoch))

    def rouse(self) -> None:
        """Somebody is ready to board."""
        if self._sleeping is not None:
            event, self._sleeping = self._sleeping, None
            event.succeed()
        elif self._cruising:
            self._cruising = False
            self._process.interrupt()

    def fail(self) -> list[ServedRequest]:
        """Stop, and give up all requests held, in order of arrival."""
        self._epoch += 1
        self._sleeping, self._cruising = None, False
        lost = sorted(self.held, key=lambda request: request.arrival.time_s)
        self.held.clear()
        self.drop()
        return lost

    def _run(self, epoch: int) -> Generator[Any, Any, None]:
        from simpy import Interrupt

        env = self.env
        while True:
            steps, step_s = self.board()
            if not steps:
                self._sleeping = env.event()
                yield self._sleeping
                if epoch != self._epoch:
                    return
                continue
            begun = env.now
            self._cruising = steps > 1
            try:
                yield env.timeout(steps * step_s)
            except Interrupt:
                past = env.now - begun
                steps = min(math.floor(past / step_s) + 1, steps)
                yield env.timeout(max(steps * step_s - past, 0.0))
            if epoch != self._epoch:
                return
            self._cruising = False
            self.arrive(steps, step_s)

    @abstractmethod
    def board(self) -> tuple[int, float]:
        """Let aboard who is ready: for how many steps, of how many seconds each, nothing changes; (0, 0) = no work."""

    @abstractmethod
    def arrive(self, steps: int, step_s: float) -> None:
        """So many steps are over."""

    @abstractmethod
    def drop(self) -> None:
        """Forget all work."""


def later(env: simpy.Environment, delay_s: float, act: Callable[[], None]) -> None:
    """Do something after a while."""
    env.timeout(max(delay_s, 0.0)).callbacks.append(lambda _: act())
