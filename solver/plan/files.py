"""Files that say which version of a plan they hold."""

from __future__ import annotations

from os import PathLike
from pathlib import Path
from typing import Any

from solver.errors import BadFile
from solver.workload.documents import parse_json
from solver.workload.files import MOST_BYTES, read_text


def read(path: str | PathLike[str], version: str) -> dict[str, Any]:
    """The content of a plan's file, which names the version that wrote it.

    Parameters
    ----------
    version: that this rackplan writes, for the message.

    Raises
    ------
    BadFile: no such file, not JSON, or it names no version.
    """
    source = Path(path)
    content = parse_json(read_text(source, MOST_BYTES), str(source))
    if not isinstance(content, dict) or not isinstance(content.get("schema_version"), str):
        raise BadFile(f"{source}: not a plan: it has no schema_version; this rackplan writes version {version}")
    return content
