"""Devices that a plan must do without: those that a user lost, and those that cannot reach the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import topologies
from solver.workload import Scenario


def without(scenario: Scenario, vertices: Sequence[str], folder: Path = Path(".")) -> Scenario:
    """The scenario with some devices, hosts or racks marked as lost.

    Parameters
    ----------
    folder: where relative paths in the scenario start.

    Raises
    ------
    BadInput: no device is, or is in, one of them.
    """
    return scenario.model_copy(update={"cluster": lost(scenario.cluster, vertices, folder)})


def lost(cluster: Mapping[str, Any], vertices: Sequence[str], folder: Path) -> dict[str, Any]:
    """The cluster of a scenario with some devices, hosts or racks marked as lost."""
    spec = dict(cluster)
    if "graph" in spec:
        marked = topologies.mark_unhealthy(topologies.validate(topologies.from_plain(spec["graph"])), vertices)
        return {"graph": topologies.to_plain(marked)}
    spec["unhealthy"] = [*(spec.get("unhealthy") or ()), *vertices]
    topologies.build(spec, folder)
    return spec
