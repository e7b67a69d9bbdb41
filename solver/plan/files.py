"""Plans on disk."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path

from solver.errors import BadFile, BadInput
from solver.plan.schema import SCHEMA_VERSION, Plan
from solver.workload.fields import read_record

#: A plan of 10,008 devices takes about 5 MB; anything far beyond is not a plan.
MOST_BYTES = 512 * 1024**2


def dumps(plan: Plan) -> str:
    """The plan as JSON text: sorted as declared, floats in their shortest exact form."""
    return plan.model_dump_json(by_alias=True, indent=1) + "\n"


def save(plan: Plan, path: str | PathLike[str]) -> None:
    """Write a plan."""
    target = Path(path)
    try:
        target.write_text(dumps(plan), encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{target}: cannot be written: {error.strerror}") from None


def load(path: str | PathLike[str]) -> Plan:
    """Read a plan strictly.

    Raises
    ------
    BadFile: no such file, not JSON, or not a plan of this major version.
    BadInput: a wrong key or value; names the path inside the file.
    """
    source = Path(path)
    try:
        if source.stat().st_size > MOST_BYTES:
            raise BadFile(
                f"{source}: {source.stat().st_size / 1e6:.0f} MB is more than any plan; the limit is {MOST_BYTES / 1e6:.0f} MB"
            )
        content = json.loads(source.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadFile(f"{source}: cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise BadFile(f"{source}: not JSON: {str(error)[:120]}") from None
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, str):
        raise BadFile(f"{source}: not a plan: it has no schema_version; this rackplan writes version {SCHEMA_VERSION}")
    return read_record(Plan, content, str(source))
