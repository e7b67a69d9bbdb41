"""A training plan: the layout, its stages, what it costs, and how near to the best it is."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

from solver.training.assign import Counts, Filled, stage_bytes
from solver.training.stages import StageCosts
from topologies.units import show_bytes, show_seconds


@dataclass(frozen=True)
class TrainingPlan:
    """What the search found.

    Attributes
    ----------
    stages: layers of each by policy, and its time. usd_per_hour: rent.
    bound: least USD per million training tokens of any layout. considered: legal layouts.
    """

    costs: StageCosts
    stages: tuple[Filled, ...]
    usd_per_hour: float
    bound: float
    considered: int

    @property
    def iteration_s(self) -> float:
        """Seconds of a step of the optimiser."""
        return self.costs.iteration_s([stage.seconds for stage in self.stages])

    @property
    def usd_per_million_tokens(self) -> float:
        """USD per million training tokens."""
        return self.usd_per_hour / 3600 * self.iteration_s / self.costs.job.tokens_per_step * 1e6

    @property
    def gap(self) -> float:
        """How far above the bound at most."""
        return max(0.0, 1 - self.bound / self.usd_per_million_tokens)

    @property
    def mfu(self) -> float:
        """Share of the peak that the network's own FLOP use."""
        costs = self.costs
        flop = costs.network.flop_per_token(costs.job.sequence_tokens) * costs.job.tokens_per_step
        return flop / (self.iteration_s * costs.layout.devices * costs.device.flops["bf16"])

    @property
    def days(self) -> float:
        """Days of the whole run."""
        return self.costs.job.total_tokens / self.costs.job.tokens_per_step * self.iteration_s / 86400

    @property
    def usd(self) -> float:
        """USD of the whole run."""
        return self.usd_per_million_tokens * self.costs.job.total_tokens / 1e6

    @property
    def fullest_bytes(self) -> float:
        """HBM of the fullest stage."""
        return max(state + kept for state, kept in self.stage_bytes)

    @property
    def stage_bytes(self) -> list[tuple[float, float]]:
        """Bytes of weights with their optimiser, and of activations, of every stage."""
        return [stage_bytes(self.costs, number, stage.counts) for number, stage in enumerate(self.stages)]

    def to_plain(self) -> dict[str, Any]:
        """The plan as JSON has it."""
        layout = self.costs.layout
        return {
            "network": self.costs.network.name,
            "parallelism": {"tp": layout.tp, "pp": layout.pp, "dp": layout.dp, "ep": layout.ep},
            "device": self.costs.device.name,
            "devices": layout.devices,
            "micro_batch": layout.micro_batch,
            "schedule": str(layout.schedule),
            "iteration_s": self.iteration_s,
            "mfu": self.mfu,
            "objective": {
                "usd_per_million_tokens": self.usd_per_million_tokens,
                "bound": self.bound,
                "gap": self.gap,
                "usd_per_hour": self.usd_per_hour,
                "usd": self.usd,
            },
            "days": self.days,
            "layouts_considered": self.considered,
            "stages": [
                {"layers": stage.counts, "micro_batch_s": stage.seconds, "state_bytes": state, "activation_bytes": kept}
                for stage, (state, kept) in zip(self.stages, self.stage_bytes, strict=True)
            ],
        }

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.usd_per_million_tokens:.4g} USD per million training tokens, {self.usd_per_hour:,.4g} USD/h; no layout "
                f"costs less than {self.bound:.4g} (gap {self.gap:.2%} over {self.considered:,} layouts)",
                f"{self.costs.layout} on {self.costs.layout.devices} x {self.costs.device.name}: "
                f"{show_seconds(self.iteration_s)} an iteration, MFU {self.mfu:.1%}",
                f"{self.days:,.1f} days and {self.usd:,.0f} USD for {self.costs.job.total_tokens:.3g} tokens",
                f"the fullest stage takes {show_bytes(self.fullest_bytes)} of {show_bytes(self.costs.room_bytes)}",
                *self._runs(),
            ]
        )

    def _runs(self) -> list[str]:
        """Runs of like stages, one line each."""
        lines, first = [], 0
        for counts, run in groupby(self.stages, key=lambda stage: tuple(sorted(stage.counts.items()))):
            length = len(list(run))
            name = f"stage {first}" if length == 1 else f"stages {first} to {first + length - 1}"
            lines.append(f"  {name}: {_layers(dict(counts))}")
            first += length
        return lines


def _layers(counts: Counts) -> str:
    names = {"store": "stored", "selective": "selective", "full": "recomputed", "reversible": "reversible"}
    return ", ".join(f"{count} {names[policy]}" for policy, count in counts.items() if count) + " layers"
