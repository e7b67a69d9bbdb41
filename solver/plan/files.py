"""Plans on disk."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from solver.errors import BadFile
from solver.plan.schema import SCHEMA_VERSION, Plan
from solver.workload.documents import parse_json
from solver.workload.fields import read_record
from solver.workload.files import MOST_BYTES, read_text
from topologies.writing import write_file


def dumps(plan: Plan) -> str:
    """The plan as JSON text: sorted as declared, floats in their shortest exact form."""
    return plan.model_dump_json(by_alias=True, indent=1) + "\n"


def save(plan: Plan, path: str | PathLike[str]) -> None:
    """Write a plan."""
    write_file(path, dumps(plan))


def load(path: str | PathLike[str]) -> Plan:
    """Read a plan strictly.

    Raises
    ------
    BadFile: no such file, not JSON, or not a plan of this major version.
    BadInput: a wrong key or value; names the path inside the file.
    """
    source = Path(path)
    content = parse_json(read_text(source, MOST_BYTES), str(source))
    version = content.get("schema_version") if isinstance(content, dict) else None
    if not isinstance(version, str):
        raise BadFile(f"{source}: not a plan: it has no schema_version; this rackplan writes version {SCHEMA_VERSION}")
    return read_record(Plan, content, str(source))
