"""Engines' rules as data: what each would refuse to start, and what it must be told. One JSON file an engine."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Literal

from solver.errors import UnknownName
from solver.replica import Engine, Role


@dataclass(frozen=True)
class EngineRules:
    """What an engine would start.

    Attributes
    ----------
    expert_parallel: ``none_or_all`` (ep is 1 or every rank of a stage) or ``divides_stage``.
    attention_data_parallel: ``any``, or ``none_or_all`` (dp is 1 or every rank of a stage).
    experts_divide: whether expert copies must divide evenly over ep ``always``, or only ``with_redundancy``.
    pipeline_roles: roles that may have pipeline stages.
    pipeline_with_speculation: whether stages and draft tokens go together.
    context_parallel: ``none``, or ``spare_tp`` (only over tp ranks that would hold a second copy of a KV head).
    context_parallel_with_experts: whether it goes with expert parallelism.
    kv_heads_replicate: whether tp may exceed the KV heads (each is then held tp / heads times).
    block_check: whether shards must be whole quantisation blocks.
    overlap: roles in which two half-batches can overlap compute and exchange.
    exchange_hidden: residual widths that the low-latency exchange was compiled for; empty = any.
    exchange_top_k: most experts per token that it takes.
    exchange_tokens: most tokens per rank that it takes in one step.
    batched_tokens: choices of the most tokens in one step of a rank, by role.
    max_sequences: most running sequences per attention rank.
    captured_batch_sizes: batch sizes captured as graphs by default.
    """

    name: Engine
    title: str
    version: str
    source: str
    as_of: str
    expert_parallel: Literal["none_or_all", "divides_stage"]
    attention_data_parallel: Literal["any", "none_or_all"]
    experts_divide: Literal["always", "with_redundancy"]
    pipeline_roles: tuple[Role, ...]
    pipeline_with_speculation: bool
    context_parallel: Literal["none", "spare_tp"]
    context_parallel_with_experts: bool
    kv_heads_replicate: bool
    block_check: bool
    overlap: tuple[Role, ...]
    exchange_hidden: tuple[int, ...]
    exchange_top_k: int
    exchange_tokens: int
    batched_tokens: Mapping[Role, tuple[int, ...]]
    max_sequences: int
    captured_batch_sizes: tuple[int, ...]


@cache
def engine_rules(name: str) -> EngineRules:
    """The rules of one engine.

    Raises
    ------
    UnknownName: no such engine.
    """
    folder = files(__package__)
    known = sorted(entry.name.removesuffix(".json") for entry in folder.iterdir() if entry.name.endswith(".json"))
    if name not in known:
        raise UnknownName("engine", name, known)
    content = json.loads(folder.joinpath(f"{name}.json").read_text(encoding="utf-8"))
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    tokens = {role: tuple(choices) for role, choices in content["batched_tokens"].items()}
    return EngineRules(**(content | lists | {"batched_tokens": tokens}))
