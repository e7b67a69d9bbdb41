"""What engines need to serve a plan at one address: commands, routers, configuration files, expert maps, manifests.

>>> sorted(TARGETS)
['dynamo', 'llm-d', 'lws', 'sglang', 'trtllm', 'vllm']
"""

from __future__ import annotations

from collections.abc import Callable

from solver.errors import UnknownName
from solver.export.dynamo import dynamo
from solver.export.files import ExportedFiles
from solver.export.llmd import llmd
from solver.export.lws import lws
from solver.export.shell import shell
from solver.plan import Plan

__all__ = ["TARGETS", "ExportedFiles", "export"]

#: What a plan can be written for.
TARGETS: dict[str, Callable[[Plan], ExportedFiles]] = {
    "vllm": lambda plan: shell(plan, "vllm"),
    "sglang": lambda plan: shell(plan, "sglang"),
    "trtllm": lambda plan: shell(plan, "trtllm"),
    "dynamo": dynamo,
    "lws": lws,
    "llm-d": llmd,
}


def export(plan: Plan, target: str) -> ExportedFiles:
    """The files that start a plan, and a warning for every part of it that the target cannot express.

    Raises
    ------
    UnknownName: no such target.
    """
    if target not in TARGETS:
        raise UnknownName("export target", target[:40], sorted(TARGETS))
    return TARGETS[target](plan)
