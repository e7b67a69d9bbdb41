"""What changed from one training plan to another, in words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from solver.training.plan import TrainingPlan
from solver.training.summary import layers_in_words
from topologies.units import show_seconds


def training_difference(before: TrainingPlan, after: TrainingPlan) -> list[str]:
    """One line for each thing that changed; empty where nothing did."""
    return [*_scenario(before, after), *_degrees(before, after), *_figures(before, after), *_ranks(before, after)]


def _scenario(before: TrainingPlan, after: TrainingPlan) -> Iterator[str]:
    old, new = before.scenario.model_dump(), after.scenario.model_dump()
    yield from (f"scenario {line}" for line in _values(old, new))
    if before.device != after.device:
        yield f"device: {before.device} -> {after.device}"


def _degrees(before: TrainingPlan, after: TrainingPlan) -> Iterator[str]:
    yield from _values(before.degrees.model_dump(), after.degrees.model_dump())
    old, new = (list(map(layers_in_words, plan.stages)) for plan in (before, after))
    changed = [number for number, (a, b) in enumerate(zip(old, new, strict=False)) if a != b]
    if changed:
        first = changed[0]
        yield f"layers of {len(changed)} stages, the first being {first}: {old[first]} -> {new[first]}"


def _values(old: dict[str, Any], new: dict[str, Any], path: str = "") -> Iterator[str]:
    for name in dict.fromkeys((*old, *new)):
        a, b = old.get(name), new.get(name)
        if isinstance(a, dict) and isinstance(b, dict):
            yield from _values(a, b, f"{path}{name}.")
        elif a != b:
            yield f"{path}{name}: {_short(a)} -> {_short(b)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _figures(before: TrainingPlan, after: TrainingPlan) -> Iterator[str]:
    old, new = before.prediction.step_s, after.prediction.step_s
    if old != new:
        yield f"a step: {show_seconds(old)} -> {show_seconds(new)} ({new / old - 1:+.2%})"
    figures = (
        ("USD per million tokens", before.objective.usd_per_million_tokens, after.objective.usd_per_million_tokens),
        ("USD/h", before.objective.usd_per_hour, after.objective.usd_per_hour),
        ("days", before.prediction.days, after.prediction.days),
        ("MFU (causal)", before.prediction.mfu_causal, after.prediction.mfu_causal),
    )
    for name, a, b in figures:
        if a != b:
            yield f"{name}: {a:,.4g} -> {b:,.4g}" + (f" ({b / a - 1:+.2%})" if a else "")


def _ranks(before: TrainingPlan, after: TrainingPlan) -> Iterator[str]:
    if before.placement == after.placement:
        return
    old, new = set(before.placement), set(after.placement)
    stay = sum(a == b for a, b in zip(before.placement, after.placement, strict=False))
    yield (
        f"ranks: {stay:,} stay on their devices; {len(new - old):,} devices come into use, "
        f"{len(old - new):,} fall out of use"
    )
