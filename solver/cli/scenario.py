"""A scenario from a file or name, flags and settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from solver.cli.device import device_option, split_arguments
from solver.errors import BadInput
from solver.plan import Plan
from solver.workload import Scenario
from solver.workload.documents import parse_yaml
from solver.workload.files import override, packaged, put, read_content

EXAMPLE = f"Packaged scenarios: {', '.join(packaged())}."
_CLASS = {"name": "requests", "requests_per_s": 1.0}


def scenario_from(
    source: str | None, flags: Mapping[str, Any], settings: Sequence[str], running: Plan | None = None
) -> tuple[Scenario, Path]:
    """The scenario that a command line describes, and the folder from which its relative paths start.

    A plan that is named stands for its scenario.

    Parameters
    ----------
    running: a plan in force, whose scenario stands in where no other is named.

    Raises
    ------
    BadInput: a file that cannot be read, or a field that is wrong or missing.
    """
    content, folder = read_content(source) if source is not None else ({}, Path("."))
    if {"schema_version", "scenario"} <= content.keys() and isinstance(content["scenario"], dict):
        content = content["scenario"]
    if source is None and running is not None:
        source, content = "the plan's scenario", running.scenario.model_dump(mode="json", by_alias=True)
    whole = override(content, ())
    if any(key.startswith("traffic.classes.0.") for key in flags):
        traffic = whole.setdefault("traffic", {})
        if isinstance(traffic, dict) and not traffic.get("classes"):
            traffic["classes"] = [dict(_CLASS)]
    for key, value in flags.items():
        put(whole, key, cluster_spec(value) if key == "cluster" else value)
    whole = override(whole, settings)
    if source is None:
        missing = [f"--{key}" for key in ("llm", "cluster") if key not in whole]
        missing += [] if "traffic" in whole else ["--prompt-tokens", "--output-tokens"]
        if missing:
            raise BadInput(f"without a scenario these options are needed: {', '.join(missing)}; {EXAMPLE}")
    return Scenario.from_mapping(_with_trace(whole, folder), source or "command line"), folder


def _with_trace(content: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The content with traffic that names a trace replaced by its classes; a bar tells how far the reading is."""
    traffic = content.get("traffic")
    if not isinstance(traffic, dict) or "trace" not in traffic:
        return content
    from solver.cli.traffic import progress
    from solver.traces.embedding import with_classes

    with progress(Path(str(traffic["trace"]))) as report:
        return with_classes(content, folder, report)


def cluster_spec(text: str) -> dict[str, Any]:
    """``builder:argument=value,...`` or the path of a cluster file as the scenario writes it.

    >>> cluster_spec("nvl72:racks=2,device=gb200")
    {'builder': 'nvl72', 'racks': 2, 'device': 'gb200'}
    >>> cluster_spec("mine.json")
    {'file': 'mine.json'}
    """
    name, colon, arguments = text.partition(":")
    if not colon and ("." in name or "/" in name):
        return {"file": text}
    spec: dict[str, Any] = {"builder": name.strip()}
    for pair in split_arguments(arguments):
        key, equals, value = pair.partition("=")
        if not equals:
            raise BadInput(
                f"--cluster {text[:80]!r}: write builder:argument=value,..., for example hgx:nodes=4,device=h200"
            )
        where = f"--cluster {key.strip()[:40]}"
        spec[key.strip()] = device_option(value, where) if value.lstrip().startswith("{") else parse_yaml(value, where)
    return spec
