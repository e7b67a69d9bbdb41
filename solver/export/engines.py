"""Start commands by engine."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from solver.export.command import Command
from solver.export.layout import Deployment
from solver.export.sglang import sglang
from solver.export.trtllm import trtllm
from solver.export.vllm import vllm
from solver.plan import Pool
from solver.replica import Engine

COMMANDS: Mapping[Engine, Callable[[Deployment, Pool], Command]] = {"vllm": vllm, "sglang": sglang, "trtllm": trtllm}


def native(engine: Engine) -> Engine:
    """The engine that runs a pool: vLLM where the plan was made for an ideal one."""
    return "vllm" if engine == "ideal" else engine
