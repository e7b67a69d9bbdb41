"""What one replica is: its degrees of parallelism, its role, the engine that runs it and how it is set up."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal, get_args

from solver.errors import BadInput, UnknownName

Role = Literal["prefill", "decode", "unified"]
Engine = Literal["vllm", "sglang", "trtllm", "ideal"]
#: First and last layer of every pipeline stage, both included, counted from 0.
Stages = tuple[tuple[int, int], ...]

ROLES: tuple[Role, ...] = get_args(Role)
ENGINES: tuple[Engine, ...] = get_args(Engine)
SERVING_ENGINES: tuple[Engine, ...] = ("vllm", "sglang", "trtllm")


def engine_and_version(text: str) -> tuple[Engine, str | None]:
    """An engine as people name it, with the version after an ``@``: None without one.

    >>> engine_and_version("vllm@0.33"), engine_and_version("sglang")
    (('vllm', '0.33'), ('sglang', None))

    Raises
    ------
    UnknownName: no such engine.
    """
    name, _, version = text.partition("@")
    for engine in ENGINES:
        if engine == name:
            return engine, version or None
    raise UnknownName("engine", name[:40], ENGINES)


@dataclass(frozen=True, order=True)
class Parallelism:
    """Degrees of parallelism of one replica, always together.

    Within a pipeline stage ``tp * dp * cp == ep * moe_tp`` for an LLM with experts; a dense LLM has ``ep = moe_tp = 1``
    and ``dp = 1`` (its data-parallel copies are separate replicas).

    Attributes
    ----------
    tp: attention (and dense FFN) tensor-parallel ranks.
    pp: pipeline stages.
    ep: expert-parallel ranks; each holds ``experts / ep`` experts (redundant copies aside).
    dp: attention data-parallel ranks that share the experts.
    moe_tp: ranks that share each expert's matrices.
    cp: decode context-parallel ranks, a split of the KV cache by position inside the tp group's replicas of it.
    """

    tp: int = 1
    pp: int = 1
    ep: int = 1
    dp: int = 1
    moe_tp: int = 1
    cp: int = 1

    def __post_init__(self) -> None:
        for field in fields(self):
            degree = getattr(self, field.name)
            if not isinstance(degree, int) or isinstance(degree, bool) or not 1 <= degree <= 1_000_000:
                raise BadInput(f"parallelism: {field.name} must be a whole number of at least 1, not {degree!r}")

    @property
    def ranks_per_stage(self) -> int:
        """Devices of one pipeline stage."""
        return self.tp * self.dp

    @property
    def devices(self) -> int:
        """Devices of one replica."""
        return self.tp * self.dp * self.pp

    def __str__(self) -> str:
        return " ".join(
            f"{f.name}{getattr(self, f.name)}" for f in fields(self) if f.name == "tp" or getattr(self, f.name) > 1
        )


@dataclass(frozen=True, order=True)
class Setup:
    """How one replica is set up: what its engine is told, and what its weights depend on.

    The names are those of a pool in a plan file.

    Attributes
    ----------
    domains, hosts: scale-up domains and hosts that the replica spreads over, in equal parts.
    redundant_experts: spare expert copies of the replica.
    stages: layers of every pipeline stage; empty = the cut whose heaviest stage reads the fewest weights.
    chunk_tokens: most prompt tokens in one step of an attention rank.
    prompts_per_step: prompts that share one prefill step on a rank.
    draft_tokens: tokens drafted and verified per step and sequence.
    overlap: two half-batches hide the expert exchange behind compute.
    engine_version: whose memory rules hold; None = the current one's.
    memory_fraction: share of the HBM that the engine may fill, as the engine counts it; None = its default.
    """

    role: Role
    engine: Engine
    parallelism: Parallelism
    domains: int = 1
    hosts: int = 1
    redundant_experts: int = 0
    stages: Stages = ()
    chunk_tokens: int = 8192
    prompts_per_step: int = 1
    draft_tokens: int = 0
    overlap: bool = False
    engine_version: str | None = None
    memory_fraction: float | None = None

    @property
    def exchange_domains(self) -> int:
        """Scale-up domains that the expert group of one pipeline stage spreads over."""
        return -(-self.domains // self.parallelism.pp)

    @property
    def devices_per_host(self) -> int:
        """Devices of the replica on each of its hosts."""
        return self.parallelism.devices // self.hosts

    @property
    def tensor_domains(self) -> int:
        """Scale-up domains that one tensor-parallel group spreads over."""
        return -(-self.parallelism.tp * self.domains // self.parallelism.devices)

    @property
    def held(self) -> tuple[object, ...]:
        """What decides which weights lie on which rank: replicas that agree here can stand in for each other."""
        return self.role, self.engine, self.parallelism, self.domains, self.hosts, self.redundant_experts, self.stages
