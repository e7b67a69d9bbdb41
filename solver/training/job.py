"""What is to be trained, and one way to do it."""

from __future__ import annotations

from dataclasses import dataclass

from solver.errors import BadInput
from solver.training.activations import Policy
from solver.training.schedules import Schedule


@dataclass(frozen=True)
class TrainingJob:
    """Batches and tokens of a run.

    Attributes
    ----------
    sequence_tokens: s. global_batch_sequences: of one step of the optimiser. total_tokens: of the run.
    reversible: the network is reversible, so that activations can be computed from outputs.
    flash: attention never writes scores (FlashAttention).
    """

    sequence_tokens: int
    global_batch_sequences: int
    total_tokens: float
    reversible: bool = False
    flash: bool = False

    def __post_init__(self) -> None:
        for name in ("sequence_tokens", "global_batch_sequences", "total_tokens"):
            if getattr(self, name) < 1:
                raise BadInput(f"training.{name} must be at least 1, not {getattr(self, name)!r}")

    @property
    def tokens_per_step(self) -> int:
        """Tokens of one step of the optimiser."""
        return self.sequence_tokens * self.global_batch_sequences

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Activation policies that the network allows."""
        kept: tuple[Policy, ...] = ("store", "full") if self.flash else ("store", "selective", "full")
        return (*kept, "reversible") if self.reversible else kept


@dataclass(frozen=True, order=True)
class Layout:
    """How devices share the work.

    Attributes
    ----------
    tp: ranks that share each matrix, with sequence parallelism unless ``sequence_parallel`` is off. pp: stages.
    dp: copies. ep: of them share the experts. micro_batch: sequences.
    """

    tp: int
    pp: int
    dp: int
    ep: int
    micro_batch: int
    schedule: Schedule
    sequence_parallel: bool = True

    @property
    def devices(self) -> int:
        """Devices in use."""
        return self.tp * self.pp * self.dp

    def micro_batches(self, job: TrainingJob) -> int:
        """Micro-batches of a step in each copy."""
        return job.global_batch_sequences // (self.dp * self.micro_batch)

    def __str__(self) -> str:
        ep = f" ep{self.ep}" if self.ep > 1 else ""
        return f"tp{self.tp} pp{self.pp} dp{self.dp}{ep} micro-batch {self.micro_batch}, {self.schedule}"
