"""Numbered lines of a text file, perhaps compressed by gzip, in bounded memory."""

from __future__ import annotations

import gzip
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO

from solver.errors import BadFile
from solver.traces.tally import Tally

#: A request with a million block hashes takes about this much [bytes].
LONGEST_LINE = 8 * 1024**2
#: Bytes between two calls of the progress callback.
STRIDE = 1024**2

#: Called with the bytes read so far and the size of the file.
Progress = Callable[[int, int], None]


#: Bytes that a compressed file may grow to for each of its own, beyond the first ``FREE_BYTES``.
MOST_GROWTH, FREE_BYTES = 200, 64 * 1024**2


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
            stream = _plain(file)
            for number, raw in enumerate(iter(lambda: stream.readline(LONGEST_LINE), b""), 1):
                done += len(raw)
                if stream is not file and done > FREE_BYTES and done > MOST_GROWTH * size:
                    raise BadFile(f"{tally.name}: grows to more than {MOST_GROWTH} times its size; unpack it first")
                if progress and done - told >= STRIDE:
                    told = done
                    progress(done, max(size, done))
                line: bytes | None = raw
                while raw and len(raw) == LONGEST_LINE and not raw.endswith(b"\n"):
                    line, raw = None, stream.readline(LONGEST_LINE)
                    done += len(raw)
                text = _decoded(line, number, tally)
                if text:
                    yield number, text
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadFile(f"{tally.name}: is not a whole gzip file: {error}") from None
    except OSError as error:
        raise BadFile(f"{tally.name}: cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise BadFile(f"{tally.name}: cannot be read: {error}") from None
    if progress:
        progress(done, done)


def _plain(file: BufferedReader) -> BinaryIO:
    """The file itself, or what it holds compressed."""
    return gzip.GzipFile(fileobj=file) if file.peek(2)[:2] == b"\x1f\x8b" else file  # type: ignore[return-value]


def whole_text(path: Path, most: int, name: str) -> str:
    """All text of a file that may be compressed.

    Raises
    ------
    BadFile: it cannot be read, is larger than ``most`` [bytes], or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            if stat.S_ISCHR(os.fstat(file.fileno()).st_mode):
                raise BadFile(f"{name}: is a device, which may have no end; a trace is a file")
            raw = _plain(file).read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise BadFile(f"{name}: is not a whole gzip file: {error}") from None
    except OSError as error:
        raise BadFile(f"{name}: cannot be read: {error.strerror}") from None
    if len(raw) > most:
        raise BadFile(
            f"{name}: a JSON document of more than {most // 1024**2} MiB; write it as JSON lines, one request a line"
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadFile(f"{name}: is not UTF-8 text") from None


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
