"""Numbered lines of a text file in bounded memory."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from solver.errors import BadFile
from solver.traces.tally import Tally

#: A request with a million block hashes takes about this much [bytes].
LONGEST_LINE = 8 * 1024**2
#: Bytes between two calls of the progress callback.
STRIDE = 1024**2

#: Called with the bytes read so far and the size of the file.
Progress = Callable[[int, int], None]


def numbered(path: Path, tally: Tally, progress: Progress | None) -> Iterator[tuple[int, str]]:
    """Lines that are not blank, with their numbers from 1; those too long or not UTF-8 go to the tally.

    Raises
    ------
    BadFile: the file cannot be read, or has no end.
    """
    done, told = 0, 0
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISCHR(status.st_mode):
                raise BadFile(f"{tally.name}: is a device, which may have no end; a trace is a file or a pipe")
            size = status.st_size
            for number, raw in enumerate(iter(lambda: file.readline(LONGEST_LINE), b""), 1):
                done += len(raw)
                if progress and done - told >= STRIDE:
                    told = done
                    progress(done, max(size, done))
                line: bytes | None = raw
                while raw and len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                    line, raw = None, file.readline(LONGEST_LINE)
                    done += len(raw)
                text = _decoded(line, number, tally)
                if text:
                    yield number, text
    except OSError as error:
        raise BadFile(f"{tally.name}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BadFile(f"{tally.name}: cannot be read: {error}") from None
    if progress:
        progress(done, done)


def _decoded(line: bytes | None, number: int, tally: Tally) -> str:
    """The text of a line without its end; empty if it is blank or broken."""
    if line is None:
        tally.lines += 1
        tally.mark(number, f"longer than {LONGEST_LINE // 1024**2} MiB")
        return ""
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").strip()
    except UnicodeDecodeError:
        tally.lines += 1
        tally.mark(number, "not UTF-8 text")
        return ""
