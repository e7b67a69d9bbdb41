"""Stopping a solve: the first signal asks for what is known so far, the second ends the command."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from solver.optimize.arithmetic.run import Deadline

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(BaseException):
    """A signal came before there was a plan, or a second time.

    Attributes
    ----------
    status: exit status that tells the signal.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.status = 128 + number


class Interruption:
    """Whether a signal came: its number, or 0."""

    number = 0

    @property
    def status(self) -> int:
        """Exit status of a command that was stopped; 0 where it was not."""
        return 128 + self.number if self.number else 0


@contextmanager
def interruptible(clock: Deadline) -> Iterator[Interruption]:
    """While it lasts, a signal stops the clock if a layout is in hand."""
    told = Interruption()

    def handle(number: int, frame: FrameType | None) -> None:
        if told.number or not clock.in_hand:
            raise Interrupted(number)
        told.number = number
        clock.stop()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield told
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
