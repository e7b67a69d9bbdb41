"""The pure-roofline envelope: what no layout on given devices can beat, whatever its parallelism and batch.

Decoding costs device-seconds of the lecture's step with the experts that a batch touches read once, prompts cost their
arithmetic, and nothing else takes time: no collectives, kernels, queues or whole numbers of hosts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.economics.roofline import Serving, matrix_s, weights_read
from solver.llm import LLM
from topologies import Device

Floats = NDArray[np.float64]

#: Numbers of devices and batches that are tried, evenly in logarithms.
GRID = 160
MOST_BATCH = 1e6


@dataclass(frozen=True)
class MeanRequest:
    """What a mean request asks for.

    Attributes
    ----------
    prompt: prompt tokens to compute. context: tokens that an output token attends to, in the mean. output: output tokens.
    tokens_per_step: output tokens of a sequence in one step; above 1 where drafts are accepted.
    """

    prompt: float
    context: float
    output: float
    tokens_per_step: float = 1.0


@dataclass(frozen=True)
class Rented:
    """Devices of one kind: how many there are, and their rent [USD per hour each]."""

    device: Device
    count: int
    usd_per_hour: float


def least_usd(llm: LLM, demand: MeanRequest, rented: Sequence[Rented], tokens_per_s: float) -> float | None:
    """USD per million output tokens at a user's speed; None where even the roofline is slower.

    Parameters
    ----------
    tokens_per_s: output tokens per second that each user gets.
    """
    found = [_least(llm, demand, kind, tokens_per_s) for kind in rented]
    return min((usd for usd in found if usd is not None), default=None)


def _least(llm: LLM, demand: MeanRequest, kind: Rented, tokens_per_s: float) -> float | None:
    device = kind.device
    even = Serving.of(llm, device, context=demand.context)
    devices = np.geomspace(1, kind.count, GRID)[:, None]
    batch = np.geomspace(1, MOST_BATCH, 2 * GRID)[None, :]
    read = weights_read(llm, batch) / device.hbm_bytes_per_s + batch * even.kv_s_per_sequence
    step = np.maximum(batch * even.compute_s_per_sequence, read) / devices
    capacity = devices * max(device.hbm_bytes, device.hbm_usable_bytes)
    fits = llm.weight_bytes + batch * llm.kv_bytes(demand.context) <= capacity
    fast = step <= demand.tokens_per_step / tokens_per_s * (1 + 1e-9)
    decode_s = np.where(fits & fast, devices * step / (batch * demand.tokens_per_step), np.inf).min()
    if not np.isfinite(decode_s):
        return None
    prefill_s = demand.prompt / demand.output * matrix_s(llm, device)
    return float((decode_s + prefill_s) * kind.usd_per_hour / 3600 * 1e6)
