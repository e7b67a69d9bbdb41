"""A scenario from a file or name, flags and settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from solver.cli.device import device_option, split_arguments
from solver.errors import BadInput
from solver.plan import Plan
from solver.workload import SLO, Scenario
from solver.workload.documents import parse_yaml
from solver.workload.files import override, packaged, put, read_content
from topologies.units import show_seconds

EXAMPLE = f"Packaged scenarios: {', '.join(packaged())}."
#: Times that people write, and the parts of a scenario that hold them.
_TIMES = {*(field.alias for field in SLO.model_fields.values()), "think"}
_WITH_TIMES = ("slo", "traffic")
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
    planned = None
    if {"schema_version", "scenario"} <= content.keys() and isinstance(content["scenario"], dict):
        planned = content = content["scenario"]
    if source is None and running is not None:
        source, content = "the plan's scenario", running.scenario.model_dump(mode="json", by_alias=True)
        planned = content
    whole = override(content, ())
    if any(key.startswith("traffic.classes.0.") for key in flags):
        traffic = whole.setdefault("traffic", {})
        if isinstance(traffic, dict) and not traffic.get("classes"):
            traffic["classes"] = [dict(_CLASS)]
    for given, other in (("users", "requests_per_s"), ("requests_per_s", "users")):
        if f"traffic.classes.0.{given}" in flags:
            _drop(whole, other)
    for key, value in flags.items():
        put(whole, key, cluster_spec(value) if key == "cluster" else value)
    whole = override(whole, settings)
    if source is None:
        missing = [f"--{key}" for key in ("llm", "cluster") if key not in whole]
        missing += [] if "traffic" in whole else ["--prompt-tokens", "--output-tokens"]
        if missing:
            raise BadInput(f"without a scenario these options are needed: {', '.join(missing)}; {EXAMPLE}")
    if content is not planned:
        for told in bare_times(whole):
            print(f"rackplan: {told}", file=sys.stderr)
    return Scenario.from_mapping(_with_trace(whole, folder), source or "command line"), folder


def bare_times(content: Any, path: str = "") -> Iterator[str]:
    """A sentence for every promise or pause that a scenario gives without a unit: how it is read.

    >>> list(bare_times({"slo": {"tpot_p95": 30}}))
    ['slo.tpot_p95: 30 is read as 30 s']
    """
    if isinstance(content, dict):
        for key, value in content.items():
            here = f"{path}.{key}" if path else str(key)
            if key in _TIMES and isinstance(value, int | float):
                yield f"{here}: {value:g} is read as {show_seconds(float(value))}"
            elif key in _WITH_TIMES or path:
                yield from bare_times(value, here)
    elif isinstance(content, list):
        for number, entry in enumerate(content):
            yield from bare_times(entry, f"{path}.{number}")


def _drop(content: dict[str, Any], key: str) -> None:
    """Take a key from the first class, where there is one."""
    classes = content["traffic"].get("classes") if isinstance(content["traffic"], dict) else None
    if isinstance(classes, list) and classes and isinstance(classes[0], dict):
        classes[0].pop(key, None)


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
