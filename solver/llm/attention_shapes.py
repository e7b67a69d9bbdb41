"""Attention from the shapes that papers and model cards publish: one function per family of attention.

Each returns :class:`solver.llm.attention.Attention` of one layer. ``norms`` counts the norms of width ``hidden`` that
go with the attention (one before it; Gemma has one after it too).
"""

from __future__ import annotations

import math

from solver.llm.attention import Attention

INDEX_KEY_SCALE_BYTES = 4
"""One float32 scale per fp8 indexer key of 128 elements (vLLM and SGLang, DeepSeek-V3.2)."""


def grouped_query(
    *,
    hidden: int,
    heads: int,
    kv_heads: int,
    head_dim: int,
    value_dim: int | None = None,
    window: int | None = None,
    chunked: bool = False,
    qkv_bias: bool = False,
    output_bias: bool = False,
    qk_norm: str = "none",
    sinks: bool = False,
    output_gate: bool = False,
    head_gate: bool = False,
    keys_as_values: bool = False,
    cache_shared: bool = False,
    index_heads: int = 0,
    index_dim: int = 0,
    budget: int | None = None,
    norms: int = 1,
    norm_width: int | None = None,
) -> Attention:
    """Multi-head, grouped-query or multi-query attention, optionally windowed or block-sparse.

    Keys and values are kv_heads (head_dim + value_dim) elements a token. Scores and values take
    2 heads (head_dim + value_dim) FLOP per key.

    Parameters
    ----------
    value_dim: width of a value; None = that of a key (MiMo-V2 has narrower values).
    window: most recent keys attended to; None = all.
    chunked: the window is a chunk (Llama-4), not a sliding one.
    qk_norm: ``none``, ``head`` (one norm of width head_dim for queries and one for keys) or ``full`` (over all heads).
    sinks: one learned logit per head (gpt-oss).
    output_gate: a gate of the output's width multiplies the attention's output (Qwen3.5).
    head_gate: a gate of one scalar per head multiplies it (Step-3.5).
    keys_as_values: the value projection is the key projection (Gemma-4's global layers); both are still cached.
    cache_shared: keys and values are an earlier layer's (Gemma-3n): no projections for them, no cache of its own.
    index_heads, index_dim, budget: block selection (MiniMax-M3): index queries shard with the KV heads, the index key
        is replicated and cached in bf16, ``budget`` is blocks x block size [keys].
    norm_width: parameters of one norm; None = hidden (twice that with biases, 0 without parameters).

    >>> llama = grouped_query(hidden=4096, heads=32, kv_heads=8, head_dim=128)
    >>> llama.kv_elements_per_token, llama.decode_flop_per_key
    (2048, 16384)
    """
    values_wide = value_dim or head_dim
    queries, keys, values, outputs = heads * head_dim, kv_heads * head_dim, kv_heads * values_wide, heads * values_wide
    projections = {"q": hidden * queries, "g": hidden * (outputs * output_gate + heads * head_gate)}
    if not cache_shared:
        projections |= {"k": hidden * keys, "v": 0 if keys_as_values else hidden * values}
    index = {"index_q": hidden * index_heads * index_dim, "index_k": hidden * index_dim}
    output = outputs * hidden
    biases = (queries + (0 if cache_shared else keys + values) if qkv_bias else 0) + (hidden if output_bias else 0)
    normed = {"none": 0, "head": (1 if cache_shared else 2) * head_dim, "full": queries + keys}[qk_norm]
    small = norms * (hidden if norm_width is None else norm_width) + biases + normed
    small += (heads if sinks else 0) + 2 * index_dim
    return Attention(
        kind="full" if window is None else "chunked" if chunked else "sliding",
        heads=heads,
        kv_heads=kv_heads,
        sharded_parameters=sum(projections.values()) + output + index["index_q"],
        replicated_parameters=small + index["index_k"],
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=0 if cache_shared else keys + values,
        kv_extra_bytes_per_token=2 * index_dim,
        window=window,
        budget=budget,
        decode_flop_per_key=2 * (queries + outputs),
        prefill_flop_per_key=2 * (queries + outputs),
        indexer_flop_per_key=2 * index_heads * index_dim,
        normed=qk_norm != "none",
        projections=present(projections | index),
    )


def present(projections: dict[str, int]) -> tuple[tuple[str, int], ...]:
    """The matrices that a layer has."""
    return tuple((name, size) for name, size in projections.items() if size)


def latent(
    *,
    hidden: int,
    heads: int,
    q_rank: int | None,
    kv_rank: int,
    nope_dim: int,
    rope_dim: int,
    value_dim: int,
    index_heads: int = 0,
    index_dim: int = 0,
    budget: int | None = None,
    index_shared: bool = False,
    output_gate: bool = False,
    head_gate: bool = False,
    window: int | None = None,
    rope_normed: bool = False,
    norms: int = 1,
) -> Attention:
    """Multi-head latent attention (DeepSeek-V2, arXiv:2405.04434 section 2.1), optionally with an indexer (DSA).

    The cache holds kv_rank + rope_dim elements a token, one for all heads, so every tensor-parallel rank holds all of
    it. Decode runs absorbed: 2 heads (2 kv_rank + rope_dim) FLOP per key; prefill expands keys and values:
    2 heads (nope_dim + rope_dim + value_dim). With sparse attention each query has keys of its own, so prefill is
    absorbed too. Down-projections and the indexer are whole on every rank (vLLM, SGLang).

    Parameters
    ----------
    q_rank: rank of the query projection; None = queries are projected directly.
    index_heads, index_dim, budget: lightning indexer (DeepSeek-V3.2): its key is cached in fp8 with one float32 scale,
        ``budget`` keys are attended to.
    index_shared: the keys are those that an earlier layer's indexer chose (GLM-5.2): no indexer and no key of its own.
    output_gate: a gate of width heads value_dim multiplies the output (Kimi-K3).
    head_gate: a gate of one scalar per head multiplies it (Ling-3).
    window: most recent keys attended to; None = all.
    rope_normed: the key's rotary part passes a norm (dots-3).

    >>> v3 = latent(hidden=7168, heads=128, q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128)
    >>> v3.kv_elements_per_token, v3.parameters - 7168
    (576, 187107328)
    """
    query_dim = nope_dim + rope_dim
    own_index = 0 if index_shared else index_dim
    queries = heads * query_dim
    up = {"q_b": q_rank * queries if q_rank else 0, "q": 0 if q_rank else hidden * queries}
    up |= {"kv_b": kv_rank * heads * (nope_dim + value_dim)}
    gate = {"g": hidden * heads * (value_dim * output_gate + head_gate)}
    output = heads * value_dim * hidden
    down = {"q_a": hidden * (q_rank or 0), "kv_a": hidden * (kv_rank + rope_dim)}
    indexer = {"index_q": (q_rank or hidden) * index_heads * own_index, "index_k": hidden * own_index}
    scorer = hidden * index_heads if own_index else 0
    small = norms * hidden + (q_rank or 0) + kv_rank + rope_dim * rope_normed + 2 * own_index + scorer
    absorbed = 2 * heads * (2 * kv_rank + rope_dim)
    expanded = 2 * heads * (query_dim + value_dim)
    return Attention(
        kind="mla" if window is None else "sliding",
        heads=heads,
        kv_heads=1,
        sharded_parameters=sum(up.values()) + sum(gate.values()) + output,
        replicated_parameters=sum(down.values()) + sum(indexer.values()) + small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=kv_rank + rope_dim,
        kv_extra_bytes_per_token=own_index + INDEX_KEY_SCALE_BYTES if own_index else 0,
        kv_mixed_bytes_per_token=kv_rank + 4 * math.ceil(kv_rank / 128) + 2 * rope_dim,
        window=window,
        budget=budget,
        decode_flop_per_key=absorbed,
        prefill_flop_per_key=expanded if budget is None else absorbed,
        indexer_flop_per_key=2 * index_heads * own_index,
        projections=present(up | gate | down | indexer),
    )


def compressed(
    *,
    hidden: int,
    heads: int,
    head_dim: int,
    rope_dim: int,
    q_rank: int,
    output_groups: int,
    output_rank: int,
    window: int,
    compression: int,
    index_heads: int = 0,
    index_dim: int = 0,
    budget: int | None = None,
    streams: int = 1,
    norms: int = 1,
) -> Attention:
    """DeepSeek-V4 attention: one shared key-value head, a plain window and compressed older tokens.

    ``compression`` tokens become one entry; with an indexer (compressed sparse attention, windows that overlap) a query
    attends to the ``budget`` best entries, without one (heavily compressed) to all. The same head_dim elements are key
    and value. ``streams`` is the width of the hyper-connections, whose mixing weights are (2 + n) n x n hidden.
    ``compression`` 0 means no older tokens at all: a sliding window. Compressor buffers of the open window (below 1 MB
    a sequence) are not counted.
    """
    queries = heads * head_dim
    output = queries * output_rank + output_groups * output_rank * hidden
    series = 2 if index_heads else 1
    compressor = 2 * hidden * series * head_dim if compression else 0
    indexer = q_rank * index_heads * index_dim + 4 * hidden * index_dim if index_heads else 0
    bias = compression * series * (head_dim + index_dim)
    compressor_norms = head_dim + index_dim if compression else 0
    small = norms * hidden + q_rank + head_dim + heads + compressor_norms + hidden * index_heads + bias
    return Attention(
        kind="compressed" if compression else "sliding",
        heads=heads,
        kv_heads=1,
        sharded_parameters=q_rank * queries + output,
        replicated_parameters=hidden * (q_rank + head_dim) + compressor + indexer + small + hyper(hidden, streams),
        bf16_parameters=compressor + small + hyper(hidden, streams),
        output_parameters=output,
        kv_elements_per_token=head_dim,
        kv_extra_bytes_per_token=index_dim + INDEX_KEY_SCALE_BYTES if index_heads else 0,
        kv_mixed_bytes_per_token=(head_dim - rope_dim) + math.ceil((head_dim - rope_dim) / 64) + 1 + 2 * rope_dim,
        window=window,
        budget=budget,
        compression=max(compression, 1),
        decode_flop_per_key=4 * queries,
        prefill_flop_per_key=4 * queries,
        indexer_flop_per_key=2 * index_heads * index_dim,
        projections=present(
            {"q_a": hidden * q_rank, "q_b": q_rank * queries, "kv": hidden * head_dim, "index_q": indexer}
        ),
    )


def hyper(hidden: int, streams: int) -> int:
    """Parameters of one hyper-connection of ``streams`` residual streams (arXiv:2512.24880); 0 for a plain residual."""
    if streams == 1:
        return 0
    mixed = (2 + streams) * streams
    return mixed * streams * hidden + mixed + 3
