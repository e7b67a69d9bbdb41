"""Schedules played piece by piece take as long as their formula says."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest

from solver.training.schedules import Schedule
from solver.training.timeline import ChunkPace, play


@pytest.mark.parametrize("micro_batches", [8, 12, 24])
@pytest.mark.parametrize(
    "schedule", [Schedule("gpipe"), Schedule("1f1b"), Schedule("interleaved", 2), Schedule("interleaved", 3)], ids=str
)
def test_even_stages(schedule: Schedule, micro_batches: int) -> None:
    stages, forward, backward = 4, 1.0, 2.0
    spans = play(schedule, [ChunkPace(forward, backward, 1.0)] * stages, micro_batches)
    own = (forward + backward) * schedule.chunks
    rho = schedule.bubble(stages, forward, backward, 1.0, forward + backward)
    assert max(span.end for span in spans) == pytest.approx(micro_batches * own + rho * (stages - 1) * own)


def test_zero_bubble_fills_idle_time_with_gradients_of_weights() -> None:
    stages, micro_batches = 4, 12
    spans = play(Schedule("zero-bubble"), [ChunkPace(1.0, 2.0, 1.0)] * stages, micro_batches)
    rho = Schedule("zero-bubble").bubble(stages, 1.0, 2.0, 1.0, 3.0)
    assert max(span.end for span in spans) == pytest.approx(micro_batches * 3 + rho * (stages - 1) * 3)


@pytest.mark.parametrize("slow", range(4))
def test_uneven_stages_under_1f1b(slow: int) -> None:
    """m times the slowest, and the others once more: at most, for the others may hide some of it behind the slowest."""
    seconds = [3.0] * 4
    seconds[slow] = 4.5
    spans = play(Schedule("1f1b"), [ChunkPace(s / 3, 2 * s / 3, s / 3) for s in seconds], 32)
    formula = 32 * max(seconds) + sum(seconds) - max(seconds)
    assert 0.96 * formula <= max(span.end for span in spans) <= formula + 1e-9


@pytest.mark.parametrize(("stages", "micro_batches"), [(4, 12), (8, 20), (16, 40)])
@pytest.mark.parametrize("kind", ["dualpipe", "dualpipe-v"])
def test_folded_schedules(kind: str, stages: int, micro_batches: int) -> None:
    """All work is done, no device does two things at once, and the published bubble is no shorter than what is played."""
    schedule = Schedule(kind)  # type: ignore[arg-type]
    spans = play(schedule, [ChunkPace(1.0, 2.0, 1.0)] * stages, micro_batches)
    parts = 2 if kind == "dualpipe-v" else 1
    count = Counter(span.what for span in spans)
    assert count["F"] == count["B"] + count["I"] == micro_batches * stages * parts
    assert count["I"] == count["W"] > 0
    for device in range(stages):
        own = sorted((span.start, span.end) for span in spans if span.device == device)
        assert all(before[1] <= after[0] + 1e-9 for before, after in itertools.pairwise(own))
    rho = schedule.bubble(stages, 1.0, 2.0, 1.0, 3.0)
    formula = 3.0 * parts * (micro_batches + rho * (stages - 1))
    assert 0.93 * formula <= max(span.end for span in spans) <= formula


@pytest.mark.parametrize("chunks", [1, 2])
def test_a_device_never_holds_more_than_the_schedule_says(chunks: int) -> None:
    schedule = Schedule("interleaved", 2) if chunks == 2 else Schedule("1f1b")
    for device in range(4):
        held = most = 0.0
        own = [s for s in play(schedule, [ChunkPace(1.0, 2.0, 1.0)] * 4, 16) if s.device == device]
        for span in sorted(own, key=lambda span: span.start):
            held += 1 if span.what == "F" else -1
            most = max(most, held)
        assert most / chunks <= schedule.held(4, device, 16)
