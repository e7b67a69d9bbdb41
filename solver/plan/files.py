"""Records of one version on disk."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from solver.errors import BadFile, BadInput
from solver.workload.documents import parse_json
from solver.workload.files import MOST_BYTES, read_text


def write(text: str, path: str | PathLike[str]) -> None:
    """Write a text file.

    Raises
    ------
    BadInput: it cannot be written.
    """
    target = Path(path)
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{target}: cannot be written: {error.strerror}") from None


def read(path: str | PathLike[str], version: str) -> dict[str, Any]:
    """The content of a file that says which version of a plan it holds.

    Raises
    ------
    BadFile: no such file, not JSON, or it names no version.
    """
    source = Path(path)
    content = parse_json(read_text(source, MOST_BYTES), str(source))
    if not isinstance(content, dict) or not isinstance(content.get("schema_version"), str):
        raise BadFile(f"{source}: not a plan: it has no schema_version; this rackplan writes version {version}")
    return content
