"""``rackplan cluster``: read clusters from the files of other tools, look at them, write them for other tools."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.cli.device import DEVICE_HELP, device_option
from solver.cli.outputs import ready
from solver.errors import BadInput, UnknownName
from topologies.writing import write_file

cluster = typer.Typer(help="Import, look at and export clusters.", no_args_is_help=True)
app.add_typer(cluster, name="cluster")

_Source = Annotated[
    str,
    typer.Argument(
        metavar="CLUSTER",
        help="builder:argument=value,..., a cluster file, a scenario, a plan, or a file that cluster import reads.",
    ),
]
_Device = Annotated[str | None, typer.Option(help=f"Kind of every device, where the files do not tell. {DEVICE_HELP}")]
#: Formats of ``export``, and what each is for.
EXPORTS = {
    "json": "the cluster file of rackplan",
    "graphml": "the whole graph for networkx, Gephi, yEd",
    "slurm-tree": "topology.conf for topology/tree",
    "slurm-block": "topology.conf for topology/block",
    "topograph": "a topograph model",
}


@cluster.command("import", epilog="Example: rackplan cluster import ibnetdiscover.out nvidia-smi.xml -o cluster.json")
def import_(
    files: Annotated[list[Path], typer.Argument(help="Files that describe one cluster together.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the cluster file here.")] = None,
    format: Annotated[str | None, typer.Option(help="Format of the file; by its content if not given.")] = None,
    host: Annotated[str | None, typer.Option(help="Name of the host that a single file describes.")] = None,
    hosts: Annotated[int | None, typer.Option(min=1, help="Copies of a host where no file tells of a fabric.")] = None,
    device: _Device = None,
    devices_per_host: Annotated[
        int | None, typer.Option(min=1, help="Devices of a host that no file describes; the device's usual number.")
    ] = None,
    oversubscription: Annotated[float, typer.Option(min=1e-3, help="Of switches whose speeds no file tells.")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Read one cluster from the files of nvidia-smi, NCCL, ibnetdiscover, Slurm, topograph, Kubernetes or networkx."""
    from topologies import importers, save

    ready([output], files)
    fill: dict[str, Any] = {
        "device": device_option(device),
        "devices_per_host": devices_per_host,
        "oversubscription": oversubscription,
    }
    if len(files) == 1 and hosts is None:
        found = importers.read(files[0], format, host=host, **fill)
    elif format is not None or host is not None:
        raise BadInput(
            f"--format and --host describe a single file; of the {len(files)} given each is told by its content"
        )
    else:
        found = importers.assemble(*files, hosts=hosts, **fill)
    if output is not None:
        if not found.complete:
            raise BadInput(
                f"{', '.join(path.name for path in files)}: a fabric without devices cannot be written as a cluster; "
                "add the file of a host, or name the devices, for example --device h100"
            )
        save(found.graph, output)
    _tell(found.graph, tuple(found.faults), tuple(found.assumptions), as_json)


@cluster.command(epilog="Example: rackplan cluster show nvl72:racks=2")
def show(source: _Source, device: _Device = None, as_json: AsJson = False) -> None:
    """Show devices, scale-up domains, fabric tiers, oversubscription and faults."""
    from solver.cli.cluster_source import described

    found = described(source, device)
    _tell(found.graph, found.faults, found.assumptions, as_json)


@cluster.command(epilog="Example: rackplan cluster export cluster.json --format slurm-block -o topology.conf")
def export(
    source: _Source,
    format: Annotated[str, typer.Option(help=f"One of {', '.join(EXPORTS)}.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write here instead of to stdout.")] = None,
    device: _Device = None,
) -> None:
    """Write a cluster for another tool."""
    import topologies
    from solver.cli.cluster_source import described

    if format not in EXPORTS:
        raise UnknownName("export format", format[:40], EXPORTS)
    ready([output], [source])
    graph = described(source, device).graph
    if format == "graphml":
        if output is None:
            raise BadInput("graphml needs a file to write to: add -o cluster.graphml")
        topologies.exporters.to_graphml(graph, output)
        return
    if format == "json":
        text = json.dumps(topologies.to_plain(graph), indent=1) + "\n"
    elif format == "topograph":
        text = topologies.exporters.to_topograph(graph)
    else:
        text = topologies.exporters.to_slurm(graph, "tree" if format == "slurm-tree" else "block")
    if output is None:
        sys.stdout.write(text)
    else:
        write_file(output, text)


def _tell(graph: Any, faults: tuple[str, ...], assumptions: tuple[str, ...], as_json: bool) -> None:
    """Print a cluster; what was broken or assumed when it was read goes below the tree."""
    import topologies

    if as_json:
        told = topologies.summary(graph) | {"import_faults": list(faults), "assumptions": list(assumptions)}
        print(json.dumps(told, indent=1))
        return
    print(topologies.describe(graph))
    for word, lines in (("fault", faults), ("assumed", assumptions)):
        for line in lines:
            print(f"{word}: {line}")
