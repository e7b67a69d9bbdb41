"""rackplan: which layout serves an LLM for the fewest dollars per token, and how do you know that nothing better exists?

>>> import topologies
>>> from solver import LLM, SLO, RequestClass, Traffic, solve
>>> traffic = Traffic([RequestClass("chat", prompt_tokens=1000, output_tokens=200, requests_per_s=5)])
>>> outcome = solve(LLM.from_config("llama-3.1-8b"), topologies.hgx(nodes=1, device="h100"), traffic, SLO(tpot_p95_s=0.03))
>>> outcome.status
'optimal'
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from solver.errors import BadInput, CheckFailed, NoPlan, RackplanError
from solver.llm import LLM
from solver.workload import SLO, Constraints, Options, RequestClass, Scenario, Traffic, Users

if TYPE_CHECKING:
    import networkx as nx

    from solver.optimize.assembly.outcome import Outcome

__all__ = [
    "LLM",
    "SLO",
    "BadInput",
    "CheckFailed",
    "Constraints",
    "NoPlan",
    "Options",
    "RackplanError",
    "RequestClass",
    "Scenario",
    "Traffic",
    "Users",
    "solve",
]


def solve(
    llm: LLM,
    cluster: nx.Graph[str],
    traffic: Traffic,
    slo: SLO | None = None,
    *,
    seed: int | None = None,
    time_limit_s: float = 60.0,
    workers: int = 2,
    alternatives: int = 0,
    **fields: Any,
) -> Outcome:
    """Find the cheapest layout that serves the traffic within its promises, with a bound on how far from the best it is.

    Parameters
    ----------
    llm: what is served, in the precision it is to be served in.
    cluster: any graph that :func:`topologies.validate` accepts.
    traffic, slo: to whom, and how fast.
    seed: makes the search repeatable.
    time_limit_s, workers: seconds for each search, and its threads.
    alternatives: structurally different plans within 5 % to add.
    fields: any other field of :class:`Scenario`, such as ``engine="sglang"`` or ``objective="throughput"``.

    Raises
    ------
    BadInput: a quantity out of range, an unknown name, a graph that breaks the schema.
    """
    from solver.llm import to_plain
    from solver.llm.catalog import find
    from solver.optimize.arithmetic.run import Effort
    from solver.optimize.solve import solve_scenario
    from topologies import to_plain as plain_graph
    from topologies import validate

    known = find(llm.name)
    content = {
        "llm": {"config": llm.name if known == llm else to_plain(llm)},
        "cluster": {"graph": plain_graph(validate(cluster))},
        "traffic": traffic,
        "slo": slo or SLO(),
        **fields,
    }
    effort = Effort(time_limit_s=time_limit_s, workers=workers, seed=seed)
    return solve_scenario(Scenario.from_mapping(content, "solve"), effort, alternatives=alternatives)
