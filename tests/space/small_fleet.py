"""Two hosts of eight H100 under vLLM, requests that are all alike, and the candidates that there are for them."""

from __future__ import annotations

from collections import Counter

import topologies
from solver.cost.calibration import Calibration
from solver.cost.network.fleet import Fleet, fleets
from solver.cost.pool.mix import Mix
from solver.engines import engine_rules
from solver.llm import LLM
from solver.replica import Role
from solver.space.candidates import Candidates, candidates, startable
from solver.workload import Constraints, RequestClass

CHAT = Mix.of([RequestClass("chat", prompt_tokens=1000, output_tokens=200, requests_per_s=1)])
(FLEET,) = fleets(topologies.hgx(nodes=2, device="h100"))
VLLM = engine_rules("vllm")


def asked(
    llm: str | LLM, role: Role = "decode", longest: int = 8192, fleet: Fleet = FLEET, **limits: object
) -> tuple[Candidates | None, Counter[str]]:
    """Candidates of an LLM by name or in person, and how many others were dropped for which reason."""
    network = LLM.from_config(llm) if isinstance(llm, str) else llm
    constraints = Constraints(**limits)  # type: ignore[arg-type]
    started = startable(network, fleet, VLLM, role, constraints)
    found, dropped = candidates(started, Calibration(), CHAT, constraints, longest)
    return found, started.dropped + dropped
