"""Pipeline schedules: how long devices wait, and how many micro-batches they hold meanwhile.

With stage times t_s (forward, backward and recomputation of one micro-batch) an iteration of m micro-batches takes
``m max_s t_s + rho (sum_s t_s - max_s t_s)``; rho is the share of the classic bubble that a schedule leaves.

=============  ==========================  ========================================================
schedule       rho                         micro-batches held by stage s of p
=============  ==========================  ========================================================
gpipe          1                           m
1f1b           1                           min(m, p - s)
interleaved    1 / v                       (2 (p - s - 1) + (v - 1) p + 1) / v, v chunks a device
zero-bubble    (F + B - 2 W) / (F + B)     min(m, p - s)
=============  ==========================  ========================================================

Source: Narayanan et al., arXiv:2104.04473; Korthikanti et al., arXiv:2205.05198 (interleaved memory); Qi et al.,
arXiv:2401.10241 (ZB-H1).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from solver.errors import BadInput

Kind = Literal["gpipe", "1f1b", "interleaved", "zero-bubble"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, order=True)
class Schedule:
    """A schedule.

    Attributes
    ----------
    chunks: v, parts of the network on each device; 1 unless interleaved.
    """

    kind: Kind
    chunks: int = 1

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise BadInput(f"training: there is no schedule {self.kind!r}; there are {', '.join(KINDS)}")
        if (self.chunks > 1) != (self.kind == "interleaved"):
            raise BadInput(
                f"training: {self.kind} with {self.chunks} chunks a device; only interleaved has more than one"
            )

    def legal(self, stages: int, micro_batches: int, layers: int) -> bool:
        """Whether Megatron would run it."""
        if self.kind == "interleaved":
            return stages > 1 and micro_batches % stages == 0 and layers % (stages * self.chunks) == 0
        return stages <= layers and (stages > 1 or self.kind == "1f1b")

    def bubble(self, forward: float, backward: float, weights: float) -> float:
        """rho, from the times of a layer: backward includes recomputation, ``weights`` is the part for weight gradients."""
        if self.kind == "interleaved":
            return 1 / self.chunks
        if self.kind == "zero-bubble":
            return max(0.0, (forward + backward - 2 * weights) / (forward + backward))
        return 1.0

    def held(self, stages: int, stage: int, micro_batches: int) -> float:
        """Micro-batches whose activations a stage holds at most, in units of all its layers.

        >>> Schedule("interleaved", 3).held(8, 0, 64) / 8 == 1 + 7 / (8 * 3)
        True
        """
        if self.kind == "gpipe":
            return micro_batches
        if self.kind == "interleaved":
            chunks = 2 * (stages - stage - 1) + (self.chunks - 1) * stages + 1
            return min(chunks / self.chunks, micro_batches)
        return min(micro_batches, stages - stage)

    def __str__(self) -> str:
        return f"{self.kind} x{self.chunks}" if self.chunks > 1 else self.kind
