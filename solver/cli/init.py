"""``rackplan init``: a scenario to start from, with every section it may have."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from solver.cli.app import app
from solver.cli.promises import NOTHING, promising, slo
from solver.cli.scenario import cluster_spec
from solver.cli.users import users_given
from solver.errors import BadInput
from solver.workload.measures import QUANTITIES, STATISTICS, TPOT_MEAN, TPOT_P95, TTFT_P95, Measure
from topologies.writing import write_file

_HEAD = "# A scenario of rackplan. Solve it: rackplan solve {name} --html plan.html. Lines behind '#:' may be switched on."
#: Sections that a scenario may do without, each as a comment that is switched on by taking '#: ' away.
_MORE = """
# cost meets the demand for the fewest USD; throughput serves the most of the mix with the whole cluster.
#: objective: cost
# vllm, sglang, trtllm (a version as in vllm@0.32), ideal, or auto: solves for each and compares.
#: engine: vllm
# What is rented: device, host or domain. owned: the whole cluster is a fixed cost.
#: billing: host
#: owned: false
# What the program may choose, and how hard it tries.
#: options: {disaggregate: auto, survive_host_failures: 0, max_pools: 2, gap: 0.01}
# Limits on the plan; pools that are settled: [{role: decode, parallelism: {tp: 8}}].
#: constraints: {forbid: [], min_replicas: 1, pools: [], other_pools: true}
# Draft tokens of an LLM with prediction layers: the chance that each is accepted.
#: speculation: {method: mtp, acceptance: [0.8]}
# Recorded loads of experts: files of SGLang, CSV or NumPy.
#: expert_loads: []
# Constants of your own, as rackplan fidelity runs.csv --fit ours.json writes them.
#: calibration: null
"""


@app.command(
    epilog="Example: rackplan init -o mine.yaml --llm llama-3.1-70b-fp8 --cluster hgx:nodes=2,device=h100 --requests-per-s 20"
)
@promising
def init(
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write here; to stdout if not given.")] = None,
    llm: Annotated[str | None, typer.Option(help="Catalog name or path of a config.json.")] = None,
    cluster: Annotated[str | None, typer.Option(help="builder:argument=value,... or a cluster file.")] = None,
    prompt_tokens: Annotated[int | None, typer.Option(help="Mean prompt.")] = None,
    output_tokens: Annotated[int | None, typer.Option(help="Mean output.")] = None,
    requests_per_s: Annotated[float | None, typer.Option(help="Arrivals.")] = None,
    users: Annotated[int | None, typer.Option(help="Users at work at once, in place of a rate.")] = None,
    speed: Annotated[
        float | None, typer.Option("--tokens-per-s-per-user", help="Speed that each user is promised.")
    ] = None,
    think: Annotated[str | None, typer.Option(help="From the last token to a user's next prompt, such as 14s.")] = None,
    promises: Mapping[Measure, str] = NOTHING,
) -> None:
    """Write a commented scenario from flags; what is not given is asked for at a terminal, or set to an example."""
    from solver.cli.outputs import ready

    ready([output])
    demand = users_given(users, speed, think, promises)
    if demand and requests_per_s is not None:
        raise BadInput("--users and --requests-per-s both say how much is asked for; leave one out")
    one: dict[str, Any] = {
        "name": "chat",
        "prompt_tokens": _answer("Mean prompt tokens", prompt_tokens, 2000),
        "output_tokens": _answer("Mean output tokens", output_tokens, 500),
    }
    one |= {"users": demand} if demand else {"requests_per_s": _answer("Requests per second", requests_per_s, 10.0)}
    promised = dict(promises)
    # Where nothing is promised of a latency its 95th percentile is asked for; users have been promised a speed.
    for measure, example in ((TTFT_P95, "2s"), *(() if demand else ((TPOT_P95, "40ms"),))):
        if not any(other.quantity == measure.quantity for other in promises):
            promised[measure] = _answer(str(measure), None, example)
    content = {
        "llm": {"config": _answer("LLM (rackplan list llms)", llm, "llama-3.1-70b-fp8")},
        "cluster": cluster_spec(_answer("Cluster", cluster, "hgx:nodes=2,device=h100")),
        "traffic": {"classes": [one]},
        "slo": slo(promised),
    }
    text = "\n".join(_lines(content, str(output or "mine.yaml")))
    if output is None:
        sys.stdout.write(text)
    else:
        write_file(output, text)


def _answer(question: str, given: Any, example: Any) -> Any:
    """What a flag gave, else what a person at the terminal answers, else the example."""
    if given is not None:
        return given
    return typer.prompt(question, default=example, type=type(example), err=True) if sys.stdin.isatty() else example


def _lines(content: Mapping[str, Any], name: str) -> Iterator[str]:
    """The scenario, section by section; checked, with the terms of its prices.

    Raises
    ------
    BadInput: a name that is not known, or a value out of range.
    """
    from solver.cost.instance import Instance
    from solver.workload import Scenario

    found = Instance.of(Scenario.from_mapping(content, "init"))
    kinds = [fleet.device for fleet in found.fleets]
    yield _HEAD.format(name=name)
    size = f"{found.llm.parameters / 1e9:,.4g} B parameters"
    yield f"# {found.llm.name}, {size}. Or the path of a config.json; weights and kv_cache name another precision."
    yield f"llm: {_flow(content['llm'])}"
    yield "# Or {builder: nvl72, racks: 1}, {builder: fat_tree, ...}, {file: cluster.json}, {join: [{...}, {...}]}."
    yield f"cluster: {_flow(content['cluster'])}"
    yield "# More classes, each with an slo of its own; users: {count: 80, tokens_per_s: 25, think: 14s} in place of a rate;"
    yield "# prompt_cv, output_cv, burstiness, reused_tokens, idle_s; or a recorded trace: traffic: {trace: mine.jsonl}."
    yield "traffic:"
    yield "  classes:"
    yield from (f"    - {_flow(one)}" for one in content["traffic"]["classes"])
    names, ends = ("/".join(parts) for parts in (QUANTITIES, STATISTICS))
    yield f"# Promises: {names} with _{ends.replace('/', '/_')}, such as {TPOT_MEAN.key}; each may have its limit."
    yield f"slo: {_flow(content['slo'])}"
    yield "# Terms of the catalog's prices: on-demand, reserved-3y or source:NAME; your own win, in USD per device-hour."
    yield from _prices(kinds)
    yield from _MORE.strip().splitlines()
    yield ""


def _prices(kinds: list[Any]) -> Iterator[str]:
    from topologies import list_prices
    from topologies.prices import COMPARABLE

    known = [{price.basis for price in list_prices(kind)} for kind in kinds]
    basis = next((basis for basis in COMPARABLE if all(basis in one for one in known)), None)
    example = ", ".join(f"{kind.name}: 2.50" for kind in kinds)
    if basis is None:
        yield f"# No common terms are known for {' and '.join(kind.name for kind in kinds)}: give your prices here."
        basis = COMPARABLE[0]
    yield f"price_basis: {basis}"
    yield f"#: prices: {{{example}}}"


def _flow(value: Mapping[str, Any]) -> str:
    """A mapping as YAML in one line."""
    return str(yaml.safe_dump(dict(value), default_flow_style=True, sort_keys=False, width=10_000)).strip()
