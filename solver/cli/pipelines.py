"""``rackplan pipelines``: layers to unlike machines, so that most tokens flow; in words, as a drawing, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from solver.cli.app import AsJson, app

EXAMPLE = (
    "Example: rackplan pipelines machines.json --curve. A file of two machines: "
    '{"layers": 4, "node_types": ["A100", "L4"], "throughput_tokens_per_s_by_type_and_layers_held": '
    '{"A100": {"3": 900}, "L4": {"1": 950}}, '
    '"links_directed_tokens_per_s": [["source", 0, 5e6], [0, 1, 6e4], [1, "sink", 5e6]]}. '
    "Further fields: sequences_by_type_and_layers_held (room for KV caches), micro_batch, overhead_s, and a latency in s as "
    "a link's fourth entry; without links every machine reaches every other."
)


@app.command(epilog=EXAMPLE)
def pipelines(
    machines: Annotated[
        Path,
        typer.Argument(
            metavar="MACHINES", help="JSON or YAML in the format of Helix's published instances; see below."
        ),
    ],
    depth: Annotated[int | None, typer.Option(help="Most stages that a token passes.")] = None,
    curve: Annotated[bool, typer.Option("--curve", help="Also the greatest flow for every smaller depth.")] = False,
    time_limit: Annotated[float, typer.Option(min=0.1, help="Most seconds for one program of the search.")] = 10.0,
    seed: Annotated[int | None, typer.Option(help="Repeat a search exactly, on one worker.")] = None,
    as_json: AsJson = False,
) -> None:
    """Give every machine of an unlike fleet a run of layers so that most tokens/s flow, with a proven bound.

    For machines that are bought as they are and joined by thin links, where no cluster of equal devices can be had: each
    holds a run of layers, and tokens take any path through them. Where the file gives room for KV caches, the depth that
    serves most is chosen.
    """
    from solver.pipelines import (
        SearchLimits,
        describe,
        describe_curve,
        pipeline_curve,
        place_pipeline,
        read_machines,
        serve_most,
    )

    fleet, limits = read_machines(machines), SearchLimits(depth=depth, solve_s=time_limit, seed=seed)
    print(f"{len(fleet.kinds)} machines of {len(fleet.count)} types, {fleet.layers} layers ...", file=sys.stderr)
    depths = pipeline_curve(fleet, limits) if curve or fleet.sequences is not None else [place_pipeline(fleet, limits)]
    best = serve_most(depths)
    if as_json:
        told = best.to_json() | ({"curve": [plan.to_json() for plan in depths]} if curve else {})
        print(json.dumps(told, indent=1))
        return
    print(describe(best))
    if curve:
        print(f"\n{describe_curve(depths)}")
