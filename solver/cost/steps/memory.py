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
from solver.engines import EngineRules
from solver.llm import FFN, LLM, Dtype, Layer, Precision
from solver.replica import Setup
from topologies import Device

Floats = NDArray[np.float64]

#: Tokens per KV block: sequences occupy whole blocks (vLLM and SGLang page sizes are 1..64, 16 and 64 the usual ones).
BLOCK_TOKENS = 16
#: Ranks beyond those of a usual host add no communicator buffers worth counting.
MOST_PEERS = 8
#: Tokens that fused expert kernels take at once, however many were gathered (VLLM_FUSED_MOE_CHUNK_SIZE).
EXPERT_CHUNK = 16384
#: Rows and columns of an MXFP4 expert's shard are padded to multiples of these (vllm, layers/quantization/mxfp4.py, Marlin).
MXFP4_PADDING = 256, 128
#: Copies of the logits that a sampler keeps: themselves, and their probabilities.
SAMPLER_COPIES = 2
#: What an image encoder's largest inputs take: Qwen3-VL's start-up logs less what its text part needs [bytes].
ENCODER_BYTES = 1.5e9
#: Graphs of a layer of low-rank attention over those of others: DeepSeek logs 1.8 to 2.5 GiB, others 0.6 to 1.2.
LATENT_GRAPHS = 2


@dataclass(frozen=True)
class Ledger:
    """Bytes of one rank by stage (R, S), and the capacity they share (R,).

    Attributes
    ----------
    weights, activations, buffers: bytes that do not depend on the number of sequences (R, S).
    reserve: runtime, communicators, captured graphs, and what the engine keeps aside unused (R,).
    capacity: HBM that all parts share (R,).
    kv_token: KV bytes per cached token of the layers that keep every token (R, S).
    windows: size of each local window [tokens] (W,) and KV bytes per token inside it (R, S, W).
    state: bytes of each sequence whatever its length (R, S).
    kv_share: share of the HBM left over that the engine gives to the KV cache (R,).
    fraction: memory fraction as the engine is told it (R,).
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
    kv_share: Floats
    fraction: Floats

    def rows(self, index: NDArray[np.intp] | NDArray[np.bool_]) -> Ledger:
        """Some of the rows."""
        return Ledger(
            **{f.name: self.windows if f.name == "windows" else getattr(self, f.name)[index] for f in fields(self)}
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
        return np.where(left > 0, left * self.kv_share[:, None], left)

    def kv_bytes(self, context: Floats | float) -> Floats:
        """KV cache of one sequence on each stage, in whole blocks (R, S)."""
        tokens = np.ceil(np.asarray(context, float) / BLOCK_TOKENS)[..., None] * BLOCK_TOKENS
        windowed: Floats = (np.minimum(tokens[..., None], self.windows) * self.kv_window).sum(axis=2)
        return tokens * self.kv_token + windowed + self.state

    def requests(self, context: Floats) -> Floats:
        """Requests of this mean context that a rank holds at once, the least over its stages (R,)."""
        size = self.kv_bytes(context)
        with np.errstate(divide="ignore", invalid="ignore"):
            fitting: Floats = np.where(size > 0, np.maximum(self.kv_room, 0.0) / size, np.inf).min(axis=1)
        return fitting

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
    engine: EngineRules,
    setups: Sequence[Setup],
    layers: Floats,
    sharing: Sharing,
    *,
    exchanged_tokens: Floats,
) -> Ledger:
    """Memory of every setup.

    Parameters
    ----------
    engine: how it shares out the HBM, and the sequences and graphs that it counts on.
    layers: layers of each kind on each stage (R, S, K), as :attr:`Work.layers`.
    sharing: what each engine divides over which ranks.
    exchanged_tokens: most tokens a rank dispatches to experts at once over the network (R,); 0 without such buffers.
    """
    degree = Degrees.of([setup.parallelism for setup in setups])
    spare, drafts = (
        np.array([getattr(s, name) for s in setups], float) for name in ("redundant_experts", "draft_tokens")
    )
    kinds = [layer for layer, _ in llm.layer_kinds]
    # (R, S): stages that a row has hold something; every sum over kinds of layers weighs them by how many lie there.
    windows = sorted({w for layer in kinds if (w := _window(layer))})
    count = layers.sum(axis=2)
    here = count > 0
    stages = np.arange(layers.shape[1])
    weights = np.einsum(
        "rsk,rk->rs", layers, _by_kind(kinds, lambda k: _layer_weights(k, llm.precision, degree, spare, sharing))
    )
    # Embedding and encoders lie on the first stage, head and draft layer on the last.
    ends = llm.embedding_bytes / degree.tp + llm.encoder_bytes, _head_weights(llm, degree)
    draft = np.where(drafts > 0, _draft_weights(llm, degree, spare, sharing), 0.0)
    # Embedding on the first stage, head on the last; on all of them where the engine's model file asks no stage.
    first, last = stages == 0, stages == degree.pp[:, None] - 1
    everywhere = here & (sharing.ends > 0)[:, None]
    weights = weights + (first | everywhere) * ends[0][:, None] + (last | everywhere) * ends[1][:, None]
    weights = weights + last * draft[:, None]
    cache = llm.precision.kv_cache
    # Layers with a window hold no more than that many tokens: a column for each window that occurs (R, S, W).
    windowed = [np.stack([_window_bytes(kind, w, cache, degree) for kind in kinds], axis=1) for w in windows]
    tokens = largest_step(setups, engine)
    activations = calibration.activation_factor * _activations(llm, degree, tokens, float(engine.max_sequences))
    older = engine.memory.started
    runtime, collective = older or (calibration.runtime_bytes, calibration.collective_bytes)
    started = runtime + collective * _doublings(degree)
    captured = sum(number * (LATENT_GRAPHS if kind.attention.low_rank else 1) for kind, number in llm.layer_kinds)
    graphs = calibration.graph_bytes * len(engine.captured_batch_sizes) * captured / degree.pp
    shared = _shared_out(engine, device, setups, started, activations + graphs)
    return Ledger(
        weights=weights,
        activations=here * activations[:, None],
        buffers=here * _buffers(llm, exchanged_tokens)[:, None],
        reserve=started + graphs + shared.idle,
        capacity=shared.capacity,
        kv_token=np.einsum("rsk,rk->rs", layers, _by_kind(kinds, lambda k: _token_bytes(k, cache, degree))),
        windows=np.array(windows, float),
        kv_window=np.stack([np.einsum("rsk,rk->rs", layers, w) for w in windowed], axis=2)
        if windowed
        else np.zeros((*here.shape, 0)),
        state=np.einsum("rsk,rk->rs", layers, _by_kind(kinds, lambda k: _state_bytes(k, degree))),
        kv_share=shared.kv_share,
        fraction=shared.fraction,
    )


@dataclass(frozen=True)
class _SharedOut:
    """How an engine shares out the HBM: what all parts share, what of it stays unused, the KV cache's share of the rest."""

    fraction: Floats
    capacity: Floats
    idle: Floats
    kv_share: Floats


def _shared_out(
    engine: EngineRules, device: Device, setups: Sequence[Setup], started: Floats, working: Floats
) -> _SharedOut:
    """The engine's rule for these setups (R,).

    Parameters
    ----------
    started: HBM taken before weights are loaded (R,). working: activations and graphs (R,).
    """
    fraction = engine.memory.fractions(device, setups, largest_step(setups, engine))
    total = np.full(len(setups), float(device.hbm_usable_bytes))
    none, whole = np.zeros(len(setups)), np.ones(len(setups))
    if engine.memory.share_of == "total":
        return _SharedOut(fraction, total * fraction, none, whole)
    if engine.memory.share_of == "rest":
        return _SharedOut(fraction, total, none, fraction)
    # Activations and graphs live in the share of the free HBM that weights and KV cache do not get; it may be larger.
    return _SharedOut(fraction, total, np.maximum((1 - fraction) * (total - started) - working, 0.0), whole)


def largest_step(setups: Sequence[Setup], engine: EngineRules) -> Floats:
    """Most tokens in one step of a rank: the chunk, in decode pools no more than the sequences there can be (R,)."""
    return np.array(
        [
            min(s.chunk_tokens, engine.max_sequences * (1 + s.draft_tokens)) if s.role == "decode" else s.chunk_tokens
            for s in setups
        ],
        float,
    )


def _doublings(degree: Degrees) -> Floats:
    """Doublings of the ranks that a stage's communicators join, up to those of one host (R,)."""
    return np.log2(np.minimum(degree.tp * degree.dp, MOST_PEERS))


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
    return split + whole + copies * _padding(ffn, precision, degree) * ffn.expert_bytes(precision) / degree.moe_tp


def _padding(ffn: FFN, precision: Precision, degree: Degrees) -> Floats | float:
    """Growth of an expert whose kernels pad it: gpt-oss-120b loads 66.0 GiB under Marlin, 64.4 under Triton, not 60.8 (R,)."""
    if not ffn.experts or not precision.experts.name.startswith("mxfp4"):
        return 1.0
    rows, width = ffn.expert_hidden / MXFP4_PADDING[0], ffn.expert_width / degree.moe_tp / MXFP4_PADDING[1]
    return np.asarray(np.ceil(rows) / rows * np.ceil(width) / width)


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


def _activations(llm: LLM, degree: Degrees, tokens: Floats, sequences: float) -> Floats:
    """Peak of live activations in the largest step (R,) [bytes].

    Either of a layer in bf16: residual and input, with gate, up and their product of a dense FFN or the projections of
    attention, split over tp; with experts the same for each expert that a token visits, on the tokens of all dp ranks.
    Or of the sampler behind the last layer: float32 logits of every sequence.
    """
    hidden = 2.0 * llm.hidden
    kinds = [layer for layer, _ in llm.layer_kinds]
    gathered = np.minimum(tokens * degree.dp, np.maximum(EXPERT_CHUNK, tokens))
    live = [
        tokens * (hidden + np.maximum(3.0 * layer.ffn.width, 2.0 * _query_width(layer)) / degree.tp)
        + gathered * layer.ffn.top_k * _expert_rows(layer, degree)
        for layer in kinds
    ]
    sampler = SAMPLER_COPIES * np.minimum(tokens, sequences) * llm.vocab * 4.0
    return np.asarray(np.maximum(np.max(live, axis=0) * 2.0, sampler) + ENCODER_BYTES * (llm.encoder_bytes > 0))


def _query_width(layer: Layer) -> float:
    """Width of the queries, which is that of attention's output."""
    return layer.attention.output_parameters / max(layer.ffn.hidden, 1)


def _expert_rows(layer: Layer, degree: Degrees) -> Floats:
    """Elements that one visit of an expert keeps: the wider of gate with up and of the output, and their product (R,)."""
    width = layer.ffn.expert_width / degree.moe_tp
    return (np.maximum(2.0 * width, layer.ffn.expert_hidden) + width) * (layer.ffn.experts > 0)


def _buffers(llm: LLM, tokens: Floats) -> Floats:
    """Low-latency dispatch and combine buffers: a slot for every token and expert, sent and received [bytes] (R,)."""
    width = max((layer.ffn.expert_hidden for layer, _ in llm.layer_kinds if layer.ffn.experts), default=0)
    return 2 * tokens * llm.experts * width * 2
