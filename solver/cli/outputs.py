"""Places to write to, looked at before a long command starts rather than after it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from solver.errors import BadInput


def ready(outputs: Iterable[Path | None], inputs: Iterable[str | Path | None] = ()) -> None:
    """Check that files can be written where a command shall write them.

    Raises
    ------
    BadInput: a folder that does not exist or cannot be written to, or a file that is read or written twice.
    """
    read = {Path(source).resolve(): str(source) for source in inputs if source is not None and Path(source).is_file()}
    written: dict[Path, Path] = {}
    for output in outputs:
        if output is None:
            continue
        target = output.resolve()
        if target in read:
            raise BadInput(f"{output}: this file is read by the same command; write to another")
        if target in written:
            raise BadInput(f"{output}: two outputs would be written to this file")
        written[target] = output
        _writable(output, target)


def _writable(output: Path, target: Path) -> None:
    folder = target.parent
    if not folder.is_dir():
        there = next(parent for parent in folder.parents if parent.is_dir())
        raise BadInput(f"{output}: its folder does not exist; make it first (the nearest that exists is {there})")
    if target.is_dir():
        raise BadInput(f"{output}: is a folder; name a file in it, such as {output / 'plan.json'}")
    place = target if target.exists() and not target.is_file() else folder
    if not os.access(place, os.W_OK) or (target.exists() and not os.access(target, os.W_OK)):
        raise BadInput(f"{output}: cannot be written: permission denied")
