"""Decoding as trains: a step leaves on time and carries whoever waits; what that does to waits, seats and pools."""

from __future__ import annotations

import math
from typing import NamedTuple

from solver.errors import BadInput


class Waits(NamedTuple):
    """Latency of one step for a request that arrives at any moment, while seats last [s].

    Attributes
    ----------
    boarding: mean wait for the next departure. mean, worst: until the arrival of the train.
    """

    boarding: float
    mean: float
    worst: float


def waits(step_s: float) -> Waits:
    """Uniform arrivals wait half a step on average and travel one: 1.5 T in the mean, 2 T at worst.

    >>> waits(0.02)
    Waits(boarding=0.01, mean=0.03, worst=0.04)
    """
    return Waits(step_s / 2, step_s + step_s / 2, 2 * step_s)


def tokens_per_s(batch: float, step_s: float) -> float:
    """Every sequence on a train gets one token per step."""
    return batch / step_s


def concurrency(requests_per_s: float, output_tokens: float, step_s: float) -> float:
    """Little's law: sequences in flight while each stays for its output.

    >>> concurrency(120, 1000, 0.02)
    2400.0
    """
    return requests_per_s * output_tokens * step_s


def concurrency_from_rates(tokens_per_s: float, tokens_per_s_per_user: float) -> float:
    """Little's law read backwards: users that share a throughput."""
    return tokens_per_s / tokens_per_s_per_user


def overfull_probability(seats: int, load: float) -> float:
    """Probability that more board than there are seats: ``P(Poisson(load x seats) > seats)``.

    The tail is summed directly, in logarithms, so that it keeps its digits when it is small.

    >>> round(overfull_probability(100, 0.8), 4)
    0.0132

    Raises
    ------
    BadInput: a load that is not positive.
    """
    mean = load * seats
    if seats < 1 or mean <= 0:
        raise BadInput(f"trains: seats and load must be positive, not {seats} and {load:g}")
    term = math.exp((seats + 1) * math.log(mean) - mean - math.lgamma(seats + 2))
    tail, count = 0.0, seats + 1
    while term > tail * 1e-17 or count < mean:
        tail += term
        count += 1
        term *= mean / count
    return min(tail, 1.0)


def prefill_per_decode(batch: float, prefill_s: float, step_s: float, output_tokens: float) -> float:
    """Prefill replicas that keep one decode replica full: ``B t_prefill / (t_step output)``."""
    return batch * prefill_s / (step_s * output_tokens)


def drain_s(capacity_bytes: float, bytes_per_s: float) -> float:
    """Seconds to read a memory once: the longest useful step, since no step reads a byte twice.

    >>> round(drain_s(80e9, 3.35e12) * 1e3, 1)
    23.9
    """
    return capacity_bytes / bytes_per_s


def balanced_mfu_at_drain(weight_bytes: float, devices: int, hbm_bytes: float) -> float:
    """MFU of a train at the balance batch that lasts one drain: ``W / (G C)``.

    The lecture pairs a batch of 2,000 with steps of 15 to 20 ms; both hold at once only where weights fill the HBM.
    """
    return weight_bytes / (devices * hbm_bytes)
