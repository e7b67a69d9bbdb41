"""Calibrations that know runs of one's own, as a file: the runs stay in it, so that later ones are taken with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from solver.cost.calibration import Calibration, calibrations_from_json
from solver.cost.instance import MOST_CALIBRATION
from solver.errors import BadFile
from solver.study.fidelity.measured import Family
from solver.study.fidelity.runs import MeasuredRun, recognised
from solver.study.learning.update import Learned
from solver.workload.fields import read_record
from solver.workload.files import parse_document, read_text


def content_of(found: Learned, start: Mapping[Family, Calibration]) -> dict[str, Any]:
    """What is written: the calibrations, the runs that they know, and what they started from where that was not packaged."""
    content: dict[str, Any] = {
        "calibrations": [cal.to_json() for _, cal in sorted(found.calibrations.items())],
        "runs": [run.model_dump(mode="json", exclude_defaults=True) for run in found.runs],
    }
    if start:
        content["started_from"] = [cal.to_json() for _, cal in sorted(start.items())]
    return content


def earlier(path: Path) -> tuple[dict[Family, Calibration], tuple[MeasuredRun, ...]]:
    """What such a file started from, and the runs that it knows; any other calibrations are started from themselves.

    Raises
    ------
    BadFile: not a file of calibrations.
    """
    content = parse_document(read_text(path, MOST_CALIBRATION), str(path))
    known = calibrations_from_json(content, str(path))
    if "runs" not in content:
        return known, ()
    rows, start = content["runs"], content.get("started_from", [])
    if not isinstance(rows, list) or not isinstance(start, list):
        raise BadFile(f"{path}: runs and started_from are lists, as rackplan learn writes them")
    runs = tuple(recognised(read_record(MeasuredRun, row, f"{path}: run {n}")) for n, row in enumerate(rows, 1))
    return calibrations_from_json({"calibrations": start}, str(path)), runs
