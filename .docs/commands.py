"""Prints what every command's ``--help`` says, as a page."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

from typer.main import get_command
from typer.testing import CliRunner

import solver.cli


def page() -> str:
    """Title, and each command with its help."""
    for module in pkgutil.iter_modules(solver.cli.__path__):
        importlib.import_module(f"solver.cli.{module.name}")  # each registers its commands
    return "\n".join(["# Commands\n", *_helps(get_command(solver.cli.app), ())])


def _helps(command: Any, words: tuple[str, ...]) -> Iterator[str]:
    """A command's heading and help, then those of the commands in it."""
    said = CliRunner().invoke(solver.cli.app, [*words, "--help"], prog_name="rackplan", catch_exceptions=False)
    yield f"## {' '.join(('rackplan', *words))}\n\n```text\n{said.stdout.strip()}\n```\n"
    for name, inner in sorted(getattr(command, "commands", {}).items()):
        yield from _helps(inner, (*words, name))


if __name__ == "__main__":
    print(page())
