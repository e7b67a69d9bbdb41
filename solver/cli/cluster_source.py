"""A cluster from whatever a command line names: a builder, a packaged scenario, or any file that tells of one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import topologies
from solver.cli.device import device_option
from solver.cli.scenario import cluster_spec
from solver.errors import BadFile, BadInput, UnknownName
from solver.workload.files import MOST_BYTES, packaged, parse_document, read_content, read_text

if TYPE_CHECKING:
    import networkx as nx

_DOCUMENTS = (".json", ".yaml", ".yml")


@dataclass(frozen=True)
class Described:
    """A cluster, and what its files say of it beyond the graph.

    Attributes
    ----------
    faults: what is broken or missing; assumptions: what was filled in (each one line; empty but for imports).
    """

    graph: nx.Graph[str]
    faults: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()


def described(source: str, device: str | None = None) -> Described:
    """The cluster of ``builder:argument=value,...``, of a scenario, a plan, a cluster file or a file of another tool.

    Parameters
    ----------
    device: kind of the devices, for imports that do not tell.

    Raises
    ------
    UnknownName: neither a file, a packaged scenario nor a builder.
    BadInput: the file tells of no cluster; names the file and the place.
    """
    if source in packaged():
        content, _ = read_content(source)
        return Described(topologies.build(content["cluster"]))
    name = source.partition(":")[0].strip()
    if name in topologies.BUILDERS:
        return Described(topologies.build(cluster_spec(source)))
    path = Path(source)
    if not path.exists():
        if path.suffix or len(path.parts) > 1:
            raise BadFile(f"{source[:200]}: no such file")
        known = (*packaged(), *topologies.BUILDERS)
        raise UnknownName("cluster", source[:80], known, "; a path to a file works too")
    return _of_file(path, device)


def _of_file(path: Path, device: str | None) -> Described:
    spec = _spec(path) if path.suffix.lower() in _DOCUMENTS else None
    if spec is None:
        found = topologies.importers.read(path, device=device_option(device))
        return Described(found.graph, tuple(found.faults), tuple(found.assumptions))
    if set(spec) == {"graph"}:
        return Described(topologies.validate(topologies.from_plain(spec["graph"])))
    return Described(topologies.build(spec, path.parent))


def _spec(path: Path) -> dict[str, Any] | None:
    """How a cluster file, a scenario or a plan describes its cluster; None for the file of another tool."""
    try:
        content = parse_document(read_text(path, MOST_BYTES), str(path))
    except BadInput:
        return None
    if "nodes" in content and "schema_version" in content:
        return {"file": path.name}
    scenario = content.get("scenario", content)
    spec = scenario.get("cluster") if isinstance(scenario, dict) else None
    return spec if isinstance(spec, dict) and "traffic" in scenario else None
