"""``rackplan cluster``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from solver.cli.app import AsJson, app
from solver.cli.scenario import cluster_spec

cluster = typer.Typer(help="Look at clusters.", no_args_is_help=True)
app.add_typer(cluster, name="cluster")

Source = Annotated[
    str, typer.Argument(metavar="CLUSTER", help="builder:argument=value,..., a cluster file, or a scenario.")
]


@cluster.command(epilog="Example: rackplan cluster show nvl72:racks=2")
def show(source: Source, as_json: AsJson = False) -> None:
    """Show devices, scale-up domains, fabric tiers, oversubscription and faults."""
    import topologies

    graph = topologies.build(cluster_spec(source))
    print(json.dumps(topologies.summary(graph), indent=1) if as_json else topologies.describe(graph))
