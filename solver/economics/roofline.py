"""The lecture's roofline of decoding: two straight lines in the batch, and everything that follows from where they cross.

A step computes for every sequence and reads the weights once and every KV cache:
``T = max(B Tc, Tw + B Tk)`` with ``Tc = 2 N_active / (G F)``, ``Tw = W / (G BW)``, ``Tk = context x k / (G BW)``.
It is wrong by whatever is launched, synchronised or sent between devices; :mod:`solver.cost` has those.

Source: Pope and Patel, lecture of 2026; the scaling book (additive form); Erdil, arXiv:2506.04645 (latency limits).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

from solver.errors import BadInput


@dataclass(frozen=True, kw_only=True)
class Serving:
    """An LLM spread evenly over identical devices.

    Attributes
    ----------
    devices: G. flops: dense peak of one [FLOP/s]. bytes_per_s: HBM bandwidth of one.
    weight_bytes: W, of all experts. active_parameters: N_active, used by one token.
    kv_bytes_per_token: k, of all layers. context: tokens that each sequence attends to.

    >>> v3 = Serving(devices=64, flops=1979e12, bytes_per_s=3.35e12, weight_bytes=671e9, active_parameters=37e9)
    >>> round(v3.floor_s * 1e3, 2), round(v3.balance_batch)
    (3.13, 5357)
    """

    devices: int
    flops: float
    bytes_per_s: float
    weight_bytes: float
    active_parameters: float
    kv_bytes_per_token: float = 0.0
    context: float = 0.0

    def __post_init__(self) -> None:
        for name in ("devices", "flops", "bytes_per_s", "weight_bytes", "active_parameters"):
            if getattr(self, name) <= 0:
                raise BadInput(f"roofline: {name} must be positive, not {getattr(self, name)!r}")

    @property
    def floor_s(self) -> float:
        """Tw: seconds to read all weights once; no step is shorter."""
        return self.weight_bytes / (self.devices * self.bytes_per_s)

    @property
    def compute_s_per_sequence(self) -> float:
        """Tc: seconds of arithmetic that one sequence adds to a step."""
        return 2 * self.active_parameters / (self.devices * self.flops)

    @property
    def kv_s_per_sequence(self) -> float:
        """Tk: seconds of reading that one sequence's KV cache adds to a step."""
        return self.context * self.kv_bytes_per_token / (self.devices * self.bytes_per_s)

    @property
    def kv_slope_ratio(self) -> float:
        """r = Tk / Tc; from 1 on no batch makes the step compute-bound."""
        return self.kv_s_per_sequence / self.compute_s_per_sequence

    @property
    def balance_batch(self) -> float:
        """B* = Tw / Tc: sequences whose arithmetic takes as long as reading the weights."""
        return self.floor_s / self.compute_s_per_sequence

    @property
    def crossover_batch(self) -> float:
        """Sequences from which on the step is compute-bound, KV caches included; infinite where r >= 1."""
        return self.balance_batch / (1 - self.kv_slope_ratio) if self.kv_slope_ratio < 1 else math.inf

    def compute_s(self, batch: float) -> float:
        """Seconds of arithmetic of a step."""
        return batch * self.compute_s_per_sequence

    def memory_s(self, batch: float) -> float:
        """Seconds of reading of a step."""
        return self.floor_s + batch * self.kv_s_per_sequence

    def step_s(self, batch: float) -> float:
        """T(B): the longer of the two."""
        return max(self.compute_s(batch), self.memory_s(batch))

    def additive_step_s(self, batch: float) -> float:
        """The scaling book's form: attention cannot hide behind the matrices, ``B Tk + max(B Tc, Tw)``."""
        return batch * self.kv_s_per_sequence + max(self.compute_s(batch), self.floor_s)

    def cost_over_floor(self, batch: float) -> float:
        """Cost of a token over that of pure arithmetic: ``max(1, r + B* / B)``."""
        return max(1.0, self.kv_slope_ratio + self.balance_batch / batch)


def balance_ratio(flops: float, bytes_per_s: float, bytes_per_weight: float) -> float:
    """R = F w / (2 BW): tokens of a dense LLM whose arithmetic takes as long as reading the weights.

    >>> round(balance_ratio(989e12, 3.35e12, 2))
    295
    """
    return flops / (2 * bytes_per_s) * bytes_per_weight


def balance_batch(ratio: float, sparsity: float) -> float:
    """B* = R N_total / N_active.

    >>> balance_batch(300, 8)
    2400
    """
    return ratio * sparsity


def experts_touched_share(sparsity: float, batch: float) -> float:
    """Share of the experts that a batch reads, each token choosing one in ``sparsity``: ``1 - (1 - 1/s)^B``."""
    return float(1 - (1 - 1 / sparsity) ** batch)


def prefill_s(parameters: float, tokens: float, devices: int, flops: float, mfu: float = 1.0) -> float:
    """Seconds to compute a prompt: ``2 N tokens / (G F MFU)``."""
    return 2 * parameters * tokens / (devices * flops * mfu)


class LeastLatency(NamedTuple):
    """The fastest tensor-parallel layout of one sequence.

    Attributes
    ----------
    devices: how many (a real number). latency_s: of one token. tokens_per_s: its inverse.
    """

    devices: float
    latency_s: float

    @property
    def tokens_per_s(self) -> float:
        """Tokens per second of the one sequence."""
        return 1 / self.latency_s


def least_latency(weight_bytes: float, bytes_per_s: float, layers: int, reductions: int, hop_s: float) -> LeastLatency:
    """More devices read faster but reduce over more hops: where the sum is least.

    With reductions over a square grid, ``t(G) = W/(G BW) + 2 n_l n_r t_hop (sqrt(G) - 1)``, least at
    ``G = (W / (n_l n_r t_hop BW))^(2/3)``; a token's latency grows as the square root of the LLM's size.

    Parameters
    ----------
    reductions: all-reduces of a layer. hop_s: seconds that one hop adds to each.

    Source: Erdil, arXiv:2506.04645, equations 12 to 14.

    >>> round(least_latency(2 * 70.6e9, 3.3e12, 80, 4, 1e-6).tokens_per_s)
    234
    """
    hops = layers * reductions * hop_s
    read_s = weight_bytes / bytes_per_s
    devices = math.pow(read_s / hops, 2 / 3)
    latency = 3 * math.pow(hops, 2 / 3) * math.pow(read_s, 1 / 3) - 2 * hops
    return LeastLatency(devices, latency)
