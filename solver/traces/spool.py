"""Columns set aside on disk between the two passes, so that a file is parsed once and memory stays bounded.

The first pass writes 30 bytes a request and 18 a stay; small traces stay in memory. The folder is the system's
temporary one: where that is itself held in memory, set TMPDIR to a disk before a trace of tens of millions of lines.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from solver.errors import BadFile

#: Bytes held in memory before a column goes to disk.
MEMORY_BYTES = 16 * 1024**2
#: Rows read back at once.
ROWS = 16_384

#: One request and what it found.
REQUEST = np.dtype(
    [
        ("arrival_s", "f8"),
        ("prompt", "u4"),
        ("output", "u4"),
        ("shared", "u4"),
        ("private", "u4"),
        ("idle_s", "f4"),
        ("label", "u2"),
    ]
)


class Spool:
    """Rows of one type, appended and then read back in order any number of times."""

    def __init__(self, dtype: np.dtype[np.void]) -> None:
        self._dtype = dtype
        self._file = tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES)  # noqa: SIM115, closed by __exit__
        self.rows = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def append(self, table: NDArray[np.void]) -> None:
        """Set rows (n,) aside.

        Raises
        ------
        BadFile: the temporary folder is full or missing.
        """
        try:
            self._file.write(table.tobytes())
        except OSError as error:
            raise BadFile(
                f"the temporary folder cannot hold the trace's columns ({error.strerror} after {self.rows:,} rows of "
                f"{self._dtype.itemsize} bytes); set TMPDIR to a disk with more room"
            ) from None
        self.rows += len(table)

    def chunks(self, rows: int = ROWS) -> Iterator[NDArray[np.void]]:
        """All rows, at most ``rows`` at once."""
        self._file.seek(0)
        while raw := self._file.read(rows * self._dtype.itemsize):
            yield np.frombuffer(raw, self._dtype)
