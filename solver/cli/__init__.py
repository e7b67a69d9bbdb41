"""The command line. Results go to stdout, progress to stderr; exit status 0 done, 1 no plan or check failed, 2 bad input."""

from __future__ import annotations

import os
import sys

import typer

from solver.cli.app import app
from solver.errors import BadInput, RackplanError, SolverDefect

__all__ = ["app", "main"]

#: The root of what a command line can get wrong, whichever library typer parses with.
_UsageError: type[Exception] = next(
    kind for kind in reversed(typer.BadParameter.__mro__) if hasattr(kind, "format_message")
)


def main() -> None:
    """Run a command; every error on purpose becomes one line."""
    from solver.cli import (  # noqa: F401 - each registers its commands
        catalog,
        cluster,
        diff,
        experts,
        explain,
        export,
        fidelity,
        frontier,
        judge,
        pipelines,
        predict,
        simulate,
        solve,
        sweep,
        traffic,
        train,
        view,
        why_not,
    )

    try:
        status = app(standalone_mode=False)
    except BadInput as error:
        _fail(str(error), 2)
    except SolverDefect as error:
        _fail(f"this is a defect of rackplan, please report it: {error}", 1)
    except RackplanError as error:
        _fail(str(error), 1)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrupted", 130)
    except _UsageError as error:
        _fail(error.format_message(), 2)  # type: ignore[attr-defined]
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if os.environ.get("RACKPLAN_TRACEBACK"):
            raise
        _fail(
            f"this is a defect of rackplan, please report it: {type(error).__name__}: {error}; "
            "RACKPLAN_TRACEBACK=1 shows where",
            1,
        )
    sys.exit(status if isinstance(status, int) else 0)


def _fail(message: str, status: int) -> None:
    print(f"rackplan: {' '.join(message.split())}", file=sys.stderr)
    sys.exit(status)
