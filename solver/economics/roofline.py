"""The lecture's roofline of decoding: two straight lines in the batch, and everything that follows from where they cross.

A step computes for every sequence and reads the weights once and every KV cache:
``T = max(B Tc, Tw + B Tk)`` with ``Tc = (2 N_active + A) / (G F)``, ``Tw = W / (G BW)``, ``Tk = context x k / (G BW)``,
where A are the FLOP of attention, which the lecture leaves out and MLA makes as large as the rest.
It is wrong by whatever is launched, synchronised or sent between devices; :mod:`solver.cost` has those.

Source: Pope and Patel, lecture of 2026; the scaling book (additive form); Erdil, arXiv:2506.04645 (latency limits).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from solver.cost.steps.roofline import experts_touched
from solver.errors import BadInput
from solver.llm import LLM, Dtype, Layer
from topologies import Device

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Serving:
    """An LLM spread evenly over identical devices.

    Attributes
    ----------
    devices: G. flops: dense peak of one [FLOP/s]. bytes_per_s: HBM bandwidth of one.
    weight_bytes: W, of all experts. active_parameters: N_active, used by one token.
    kv_bytes_per_token: k, of all layers. context: tokens that each sequence attends to.
    attention_flop: A, of one sequence's token at this context, in FLOP at the rate of ``flops``.
    state_bytes: recurrent state that a step reads and writes for each sequence, whatever its context.

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
    attention_flop: float = 0.0
    state_bytes: float = 0.0

    @classmethod
    def of(cls, llm: LLM, device: Device, devices: int = 1, context: float = 0.0) -> Serving:
        """An LLM of the catalog on devices of the catalog: every part in its number format, at its peak.

        Its weights are those that a step of many sequences reads: all experts, and of embeddings only the head.

        >>> import topologies
        >>> v3 = Serving.of(LLM.from_config("deepseek-v3"), topologies.device("gb200"), context=4000)
        >>> v3.kv_slope_ratio < 1 < v3.attention_flop / (2 * v3.active_parameters)
        True
        """
        active = llm.active_parameters()
        flops = 2 * active / matrix_s(llm, device)
        state = kv_read_bytes(llm, 0.0)
        return cls(
            devices=devices,
            flops=flops,
            bytes_per_s=device.hbm_bytes_per_s,
            weight_bytes=float(weights_read(llm, np.array(math.inf))),
            active_parameters=active,
            kv_bytes_per_token=(kv_read_bytes(llm, context) - state) / context if context else 0.0,
            context=context,
            attention_flop=attention_flop(llm, context) / device.flops["bf16"] * flops,
            state_bytes=state,
        )

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
        return (2 * self.active_parameters + self.attention_flop) / (self.devices * self.flops)

    @property
    def kv_s_per_sequence(self) -> float:
        """Tk: seconds of reading that one sequence's KV cache adds to a step."""
        return (self.context * self.kv_bytes_per_token + self.state_bytes) / (self.devices * self.bytes_per_s)

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
        return cost_over_floor(batch, self.balance_batch, self.kv_slope_ratio)


def cost_over_floor(batch: float, balance_batch: float, kv_slope_ratio: float = 0.0) -> float:
    """Cost of a token at a batch over that of pure arithmetic: ``max(1, r + B* / B)``."""
    return max(1.0, kv_slope_ratio + balance_batch / batch)


def matrix_s(llm: LLM, device: Device) -> float:
    """Seconds of a token's matrix products on one device, each part at the peak of its number format."""
    precision, total = llm.precision, llm.head_parameters / device.flops["bf16"]

    def seconds(parameters: float, kept: Dtype) -> float:
        return parameters / device.flops[kept.rate(device.flops)]

    for layer, count in llm.layer_kinds:
        attention, ffn = layer.attention, layer.ffn
        queries = attention.parameters - attention.bf16_parameters - attention.output_parameters
        small = ffn.router_parameters + ffn.latent_parameters + attention.flop_per_token / 2
        total += count * (
            seconds(queries, precision.attention)
            + seconds(attention.output_parameters, precision.attention_output)
            + seconds(ffn.dense_parameters, precision.dense)
            + seconds(ffn.shared_parameters, precision.shared)
            + seconds(ffn.visited * ffn.expert_parameters if ffn.experts else 0.0, precision.experts)
            + small / device.flops["bf16"]
        )
    return 2 * total


def attention_flop(llm: LLM, context: float) -> float:
    """FLOP of a token's attention in all layers when it is decoded at a context, an indexer's among them."""
    kinds = ((layer.attention, count) for layer, count in llm.layer_kinds)
    return sum(
        count * (one.attended_keys(context) * one.decode_flop_per_key + one.indexed_keys(context) * one.indexer_flop_per_key)
        for one, count in kinds
    )


def kv_read_bytes(llm: LLM, context: float) -> float:
    """Bytes of one sequence's cache that a step reads at a context: attended keys, an indexer's, a recurrent state twice."""
    cache = llm.precision.kv_cache
    return sum(
        count
        * (
            one.attended_keys(context) * one.kv_entry_bytes(cache)
            + one.indexed_keys(context) * one.kv_extra_bytes_per_token
            + 2 * one.state_bytes
        )
        for one, count in ((layer.attention, number) for layer, number in llm.layer_kinds)
    )


def without_selection(llm: LLM) -> LLM:
    """The same LLM where every query attends to all keys of its window, and no indexer selects among them."""

    def whole(layer: Layer) -> Layer:
        return replace(
            layer,
            attention=replace(layer.attention, budget=None, indexer_flop_per_key=0, kv_extra_bytes_per_token=0),
        )

    return replace(llm, layers=tuple(whole(layer) for layer in llm.layers))


def weights_read(llm: LLM, batch: Floats) -> Floats:
    """Bytes of weights that a step of a batch reads: all that every token meets, and the experts that some token met."""
    total = np.full_like(batch, llm.head_parameters * llm.precision.head.bytes_per_element)
    for layer, count in llm.layer_kinds:
        ffn, whole = layer.ffn, layer.weight_bytes(llm.precision)
        if ffn.experts:
            touched = experts_touched(np.array(float(ffn.experts)), np.array(ffn.visited), batch)
            total = total + count * (whole - (ffn.experts - touched) * ffn.expert_bytes(llm.precision))
        else:
            total = total + count * whole
    return total


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
    return float(experts_touched(np.array(sparsity), np.array(1.0), np.array(batch)) / sparsity)


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
