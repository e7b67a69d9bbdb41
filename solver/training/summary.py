"""A training plan in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import groupby

from solver.training.plan import TrainingPlan, TrainingStage
from topologies.units import show_bytes, show_seconds

_WORDS = {"store": "stored", "selective": "selective", "full": "recomputed", "reversible": "reversible"}


def summary(plan: TrainingPlan) -> str:
    """The answer, a line for each thing that people ask first."""
    cost, step = plan.objective, plan.prediction
    memory = plan.stages[plan.fullest].memory
    total = plan.scenario.training.total_tokens
    lines = [
        f"{cost.usd_per_million_tokens:.4g} USD per million training tokens, {cost.usd_per_hour:,.4g} USD/h; no layout costs "
        f"less than {cost.bound:.4g} (gap {cost.gap:.2%} over {plan.provenance.layouts:,} layouts)",
        f"{plan.degrees.layout()} in {plan.precision} on {len(plan.placement):,} x {plan.device}: "
        f"{show_seconds(step.step_s)} an iteration, MFU {step.mfu_causal:.1%} of the bf16 peak (causal attention; "
        f"{step.mfu_full:.1%} with masked scores counted)",
        f"{step.days:,.1f} days and {cost.usd:,.0f} USD for {total:.3g} tokens",
        f"the fullest stage takes {show_bytes(memory.used_bytes)} of {show_bytes(memory.capacity_bytes)}",
        *stage_lines(plan),
        *(f"note: {caveat}" for caveat in plan.caveats),
    ]
    return "\n".join(lines)


def stage_lines(plan: TrainingPlan) -> Iterator[str]:
    """Runs of like stages, one line each."""
    first = 0
    for what, run in groupby(plan.stages, key=layers_in_words):
        length = len(list(run))
        name = f"stage {first}" if length == 1 else f"stages {first} to {first + length - 1}"
        yield f"  {name}: {what}"
        first += length


def layers_in_words(stage: TrainingStage) -> str:
    """How many layers of each policy a stage has.

    The empty stage of a chunk with the embedding alone reads ``no layers``.
    """
    counts: Counter[str] = Counter()
    for run in stage.policies:
        counts[_WORDS[run.policy]] += run.layers[1] - run.layers[0] + 1
    return (", ".join(f"{count} {word}" for word, count in counts.items()) or "no") + " layers"
