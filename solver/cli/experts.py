"""``rackplan experts``: experts to ranks with a bound, from recorded loads to the map an engine reads."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from solver.cli.app import AsJson, app
from solver.cli.outputs import ready
from solver.errors import BadInput, UnknownName
from topologies import units
from topologies.writing import write_file

if TYPE_CHECKING:
    from solver.experts.files.engine_maps import MapEngine

EXAMPLE = (
    "Example: rackplan experts chat.json code.json --ranks 32 --slots 9 -o map.json --engine sglang. "
    "Re-balance the map in use by sending a tenth of its copies: "
    "rackplan experts today.json --ranks 32 --slots 9 --from map.json --budget 10% -o new.json"
)


@app.command(epilog=EXAMPLE)
def experts(
    loads: Annotated[
        list[Path],
        typer.Argument(
            metavar="LOADS...", help="JSON of SGLang or vLLM, CSV, .npy or .npz; each file is a load profile."
        ),
    ],
    ranks: Annotated[int, typer.Option(help="Ranks of the expert-parallel group.")],
    slots: Annotated[int, typer.Option(help="Slots for expert copies on a rank, redundant ones included.")],
    ranks_per_node: Annotated[
        int | None, typer.Option(help="Successive ranks on a node: adds balance against traffic that leaves a node.")
    ] = None,
    groups: Annotated[
        int | None,
        typer.Option(help="Expert groups that live on one node; without it one for each node where that divides."),
    ] = None,
    off_node: Annotated[
        str | None, typer.Option(help="Most tokens served off the home node of their expert, such as 9%.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="Importance of each profile, such as 3,1; without it all the same.")
    ] = None,
    dense_layers: Annotated[
        str | None, typer.Option(help="Layers without experts, such as 0,2,4; leading empty layers need no mention.")
    ] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the expert map here.")] = None,
    engine: Annotated[
        str | None, typer.Option(help="sglang (JSON) or trtllm (YAML); without it by the suffix of the output.")
    ] = None,
    current: Annotated[
        Path | None, typer.Option("--from", help="The map in use: re-balance it within --budget.")
    ] = None,
    budget: Annotated[
        str, typer.Option(help="Copies that may be sent to re-balance: 10% of all, 500, or 20GB with --expert-size.")
    ] = "10%",
    expert_size: Annotated[str | None, typer.Option(help="Weights of one expert in one layer, such as 44MB.")] = None,
    leave_one_out: Annotated[
        bool, typer.Option("--leave-one-out", help="Also place for all profiles but one and run that one (slow).")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Place experts and their copies on ranks, with a proven bound for every layer: a drop-in for EPLB."""
    from solver.experts.files.engine_maps import map_text
    from solver.experts.grid import SlotGrid
    from solver.experts.report.answer import answer
    from solver.experts.report.budget import MoveBudget, share
    from solver.experts.report.question import Question, loads_for
    from solver.experts.report.tell import describe, to_json

    ready([output], [*loads, current])
    target = _engine(engine, output)
    if ranks_per_node is not None and ranks_per_node < 1:
        raise BadInput(f"--ranks-per-node {ranks_per_node}: a node holds at least one rank")
    question = Question(
        SlotGrid(ranks, slots, ranks_per_node or 0),
        by_node=ranks_per_node is not None,
        groups=groups,
        most_off_node=None if off_node is None else share(off_node, "--off-node"),
        current=current,
        budget=MoveBudget(budget, None if expert_size is None else units.size(expert_size)),
        leave_one_out=leave_one_out,
    )
    wanted = loads_for(
        loads, _numbers(weights, "--weights"), [int(x) for x in _numbers(dense_layers, "--dense-layers") or ()]
    )
    found = answer(question, wanted, lambda doing: print(f"{doing} ...", file=sys.stderr))
    if output is not None:
        write_file(output, map_text(found.map, target))
    print(json.dumps(to_json(found), indent=1) if as_json else describe(found))
    if output is not None:
        print(f"wrote {output} for {target}", file=sys.stderr)


def _engine(name: str | None, output: Path | None) -> MapEngine:
    """The engine whose format is written."""
    if name is None:
        return "trtllm" if output is not None and output.suffix.lower() in (".yaml", ".yml") else "sglang"
    known: dict[str, MapEngine] = {"sglang": "sglang", "trtllm": "trtllm"}
    if name not in known:
        raise UnknownName("engine that reads expert maps", name[:40], known)
    return known[name]


def _numbers(text: str | None, option: str) -> list[float] | None:
    """``0,2,4`` as numbers; None stays None."""
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise BadInput(f"{option} {text[:80]!r}: write numbers with commas between them, such as 0,2") from None
