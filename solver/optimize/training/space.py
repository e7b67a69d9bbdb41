"""Every way in which some devices can share a training step: shapes first, then what else a layout must settle.

The space, over which a bound holds:

- tp divides the heads and fills whole scale-up domains evenly; cp divides the sequence into twice as many equal parts;
- pp up to the number of layers; dp divides the global batch, with ``whole`` the most that fit;
- micro-batches of 1 to 16 sequences that divide a copy's share; experts over 1 to all ranks of a stage, in equal parts;
- ZeRO 1 to 3 (ZeRO 0 sends as much as ZeRO 1 and shares less), 2 and 3 without a pipeline only;
- the schedules, exchanges and policies that the framework has; interleaved with chunks of at most one layer's slack.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from solver.training.frameworks import Framework
from solver.training.job import Exchange, TrainingJob, TrainingLayout
from solver.training.network import Network
from solver.training.scenario import PinnedLayout
from solver.training.schedules import Schedule

#: Micro-batches of more sequences than this only cost memory.
MOST_MICRO_BATCH = 16
#: Ranks that may share a sequence.
MOST_CONTEXT = 64


@dataclass(frozen=True, order=True)
class Shape:
    """Degrees that decide how many devices there are."""

    tp: int
    cp: int
    pp: int
    dp: int

    @property
    def devices(self) -> int:
        """Devices in use."""
        return self.tp * self.cp * self.pp * self.dp

    def agrees(self, pinned: PinnedLayout) -> bool:
        """Whether its degrees are those that are pinned."""
        return all(getattr(pinned, name) in (None, getattr(self, name)) for name in ("tp", "cp", "pp", "dp"))


def shapes(network: Network, job: TrainingJob, devices: int, domain: int, whole: bool) -> Iterator[Shape]:
    """Degrees on up to so many devices; with ``whole`` no copy more would fit."""
    for tp in divisors(network.heads):
        if tp > min(domain, devices) or domain % tp:
            continue
        for cp in _contexts(job, devices // tp):
            for pp in range(1, min(len(network.layers), devices // (tp * cp)) + 1):
                fit = [dp for dp in divisors(job.global_batch_sequences) if tp * cp * pp * dp <= devices]
                for dp in fit[-1:] if whole else fit:
                    yield Shape(tp, cp, pp, dp)


def _contexts(job: TrainingJob, room: int) -> Iterator[int]:
    cp = 1
    while cp <= min(room, MOST_CONTEXT) and (cp == 1 or (job.sequence_tokens % (2 * cp) == 0 and job.flash)):
        yield cp
        cp *= 2


def layouts(
    network: Network,
    job: TrainingJob,
    shape: Shape,
    framework: Framework,
    pinned: PinnedLayout | None = None,
) -> Iterator[TrainingLayout]:
    """All layouts of a shape that agree with what is pinned."""
    pins = pinned or PinnedLayout()
    for layout in _layouts(network, job, shape, framework, pins):
        chosen = {"schedule": layout.schedule.kind, "chunks": layout.schedule.chunks}
        chosen |= {name: getattr(layout, name) for name in ("ep", "zero", "micro_batch", "exchange")}
        if all(getattr(pins, name) in (None, value) for name, value in chosen.items()):
            yield layout


def _layouts(
    network: Network, job: TrainingJob, shape: Shape, framework: Framework, pins: PinnedLayout
) -> Iterator[TrainingLayout]:
    share = job.global_batch_sequences // shape.dp
    exchanges: tuple[Exchange, ...] = framework.exchanges if shape.cp > 1 else ("ring",)
    for micro in divisors(share) if pins.micro_batch is None else (pins.micro_batch,):
        if micro > MOST_MICRO_BATCH or share % micro:
            continue
        for schedule in _schedules(len(network.layers), shape.pp, framework):
            if not schedule.legal(shape.pp, share // micro, len(network.layers)):
                continue
            for ep in _experts(network, shape):
                for zero in _sharing(shape, framework) if pins.zero is None else (pins.zero,):
                    for exchange in exchanges:
                        for overlap in _overlaps(ep, schedule, shape, framework):
                            yield TrainingLayout(
                                shape.tp, shape.pp, shape.dp, micro, schedule, shape.cp, ep, zero, exchange, overlap
                            )


def _experts(network: Network, shape: Shape) -> list[int]:
    stage = shape.tp * shape.cp * shape.dp
    return [ep for ep in divisors(network.experts) if stage % ep == 0] if network.experts else [1]


def _sharing(shape: Shape, framework: Framework) -> list[int]:
    least = [zero for zero in framework.zero if zero == 1 or (zero > 1 and shape.pp == 1)]
    return least if shape.cp * shape.dp > 1 else [1]


def _overlaps(ep: int, schedule: Schedule, shape: Shape, framework: Framework) -> tuple[bool, ...]:
    """Hiding the exchange of tokens takes another micro-batch's work: chunks to switch between, or no pipeline."""
    able = ep > 1 and not schedule.folded and schedule.kind in framework.overlaps
    return (False, True) if able and (shape.pp == 1 or schedule.kind == "interleaved") else (False,)


def _schedules(layers: int, stages: int, framework: Framework) -> Iterator[Schedule]:
    for kind in framework.schedules:
        if kind != "interleaved":
            yield Schedule(kind)
            continue
        for chunks in range(2, (layers + 2) // stages + 1):
            # chunks as long as each other, the first and the last perhaps shorter by what the embedding and head take
            if any((layers + ends) % (stages * chunks) == 0 for ends in range(3)):
                yield Schedule("interleaved", chunks)


def divisors(number: int) -> list[int]:
    """Divisors, smallest first.

    >>> divisors(12)
    [1, 2, 3, 4, 6, 12]
    """
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    return small + [number // d for d in reversed(small) if d * d != number]
