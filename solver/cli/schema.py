"""``rackplan schema``: what may stand in the files that are read and written."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated, Any

import typer

from solver.cli.app import app


@app.command(epilog="Example: rackplan schema scenario > scenario.schema.json")
def schema(
    what: Annotated[str, typer.Argument(help="plan, scenario, cluster, training or training-plan.")] = "plan",
) -> None:
    """Print the JSON Schema of plans, scenarios or clusters, or of those of training."""
    from solver.errors import UnknownName

    if what not in _KINDS:
        raise UnknownName("schema", what[:40], _KINDS)
    print(json.dumps(_KINDS[what](), indent=1))


def _plan() -> dict[str, Any]:
    from solver.plan import Plan

    return Plan.model_json_schema()


def _scenario() -> dict[str, Any]:
    """A scenario as files have it: its traffic may be a trace, its cluster is described in any way that is read."""
    from solver.traces.embedding import TraceTraffic
    from solver.workload import Scenario
    from topologies import cluster_schema

    whole = Scenario.model_json_schema()
    trace = TraceTraffic.model_json_schema(ref_template="#/$defs/{model}")
    definitions = whole["$defs"] | trace.pop("$defs") | {"TraceTraffic": trace, "Cluster": cluster_schema()}
    definitions["Cluster"]["$id"] = "cluster"
    ways = [{"$ref": "#/$defs/Traffic"}, {"$ref": "#/$defs/TraceTraffic"}]
    properties = whole["properties"] | {"traffic": {"anyOf": ways}, "cluster": {"$ref": "#/$defs/Cluster"}}
    return whole | {"$defs": definitions, "properties": properties}


def _cluster() -> dict[str, Any]:
    from topologies import cluster_schema

    return cluster_schema()


def _training() -> dict[str, Any]:
    from solver.training.scenario import TrainingScenario

    return TrainingScenario.model_json_schema()


def _training_plan() -> dict[str, Any]:
    from solver.training.plan import TrainingPlan

    return TrainingPlan.model_json_schema()


_KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "plan": _plan,
    "scenario": _scenario,
    "cluster": _cluster,
    "training": _training,
    "training-plan": _training_plan,
}
