"""The command line. Results go to stdout, progress to stderr; exit status 0 done, 1 no plan or check
failed, 2 bad input, 3 a defect of rackplan, 128 + n stopped by signal n."""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

import typer

from solver.cli.app import app
from solver.cli.interrupt import Interrupted
from solver.errors import BadInput, RackplanError, SolverDefect

__all__ = ["app", "main"]

#: Exit status of a mistake of ours.
DEFECT = 3
#: The root of what a command line can get wrong, whichever library typer parses with.
_UsageError: type[Exception] = next(
    kind for kind in reversed(typer.BadParameter.__mro__) if hasattr(kind, "format_message")
)


def main() -> None:
    """Run a command; every error on purpose becomes one line."""
    # Matrices here are small: further threads of numpy's would only wait for each other.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from solver.cli import (  # noqa: F401 - each registers its commands
        balance,
        catalog,
        cluster,
        curve,
        diff,
        experts,
        explain,
        export,
        fidelity,
        init,
        judge,
        learn,
        measure,
        open,
        pipelines,
        predict,
        schema,
        simulate,
        solve,
        sweep,
        traffic,
        train,
        view,
        where,
        why_not,
    )

    try:
        status = app(standalone_mode=False)
        sys.stdout.flush()
    except BadInput as error:
        _fail(str(error), 2)
    except SolverDefect as error:
        _fail(f"this is a defect of rackplan, please report it: {error}", DEFECT)
    except RackplanError as error:
        _fail(str(error), 1)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except Interrupted as error:
        _fail("interrupted before there was a plan", error.status)
    except _UsageError as error:
        _fail(error.format_message(), 2)  # type: ignore[attr-defined]
    except BrokenPipeError:
        _silence()
        sys.exit(1)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            _defect(error)
        _silence()
        _fail(f"the output cannot be written: {error.strerror}", 2)
    except Exception as error:
        _defect(error)
    sys.exit(status if isinstance(status, int) else 0)


def _silence() -> None:
    """Nothing more can be printed: what is buffered goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _defect(error: Exception) -> NoReturn:
    if os.environ.get("RACKPLAN_TRACEBACK"):
        raise error
    _fail(
        f"this is a defect of rackplan, please report it: {type(error).__name__}: {error}; "
        "RACKPLAN_TRACEBACK=1 shows where",
        DEFECT,
    )


def _fail(message: str, status: int) -> NoReturn:
    print(f"rackplan: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
