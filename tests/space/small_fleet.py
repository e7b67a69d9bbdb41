"""Two hosts of eight H100 under vLLM, and requests that are all alike."""

from __future__ import annotations

import topologies
from solver.cost.network.fleet import fleets
from solver.cost.pool.mix import Mix
from solver.engines import engine_rules
from solver.workload import RequestClass

CHAT = Mix.of([RequestClass("chat", prompt_tokens=1000, output_tokens=200, requests_per_s=1)])
(FLEET,) = fleets(topologies.hgx(nodes=2, device="h100"))
VLLM = engine_rules("vllm")
