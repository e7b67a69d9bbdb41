"""The memory ledger of one rank: weights, KV cache, activations, buffers and reserve against its usable HBM.

Batch decides every answer, so memory is a ledger, not a fraction. Rows are replica shapes (R), stages S; the fullest stage
decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.work import Stages, default_stages
from solver.llm import LLM, Layer, count_kinds
from solver.replica import Parallelism
from topologies import Device

Floats = NDArray[np.float64]

#: Tokens per KV block: sequences occupy whole blocks (vLLM and SGLang page sizes are 1..64, 16 and 64 the usual ones).
BLOCK_TOKENS = 16


@dataclass(frozen=True)
class Ledger:
    """Bytes of one rank by stage (R, S), and the capacity they share (R,).

    Attributes
    ----------
    weights, activations, buffers: bytes that do not depend on the number of sequences (R, S).
    reserve: runtime, libraries and captured graphs (R,).
    capacity: HBM the engine may fill (R,).
    kv_token: KV bytes per cached token of the layers that keep every token (R, S).
    windows: size of each local window [tokens] (W,) and KV bytes per token inside it (R, S, W).
    state: bytes of each sequence whatever its length (R, S).
    """

    weights: Floats
    activations: Floats
    buffers: Floats
    reserve: Floats
    capacity: Floats
    kv_token: Floats
    windows: Floats
    kv_window: Floats
    state: Floats

    def rows(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Ledger:
        """Some of the rows."""
        return Ledger(**{f.name: getattr(self, f.name) if f.name == "windows" else getattr(self, f.name)[index] for f in fields(self)})

    @property
    def kv_room(self) -> Floats:
        """HBM left for the KV cache on each stage (R, S); negative where the weights alone do not fit."""
        fixed = self.weights + self.activations + self.buffers + self.reserve[:, None]
        return self.capacity[:, None] - fixed

    def kv_bytes(self, context: Floats | float) -> Floats:
        """KV cache of one sequence on each stage, in whole blocks (R, S)."""
        tokens = np.ceil(np.asarray(context, float) / BLOCK_TOKENS)[..., None] * BLOCK_TOKENS
        windowed = (np.minimum(tokens[..., None], self.windows) * self.kv_window).sum(axis=2)
        return tokens * self.kv_token + windowed + self.state

    def sequences(self, mean_bytes: Floats, deviation: Floats, quantile: float) -> Floats:
        """Most sequences a rank holds so that their KV fits with probability ``quantile`` (R,).

        Solves ``n mean + z sqrt(n) deviation = room`` on every stage and takes the least.

        Parameters
        ----------
        mean_bytes, deviation: mean and standard deviation of one sequence's KV on each stage (R, S) [bytes].
        quantile: standard normal quantile z.
        """
        room = np.maximum(self.kv_room, 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            root = (np.sqrt((quantile * deviation) ** 2 + 4 * mean_bytes * room) - quantile * deviation) / (2 * mean_bytes)
        return np.where(mean_bytes > 0, root**2, np.inf).min(axis=1)


def ledger(
    llm: LLM,
    device: Device,
    calibration: Calibration,
    shapes: Sequence[Parallelism],
    max_batched_tokens: Floats,
    exchanged_tokens: Floats,
    redundant: Sequence[int] | None = None,
    stages: Sequence[Stages] | None = None,
    draft_layers: int = 0,
) -> Ledger:
    """Memory of every shape.

    Parameters
    ----------
    max_batched_tokens: most tokens an engine step may carry on a rank (R,): activations grow with it.
    exchanged_tokens: most tokens a rank dispatches to experts at once over the network (R,); 0 without such buffers.
    redundant: spare expert copies of a replica, per shape.
    stages: pipeline cut of every shape; the default cut without.
    draft_layers: multi-token-prediction layers loaded on the last stage.
    """
    spare = list(redundant) if redundant is not None else [0] * len(shapes)
    cuts = list(stages) if stages is not None else [default_stages(llm, shape.pp) for shape in shapes]
    most = max(len(cut) for cut in cuts)
    windows = sorted({w for layer, _ in llm.layer_kinds if (w := _window(layer))})
    weights, kv_token, state = (np.zeros((len(shapes), most)) for _ in range(3))
    kv_window = np.zeros((len(shapes), most, len(windows)))
    for row, (shape, cut) in enumerate(zip(shapes, cuts, strict=True)):
        for stage, (first, last) in enumerate(cut):
            kinds = count_kinds(llm.layers[first : last + 1])
            weights[row, stage] = _stage_weights(llm, shape, spare[row], kinds)
            for layer, count in kinds:
                _add_cache(layer, count, llm, shape, windows, kv_token[row], kv_window[row], state[row], stage)
        weights[row, 0] += llm.embedding_bytes / shape.tp
        weights[row, len(cut) - 1] += llm.head_bytes / shape.tp + _draft_weights(llm, shape, spare[row], draft_layers)
    here = np.array([[stage < len(cut) for stage in range(most)] for cut in cuts], float)
    return Ledger(
        weights=weights,
        activations=here * _activations(llm, calibration, max_batched_tokens)[:, None],
        buffers=here * _buffers(llm, exchanged_tokens)[:, None],
        reserve=np.full(len(shapes), calibration.runtime_bytes + calibration.graph_bytes),
        capacity=np.full(len(shapes), device.hbm_usable_bytes * calibration.memory_fraction),
        kv_token=kv_token,
        windows=np.array(windows, float),
        kv_window=kv_window,
        state=state,
    )


def _stage_weights(llm: LLM, shape: Parallelism, spare: int, kinds: Sequence[tuple[Layer, int]]) -> float:
    """Weights of some layers on one rank [bytes]."""
    total = 0.0
    for layer, count in kinds:
        attention, ffn, precision = layer.attention, layer.ffn, llm.precision
        split = attention.sharded_bytes(precision) + ffn.dense_bytes(precision) + ffn.shared_bytes(precision)
        copies = -(-(ffn.experts + spare) // shape.ep) if ffn.experts else 0
        routed = copies * ffn.expert_bytes(precision) / shape.moe_tp
        total += count * (split / shape.tp + attention.replicated_bytes(precision) + ffn.replicated_bytes + routed)
    return total


def _draft_weights(llm: LLM, shape: Parallelism, spare: int, layers: int) -> float:
    """Weights of the multi-token-prediction layers on one rank, split like the layer they resemble [bytes]."""
    if not layers:
        return 0.0
    whole = sum(count * layer.weight_bytes(llm.precision) for layer, count in ((llm.mtp_layer, 1),))
    return layers * llm.mtp_weight_bytes / llm.mtp_layers / whole * _stage_weights(llm, shape, spare, [(llm.mtp_layer, 1)])


def _window(layer: Layer) -> int:
    attention = layer.attention
    return attention.window or 0 if attention.kind in ("sliding", "chunked", "compressed") else 0


def _add_cache(
    layer: Layer,
    count: int,
    llm: LLM,
    shape: Parallelism,
    windows: list[int],
    kv_token: Floats,
    kv_window: Floats,
    state: Floats,
    stage: int,
) -> None:
    """Add the cache of ``count`` such layers to one row's stage.

    The KV heads are split over the tp ranks as far as there are heads (MLA keeps one latent, whole on every rank), and by
    position over context-parallel ranks.
    """
    attention, cache = layer.attention, llm.precision.kv_cache
    split = min(shape.tp, attention.kv_heads) * shape.cp
    entry, extra = attention.kv_entry_bytes(cache) / split, attention.kv_extra_bytes_per_token / shape.cp
    window = _window(layer)
    if window:
        kv_window[stage, windows.index(window)] += count * entry
    if attention.kind in ("full", "mla") or (attention.kind == "compressed" and attention.compression > 1):
        kv_token[stage] += count * (entry + extra) / attention.compression
    state[stage] += count * attention.state_bytes / min(shape.tp, max(attention.kv_heads, 1))


def _activations(llm: LLM, calibration: Calibration, tokens: Floats) -> Floats:
    """Peak of live activations: a few vectors of the residual's width per token of the largest step [bytes] (R,)."""
    return calibration.activation_factor * tokens * llm.hidden * 2


def _buffers(llm: LLM, tokens: Floats) -> Floats:
    """Low-latency dispatch and combine buffers: a slot for every token and expert, sent and received [bytes] (R,)."""
    width = max((layer.ffn.expert_hidden for layer, _ in llm.layer_kinds if layer.ffn.experts), default=0)
    return 2 * tokens * llm.experts * width * 2
