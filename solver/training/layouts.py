"""Every way in which some devices can share a training step: the legal shapes, before their stages are filled."""

from __future__ import annotations

from collections.abc import Iterator

from solver.training.job import Layout, TrainingJob
from solver.training.network import Network
from solver.training.schedules import Schedule

#: Micro-batches of more sequences than this only cost memory.
MOST_MICRO_BATCH = 16


def layouts(network: Network, job: TrainingJob, devices: int, domain: int, whole: bool) -> Iterator[Layout]:
    """Legal layouts on up to so many devices, or on all of them where ``whole``.

    Tensor parallelism stays inside a scale-up domain and divides heads; expert parallelism divides copies and experts.
    """
    for tp in _divisors(network.heads):
        if tp > min(domain, devices) or domain % tp:
            continue
        for pp in range(1, min(network.layers, devices // tp) + 1):
            for dp in _divisors(job.global_batch_sequences):
                used = tp * pp * dp
                if used > devices or (whole and used != devices):
                    continue
                yield from _settled(network, job, tp, pp, dp)


def _settled(network: Network, job: TrainingJob, tp: int, pp: int, dp: int) -> Iterator[Layout]:
    """Micro-batches, schedules and expert degrees of a shape."""
    share = job.global_batch_sequences // dp
    spread = [ep for ep in _divisors(network.experts) if dp % ep == 0] if network.experts else [1]
    for micro in _divisors(share):
        if micro > MOST_MICRO_BATCH:
            break
        for schedule in _schedules(network.layers, pp):
            if schedule.legal(pp, share // micro, network.layers):
                for ep in spread:
                    yield Layout(tp, pp, dp, ep, micro, schedule)


def _schedules(layers: int, stages: int) -> Iterator[Schedule]:
    yield Schedule("1f1b")
    if stages > 1:
        yield Schedule("zero-bubble")
        yield Schedule("gpipe")
        for chunks in _divisors(layers // stages):
            if chunks > 1:
                yield Schedule("interleaved", chunks)


def _divisors(number: int) -> list[int]:
    """Divisors, smallest first.

    >>> _divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    return [d for d in range(1, number + 1) if number % d == 0]
