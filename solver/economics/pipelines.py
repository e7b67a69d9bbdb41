"""Pipelines: the bubble of training schedules, what serving through stages costs in memory, and the hop between them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


def bubble_over_work(stages: int, micro_batches: int, interleaved: int = 1) -> float:
    """Idle over useful time of GPipe and 1F1B: ``(p-1) / (m v)``.

    Source: Narayanan et al., arXiv:2104.04473.

    >>> bubble_over_work(4, 8)
    0.375
    """
    return (stages - 1) / (micro_batches * interleaved)


def bubble_share(stages: int, micro_batches: int, interleaved: int = 1) -> float:
    """Idle share of all time: ``(p-1) / (m v + p-1)``."""
    idle = bubble_over_work(stages, micro_batches, interleaved)
    return idle / (1 + idle)


@dataclass(frozen=True)
class MicroBatch:
    """Seconds of one stage for one micro-batch.

    Attributes
    ----------
    forward: F. backward: B, all of it. weights: W, the part of B that computes gradients of weights.
    together: F and B overlapped (DualPipe).
    """

    forward: float
    backward: float
    weights: float
    together: float

    def bubble_1f1b(self, stages: int) -> float:
        """``(p-1) (F + B)``."""
        return (stages - 1) * (self.forward + self.backward)

    def bubble_zero(self, stages: int) -> float:
        """ZB1P: weight gradients fill the bubble, ``(p-1) (F + B - 2W)``."""
        return (stages - 1) * (self.forward + self.backward - 2 * self.weights)

    def bubble_dual(self, stages: int) -> float:
        """DualPipe: both directions at once, ``(p/2 - 1) (FB + B - 3W)``."""
        return (stages / 2 - 1) * (self.together + self.backward - 3 * self.weights)


class Held(NamedTuple):
    """What a device holds for a schedule: copies of its parameters, and micro-batches' activations."""

    parameters: int
    activations: int


def held_1f1b(stages: int) -> Held:
    """1F1B and ZB1P hold p micro-batches on the first stage."""
    return Held(1, stages)


def held_dual(stages: int) -> Held:
    """DualPipe holds two copies of the parameters and p + 1 micro-batches.

    Source: DeepSeek-AI, DeepSeek-V3 report, Table 2.
    """
    return Held(2, stages + 1)


def idle_share_of_decode(stages: int, micro_batches: int) -> float:
    """Decoding has no bubble from p micro-batches on; with fewer, ``1 - m/p`` of the time is idle."""
    return max(0.0, 1 - micro_batches / stages)


class StageMemory(NamedTuple):
    """Bytes on one device of a serving pipeline."""

    weights: float
    kv: float


def serving_memory(
    weight_bytes: float, devices: int, stages: int, micro_batch: float, context: float, kv_bytes_per_token: float
) -> StageMemory:
    """Stages divide the weights; p micro-batches in flight undo the division of the KV caches: ``b L k / E`` for any p.

    Parameters
    ----------
    devices: E, of one stage.
    """
    return StageMemory(
        weights=weight_bytes / (devices * stages), kv=micro_batch * context * kv_bytes_per_token / devices
    )


def hop_s(
    micro_batch: float, devices: int, width: int, element_bytes: float, bytes_per_s: float, latency_s: float
) -> float:
    """Seconds to pass a micro-batch to the next stage: ``alpha + b/G d x bytes / W``.

    The lecture guesses a few milliseconds; it is some 15 microseconds.
    """
    return latency_s + micro_batch / devices * width * element_bytes / bytes_per_s
