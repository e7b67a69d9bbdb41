"""One live line on stderr: what is known so far; silent where stderr is not a terminal."""

from __future__ import annotations

import time
from types import TracebackType
from typing import IO, Any

#: Seconds before the line appears: most solves are over by then.
PATIENCE_S = 1.0


class Live:
    """A context in which calls with (incumbent, bound) keep one line up to date."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._line: Any = None
        self._start = time.monotonic()

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._line is not None:
            self._line.stop()

    def __call__(self, incumbent: float | None, bound: float) -> None:
        if not self._stream.isatty() or time.monotonic() - self._start < PATIENCE_S:
            return
        if self._line is None:
            from rich.console import Console
            from rich.status import Status

            self._line = Status("", console=Console(file=self._stream))
            self._line.start()
        found = "no layout yet" if incumbent is None else f"best {incumbent:.6g}"
        gap = "" if not incumbent else f", gap {abs(bound - incumbent) / max(abs(incumbent), abs(bound)):.2%}"
        self._line.update(f"{time.monotonic() - self._start:.0f} s: {found}, bound {bound:.6g}{gap}")
