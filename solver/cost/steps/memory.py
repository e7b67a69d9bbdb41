"""The memory ledger of one rank: weights, KV cache, activations, buffers and reserve against its usable HBM.

Batch decides every answer, so memory is a ledger, not a fraction. Rows are replica shapes (R), stages S; the fullest
stage decides.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.calibration import Calibration
from solver.cost.steps.sharing import Sharing
from solver.cost.steps.work import Degrees
from solver.llm import LLM, Dtype, Layer, Precision
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
    kv_share: share of the HBM left over that the engine gives to the KV cache.
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
    kv_share: float

    def rows(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Ledger:
        """Some of the rows."""
        whole = ("windows", "kv_share")
        return Ledger(
            **{f.name: getattr(self, f.name) if f.name in whole else getattr(self, f.name)[index] for f in fields(self)}
        )

    def evened(self, stages: Floats) -> Ledger:
        """Every stage at the mean of its ``stages`` (R,): what no cut into whole layers can beat."""
        present = np.arange(self.weights.shape[1]) < stages[:, None]

        def even(table: Floats) -> Floats:
            mean = table.sum(axis=1) / stages.reshape(-1, *[1] * (table.ndim - 2))
            return np.where(present.reshape(*present.shape, *[1] * (table.ndim - 2)), mean[:, None], 0.0)

        names = ("weights", "activations", "buffers", "kv_token", "kv_window", "state")
        tables: dict[str, Any] = {name: even(getattr(self, name)) for name in names}
        return replace(self, **tables)

    @property
    def kv_room(self) -> Floats:
        """HBM that the KV cache may take on each stage (R, S); negative where the weights alone do not fit."""
        fixed = self.weights + self.activations + self.buffers + self.reserve[:, None]
        left: Floats = self.capacity[:, None] - fixed
        return np.where(left > 0, left * self.kv_share, left)

    def kv_bytes(self, context: Floats | float) -> Floats:
        """KV cache of one sequence on each stage, in whole blocks (R, S)."""
        tokens = np.ceil(np.asarray(context, float) / BLOCK_TOKENS)[..., None] * BLOCK_TOKENS
        windowed: Floats = (np.minimum(tokens[..., None], self.windows) * self.kv_window).sum(axis=2)
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
            root = (np.sqrt((quantile * deviation) ** 2 + 4 * mean_bytes * room) - quantile * deviation) / (
                2 * mean_bytes
            )
        fitting: Floats = np.where(mean_bytes > 0, root**2, np.inf).min(axis=1)
        return fitting


def ledger(
    llm: LLM,
    device: Device,
    calibration: Calibration,
    degree: Degrees,
    layers: Floats,
    sharing: Sharing,
    *,
    max_batched_tokens: Floats,
    exchanged_tokens: Floats,
    redundant_experts: Floats,
    draft_tokens: Floats,
) -> Ledger:
    """Memory of every shape.

    Parameters
    ----------
    layers: layers of each kind on each stage (R, S, K), as :attr:`Work.layers`.
    sharing: what each engine divides over which ranks.
    max_batched_tokens: most tokens an engine step may carry on a rank (R,): activations grow with it.
    exchanged_tokens: most tokens a rank dispatches to experts at once over the network (R,); 0 without such buffers.
    redundant_experts: spare expert copies of a replica (R,).
    draft_tokens: drafted per step (R,); any loads one multi-token-prediction layer on the last stage.
    """
    kinds = [layer for layer, _ in llm.layer_kinds]
    # (R, S): stages that a row has hold something; every sum over kinds of layers weighs them by how many lie there.
    windows = sorted({w for layer in kinds if (w := _window(layer))})
    here = layers.sum(axis=2) > 0
    stages = np.arange(layers.shape[1])
    weights = np.einsum(
        "rsk,rk->rs",
        layers,
        _by_kind(kinds, lambda k: _layer_weights(k, llm.precision, degree, redundant_experts, sharing)),
    )
    # Embedding and encoders lie on the first stage, head and draft layer on the last.
    ends = llm.embedding_bytes / degree.tp + llm.encoder_bytes, _head_weights(llm, degree)
    draft = np.where(draft_tokens > 0, _draft_weights(llm, degree, redundant_experts, sharing), 0.0)
    # Embedding on the first stage, head on the last; on all of them where the engine's model file asks no stage.
    first, last = stages == 0, stages == degree.pp[:, None] - 1
    everywhere = here & (sharing.ends > 0)[:, None]
    weights = weights + (first | everywhere) * ends[0][:, None] + (last | everywhere) * ends[1][:, None]
    weights = weights + last * draft[:, None]
    cache = llm.precision.kv_cache
    # Layers with a window hold no more than that many tokens: a column for each window that occurs (R, S, W).
    windowed = [np.stack([_window_bytes(kind, w, cache, degree) for kind in kinds], axis=1) for w in windows]
    return Ledger(
        weights=weights,
        activations=here * _activations(llm, calibration, max_batched_tokens)[:, None],
        buffers=here * _buffers(llm, exchanged_tokens)[:, None],
        reserve=np.where(degree.tp * degree.dp > 1, calibration.collective_bytes, 0.0)
        + calibration.runtime_bytes
        + calibration.graph_bytes,
        capacity=np.full(len(degree.tp), device.hbm_usable_bytes * calibration.memory_fraction),
        kv_token=np.einsum("rsk,rk->rs", layers, _by_kind(kinds, lambda k: _token_bytes(k, cache, degree))),
        windows=np.array(windows, float),
        kv_window=np.stack([np.einsum("rsk,rk->rs", layers, w) for w in windowed], axis=2)
        if windowed
        else np.zeros((*here.shape, 0)),
        state=np.einsum("rsk,rk->rs", layers, _by_kind(kinds, lambda k: _state_bytes(k, degree))),
        kv_share=calibration.kv_share,
    )


def _by_kind(kinds: Sequence[Layer], quantity: Callable[[Layer], Floats]) -> Floats:
    """A quantity of one layer for every kind (R, K)."""
    return np.stack([quantity(kind) for kind in kinds], axis=1)


def _layer_weights(
    layer: Layer, precision: Precision, degree: Degrees, redundant_experts: Floats, sharing: Sharing
) -> Floats:
    """Weights of one layer on one rank [bytes] (R,)."""
    attention, ffn = layer.attention, layer.ffn
    split = attention.sharded_bytes(precision) / degree.tp
    split = split + ffn.dense_bytes(precision) / sharing.dense + ffn.shared_bytes(precision) / sharing.shared
    whole = attention.replicated_bytes(precision) + ffn.replicated_bytes
    copies = np.ceil((ffn.experts + redundant_experts) / degree.ep) if ffn.experts else 0.0
    return split + whole + copies * ffn.expert_bytes(precision) / degree.moe_tp


def _head_weights(llm: LLM, degree: Degrees) -> Floats:
    """Output head on the last stage; a tied one is there already where the first stage is the last [bytes] (R,)."""
    tied = llm.embedding_bytes * (degree.pp > 1) if llm.tied_embeddings else np.full_like(degree.tp, llm.head_bytes)
    return tied / degree.tp


def _draft_weights(llm: LLM, degree: Degrees, redundant_experts: Floats, sharing: Sharing) -> Floats:
    """Weights of a multi-token-prediction layer on one rank, split like the layer it resembles [bytes] (R,)."""
    if not llm.mtp_layers:
        return np.zeros_like(degree.tp)
    whole = llm.mtp_layer.weight_bytes(llm.precision)
    scale = llm.mtp_weight_bytes / llm.mtp_layers / whole
    return scale * _layer_weights(llm.mtp_layer, llm.precision, degree, redundant_experts, sharing)


def _window(layer: Layer) -> int:
    """Tokens that a layer keeps; 0 if it keeps all. Engines keep all in chunked layers (vLLM: hybrid manager off)."""
    attention = layer.attention
    return attention.window or 0 if attention.kind in ("sliding", "compressed") else 0


def _split(layer: Layer, degree: Degrees) -> Floats:
    """Ways in which the cache is split: over KV heads as far as there are any (MLA keeps one latent, whole on every tp
    rank), and by position over context-parallel ranks (R,)."""
    return np.minimum(degree.tp, layer.attention.kv_heads) * degree.cp


def _token_bytes(layer: Layer, cache: Dtype, degree: Degrees) -> Floats:
    """Cache that each further token adds on one rank, outside local windows [bytes] (R,)."""
    attention = layer.attention
    if attention.kind not in ("full", "mla", "chunked") and not (
        attention.kind == "compressed" and attention.compression > 1
    ):
        return np.zeros_like(degree.tp)
    entry = attention.kv_entry_bytes(cache) / _split(layer, degree) + attention.kv_extra_bytes_per_token / degree.cp
    return entry / attention.compression


def _window_bytes(layer: Layer, window: int, cache: Dtype, degree: Degrees) -> Floats:
    """Cache of each token inside this window on one rank [bytes] (R,)."""
    inside = float(_window(layer) == window)
    return inside * layer.attention.kv_entry_bytes(cache) / _split(layer, degree)


def _state_bytes(layer: Layer, degree: Degrees) -> Floats:
    """Recurrent state of one sequence on one rank [bytes] (R,)."""
    return layer.attention.state_bytes / np.minimum(degree.tp, max(layer.attention.kv_heads, 1))


def _activations(llm: LLM, calibration: Calibration, tokens: Floats) -> Floats:
    """Peak of live activations in the largest step [bytes] (R,).

    A few vectors of the residual's width per token, and one for each expert that a token visits.
    """
    routed = max((layer.ffn.top_k * layer.ffn.expert_hidden for layer, _ in llm.layer_kinds), default=0)
    live = calibration.activation_factor * llm.hidden + routed * (calibration.activation_factor > 0)
    return tokens * live * 2


def _buffers(llm: LLM, tokens: Floats) -> Floats:
    """Low-latency dispatch and combine buffers: a slot for every token and expert, sent and received [bytes] (R,)."""
    width = max((layer.ffn.expert_hidden for layer, _ in llm.layer_kinds if layer.ffn.experts), default=0)
    return 2 * tokens * llm.experts * width * 2
