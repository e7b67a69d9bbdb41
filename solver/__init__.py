"""rackplan: which layout serves an LLM for the fewest dollars per token, and how do you know that nothing better exists?

>>> import topologies
>>> from solver import SLO, RequestClass, solve
>>> chat = RequestClass("chat", prompt_tokens=1000, output_tokens=200, requests_per_s=5)
>>> outcome = solve("llama-3.1-8b", topologies.hgx(nodes=1, device="h100"), chat, SLO(tpot_p95_s=0.03))
>>> outcome.status
'optimal'
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.errors import BadInput, CheckFailed, NoPlan, RackplanError
from solver.llm import LLM
from solver.workload import SLO, Constraints, Options, RequestClass, Scenario, Traffic, Users

if TYPE_CHECKING:
    import networkx as nx

    from solver.optimize.assembly.outcome import Outcome
    from solver.plan import Plan

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
    "read_trace",
    "solve",
]


def solve(
    llm: LLM | str | Path,
    cluster: nx.Graph[str] | Mapping[str, Any],
    traffic: Traffic | RequestClass | Mapping[str, Any],
    slo: SLO | Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    time_limit_s: float = 60.0,
    workers: int = 2,
    alternatives: int = 0,
    shortlist: int = 0,
    **fields: Any,
) -> Outcome:
    """Find the cheapest layout that serves the traffic within its promises, with a bound on how far from the best it is.

    Parameters
    ----------
    llm: what is served, in the precision it is to be served in; or its name in the catalog, or the path of a config.json.
    cluster: any graph that :func:`topologies.validate` accepts, or a description: ``{"builder": "hgx", "nodes": 2}``.
    traffic, slo: to whom, and how fast; as records, or as files have them.
    seed: makes the search repeatable.
    time_limit_s, workers: seconds for everything (with a seed, work for each search), and threads.
    alternatives: structurally different plans within 5 % to add.
    shortlist: best plans of other structures to solve in the time left, each with its bound, as ``plan.rivals``.
    fields: any other field of :class:`Scenario`, such as ``engine="sglang"`` or ``objective="throughput"``.

    Raises
    ------
    BadInput: a wrong type, a quantity out of range, an unknown name, a graph that breaks the schema.
    """
    from solver.optimize.arithmetic.run import Effort
    from solver.optimize.solve import solve_scenario
    from solver.study.shortlist import with_rivals

    content = {
        "llm": _llm(llm),
        "cluster": _cluster(cluster),
        "traffic": Traffic([traffic]) if isinstance(traffic, RequestClass) else traffic,
        "slo": SLO() if slo is None else slo,
        **fields,
    }
    effort = Effort(time_limit_s=time_limit_s, workers=workers, seed=seed).started()
    outcome = solve_scenario(Scenario.from_mapping(content, "solve"), effort, alternatives=alternatives)
    if shortlist and outcome.found is not None:
        return replace(outcome, found=with_rivals(outcome.found, shortlist, effort))
    return outcome


def read_trace(path: str | Path, **fields: Any) -> Traffic:
    """A recorded trace as traffic, as a scenario's ``traffic: {trace: FILE, ...}`` reads it.

    Parameters
    ----------
    fields: what else may stand beside ``trace`` there, such as ``classes=4`` or ``requests_per_s=50``.

    Raises
    ------
    BadInput: a field that means nothing here, or a trace that cannot be used.
    """
    from solver.traces.embedding import read_trace as read

    return read(path, **fields)


def _llm(llm: object) -> dict[str, Any]:
    """What is served, as a scenario has it."""
    from solver.llm import to_plain
    from solver.llm.catalog import find

    if isinstance(llm, str | Path):
        return {"config": str(llm)}
    if not isinstance(llm, LLM):
        raise BadInput(f"solve: llm is an LLM, a name such as 'llama-3.1-8b', or a path, not {type(llm).__name__}")
    return {"config": llm.name if find(llm.name) == llm else to_plain(llm)}


def _cluster(cluster: object) -> dict[str, Any]:
    """Where, as a scenario has it."""
    import networkx as nx

    from topologies import to_plain, validate

    if isinstance(cluster, Mapping):
        return dict(cluster)
    if not isinstance(cluster, nx.Graph):
        raise BadInput(
            f"solve: cluster is a graph, such as topologies.hgx(nodes=2), or its description, not {type(cluster).__name__}"
        )
    return {"graph": to_plain(validate(cluster))}


def _show_in_notebooks() -> None:
    """Tell a notebook how to show a plan and an outcome; their modules are loaded when there is one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None:
        return
    html = shell.display_formatter.formatters["text/html"]
    html.for_type_by_name("solver.plan.schema", "Plan", _plan_html)
    html.for_type_by_name(
        "solver.optimize.assembly.outcome", "Outcome", lambda outcome: outcome.found and _plan_html(outcome.found)
    )


def _plan_html(plan: Plan) -> str:
    from solver.view.html import Inline

    return Inline(plan, whole=False)._repr_html_()


_show_in_notebooks()
