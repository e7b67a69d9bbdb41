"""What is to be trained, and one way to do it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from solver.errors import BadInput
from solver.training.schedules import Schedule

Number = Literal["bf16", "fp8"]
Exchange = Literal["ring", "gather"]


@dataclass(frozen=True)
class TrainingJob:
    """Batches and tokens of a run, and in which numbers it computes.

    Attributes
    ----------
    sequence_tokens: s. global_batch_sequences: of one step of the optimiser. total_tokens: of the run.
    precision: of the operands of matrix products; attention itself and the head stay in bf16.
    moments_bytes: of Adam's two moments per parameter. nodes_per_token: most hosts that hold the experts of one token
    (node-limited routing); None = any. reversible: the network is reversible, so that activations follow from outputs.
    flash: attention never writes scores (FlashAttention). light_dense: selective recomputation runs activation functions of
    dense FFNs again, not of experts alone.
    """

    sequence_tokens: int
    global_batch_sequences: int
    total_tokens: float
    precision: Number = "bf16"
    moments_bytes: int = 8
    nodes_per_token: int | None = None
    reversible: bool = False
    flash: bool = True
    light_dense: bool = True

    def __post_init__(self) -> None:
        for name in ("sequence_tokens", "global_batch_sequences", "total_tokens"):
            if getattr(self, name) < 1:
                raise BadInput(f"training.{name} must be at least 1, not {getattr(self, name)!r}")

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one step of the optimiser."""
        return self.sequence_tokens * self.global_batch_sequences

    @property
    def operand_bytes(self) -> int:
        """Bytes of an operand that is kept for the backward pass."""
        return 1 if self.precision == "fp8" else 2


@dataclass(frozen=True, order=True)
class TrainingLayout:
    """How devices share the work. Ranks count tensor, context, data, stage, fastest first; experts count within a stage.

    Attributes
    ----------
    tp: ranks that share each matrix, with sequence parallelism unless ``sequence_parallel`` is off.
    cp: ranks that share each sequence. pp: devices of a pipeline. dp: copies.
    ep: ranks that share the experts, out of all that have the same layers.
    zero: what the copies share: 0 nothing, 1 the optimiser, 2 gradients too, 3 weights too (FSDP).
    micro_batch: sequences. exchange: how context-parallel ranks see all keys. overlap: dispatch and combine of one
    micro-batch run beside another's work. async_hops: sends between stages run beside the work of another chunk, where a
    device has several.
    """

    tp: int
    pp: int
    dp: int
    micro_batch: int
    schedule: Schedule
    cp: int = 1
    ep: int = 1
    zero: int = 1
    exchange: Exchange = "ring"
    overlap: bool = False
    sequence_parallel: bool = True
    async_hops: bool = True

    @property
    def devices(self) -> int:
        """Devices in use."""
        return self.stage * self.pp

    @property
    def stage(self) -> int:
        """Ranks that have the same layers."""
        return self.tp * self.cp * self.dp

    @property
    def sharers(self) -> int:
        """Ranks that have the same share of the same layers, and that reduce its gradients."""
        return self.cp * self.dp * self.schedule.copies

    @property
    def expert_sharers(self) -> int:
        """Ranks that have the same experts of the same layers."""
        return self.stage // self.ep * self.schedule.copies

    @property
    def shared(self) -> int:
        """Ranks that divide norms and the residual stream of a context rank's tokens."""
        return self.tp if self.sequence_parallel else 1

    @property
    def hides_hops(self) -> bool:
        """Whether sends between stages run beside work."""
        return self.async_hops and (self.schedule.folded or self.schedule.kind == "interleaved")

    @property
    def hides_experts(self) -> bool:
        """Whether the exchange of tokens runs beside work."""
        return self.overlap or self.schedule.folded

    def micro_batches(self, job: TrainingJob) -> int:
        """Micro-batches of a step in each copy."""
        return job.global_batch_sequences // (self.dp * self.micro_batch)

    def tokens(self, job: TrainingJob) -> float:
        """Tokens of a micro-batch on one context-parallel rank."""
        return job.sequence_tokens * self.micro_batch / self.cp

    def __str__(self) -> str:
        degrees = [f"tp{self.tp}"] + [f"cp{self.cp}"] * (self.cp > 1) + [f"pp{self.pp}", f"dp{self.dp}"]
        degrees += [f"ep{self.ep}"] * (self.ep > 1) + [f"zero{self.zero}"] * (self.sharers > 1)
        exchange = f", keys by {self.exchange}" if self.cp > 1 else ""
        overlap = ", experts overlapped" if self.ep > 1 and self.hides_experts else ""
        return f"{' '.join(degrees)} micro-batch {self.micro_batch}, {self.schedule}{exchange}{overlap}"
