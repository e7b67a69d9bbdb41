"""Runs the command line in this process, as a shell would see it."""

from __future__ import annotations

import contextlib
import io
import sys
from dataclasses import dataclass

from solver.cli import main


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    status: int
    out: str
    error: str


def rackplan(*arguments: object) -> Ran:
    """Run ``rackplan`` with some arguments."""
    out, error, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["rackplan", *map(str, arguments)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    finally:
        sys.argv = before
    return Ran(status, out.getvalue(), error.getvalue())
