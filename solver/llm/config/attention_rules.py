"""How a family spells its attention in ``config.json``: one small rule per kind of attention."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from solver.llm.attention import Attention
from solver.llm.attention_shapes import grouped_query, latent
from solver.llm.config import windows
from solver.llm.config.reader import Config

NORM_WIDTHS = {"rms": 1, "layer": 2, "bare": 0}
"""Parameters of a norm per element: a scale, a scale and a bias, or none."""

KVHeads = Callable[[Config, int, int], int]
Changes = Callable[[Config, int], Config]


@dataclass(frozen=True)
class GroupedQuery:
    """Grouped-query attention.

    Attributes
    ----------
    qkv_bias, output_bias: True, False, or the key that says so.
    qk_norm: as in :func:`solver.llm.attention_shapes.grouped_query`, or the key that turns on per-head norms.
    window: which layers have one.
    multi_head: an absent ``num_key_value_heads`` means as many as query heads.
    kv_heads: how many KV heads, where no key says it plainly (Falcon).
    derived_head_dim: whether an absent ``head_dim`` means hidden / heads.
    sinks, output_gate, head_gate: as in ``grouped_query``: True, False, or the key that says so.
    sliding: how keys change in layers with a window (MiMo-V2, Step-3.5).
    shares: which layers read an earlier layer's keys and values (Hunyuan-Large).
    norms: norms of width hidden that go with attention; norm: their kind, of :data:`NORM_WIDTHS`.
    """

    qkv_bias: bool | str = False
    output_bias: bool | str = False
    qk_norm: str = "none"
    window: windows.Rule = windows.never
    chunked: bool = False
    sinks: bool | str = False
    output_gate: bool | str = False
    head_gate: bool | str = False
    multi_head: bool = False
    kv_heads: KVHeads | None = None
    derived_head_dim: bool = True
    sliding: Changes | None = None
    shares: Callable[[Config, int], bool] | None = None
    norms: int = 1
    norm: str = "rms"

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        kv = () if self.multi_head or self.kv_heads else ("num_key_value_heads",)
        return ("num_attention_heads", *kv, *(() if self.derived_head_dim else ("head_dim",)))

    def __call__(self, config: Config, layer: int) -> Attention:
        window = self.window(config, layer)
        if window is not None and self.sliding:
            config = self.sliding(config, layer)
        hidden = config.count("hidden_size")
        heads = config.count("num_attention_heads", layer=layer)
        return grouped_query(
            hidden=hidden,
            heads=heads,
            kv_heads=divides(config, self._kv_heads(config, layer, heads), heads),
            head_dim=head_dim(config, hidden, heads),
            value_dim=config.count("v_head_dim") if config.has("v_head_dim") else None,
            window=window,
            chunked=self.chunked,
            qkv_bias=said(config, self.qkv_bias),
            output_bias=said(config, self.output_bias),
            qk_norm=self._qk_norm(config),
            sinks=said(config, self.sinks, window),
            output_gate=said(config, self.output_gate),
            head_gate=said(config, self.head_gate),
            cache_shared=bool(self.shares and self.shares(config, layer)),
            norms=self.norms,
            norm_width=hidden * NORM_WIDTHS[self.norm],
        )

    def _kv_heads(self, config: Config, layer: int, heads: int) -> int:
        if self.kv_heads:
            return self.kv_heads(config, layer, heads)
        return config.count("num_key_value_heads", heads, layer=layer)

    def _qk_norm(self, config: Config) -> str:
        if self.qk_norm in ("none", "head", "full"):
            return self.qk_norm
        return "head" if config.flag(self.qk_norm) else "none"


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention; sparse where ``indexer``.

    ``norms`` counts vectors of width hidden: three with Kimi-K3's attention over residuals.

    Attributes
    ----------
    indexer: True, False, or "if told": sparse where the file gives ``index_topk``.
    output_gate, head_gate: True, False, or the key that says so.
    window: which layers have one.
    rope_normed: the key's rotary part passes a norm.
    sinks: one learned logit per head.
    """

    indexer: bool | str = False
    output_gate: bool | str = "mla_use_output_gate"
    head_gate: bool | str = False
    window: windows.Rule = windows.never
    rope_normed: bool = False
    sinks: bool = False
    norms: int = 1

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        index = ("index_n_heads", "index_head_dim", "index_topk") if self.indexer is True else ()
        dims = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
        return ("num_attention_heads", *dims, *index)

    def __call__(self, config: Config, layer: int) -> Attention:
        window = self.window(config, layer)
        sparse = window is None and (config.has("index_topk") if self.indexer == "if told" else bool(self.indexer))
        hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
        found = latent(
            hidden=hidden,
            heads=heads,
            q_rank=config.count("q_lora_rank") if config.has("q_lora_rank") else None,
            kv_rank=config.count("kv_lora_rank"),
            nope_dim=config.count("qk_nope_head_dim"),
            rope_dim=config.count("qk_rope_head_dim"),
            value_dim=config.count("v_head_dim"),
            index_heads=config.count("index_n_heads") if sparse else 0,
            index_dim=config.count("index_head_dim") if sparse else 0,
            budget=config.count("index_topk") if sparse else None,
            index_shared=sparse and shares_index(config, layer),
            output_gate=said(config, self.output_gate),
            head_gate=said(config, self.head_gate),
            window=window,
            rope_normed=self.rope_normed,
            norms=residual_norms(config) + self.norms - 1,
        )
        return with_small(found, heads * self.sinks + two_way_hyper(config, hidden))


def two_way_hyper(config: Config, hidden: int) -> int:
    """Parameters of one of Hunyuan-4's hyper-connections: reading and writing ``hc_mult`` streams, not mixing them."""
    streams = config.count("hc_mult", 1, high=64) if config.has("hc_magnitude") else 1
    return 2 * streams * (streams * hidden + 1) + 2 if streams > 1 else 0


def shares_index(config: Config, layer: int) -> bool:
    """Whether a layer attends to the keys that an earlier layer's indexer chose (GLM-5.2).

    ``indexer_types`` says full or shared per layer; without it ``index_topk_pattern`` says F or S, or the layers before
    ``index_skip_topk_offset`` and then every ``index_topk_freq``-th have an indexer (vLLM).
    """
    layers = config.count("num_hidden_layers")
    kinds = config.strings("indexer_types", layers)
    if kinds:
        if kinds[layer] not in ("full", "shared"):
            raise config.bad(f"indexer_types[{layer}]", f"is {kinds[layer][:40]!r}; known: full, shared")
        return kinds[layer] == "shared"
    pattern = config.raw("index_topk_pattern")
    if isinstance(pattern, str) and pattern:
        return layer < len(pattern) and pattern[layer].upper() == "S"
    first = config.count("index_skip_topk_offset", 2, low=0)
    return max(layer - first + 1, 0) % config.count("index_topk_freq", 1) != 0


@dataclass(frozen=True)
class BlockSparse:
    """MiniMax-M3: grouped-query attention; some layers select blocks of keys.

    ``sparse_attention_config`` says which and how; without it ``index_...`` keys and ``layer_types`` do (transformers 5).
    """

    needs: tuple[str, ...] = ("num_attention_heads", "num_key_value_heads", "head_dim")

    def __call__(self, config: Config, layer: int) -> Attention:
        hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
        index_heads, index_dim, budget = self._selection(config, layer)
        return grouped_query(
            hidden=hidden,
            heads=heads,
            kv_heads=divides(config, config.count("num_key_value_heads"), heads),
            head_dim=config.count("head_dim"),
            qk_norm="head" if config.flag("use_qk_norm") else "none",
            index_heads=index_heads,
            index_dim=index_dim,
            budget=budget,
        )

    def _selection(self, config: Config, layer: int) -> tuple[int, int, int | None]:
        """Heads and width of the index, and keys that a query attends to; 0 and None in a layer without."""
        layers, sparse = config.count("num_hidden_layers"), config.section("sparse_attention_config")
        if sparse is None:
            kinds = config.strings("layer_types", layers)
            if not kinds or kinds[layer] == "full_attention":
                return 0, 0, None
            keys = config.count("index_topk_blocks") * config.count("index_block_size")
            return config.count("index_n_heads"), config.count("index_head_dim"), keys
        listed = sparse.integers("sparse_attention_freq", layers, high=1)
        if not listed:
            raise sparse.missing("sparse_attention_freq")
        if not listed[layer]:
            return 0, 0, None
        keys = sparse.count("sparse_topk_blocks") * sparse.count("sparse_block_size")
        return sparse.count("sparse_num_index_heads"), sparse.count("sparse_index_dim"), keys


@dataclass(frozen=True)
class GlobalAndSliding:
    """Gemma-4: global layers have head dimension, KV heads and value projection of their own.

    The last ``num_kv_shared_layers`` read an earlier layer's cache; ``hidden_size_per_layer_input`` gives every layer a
    small input of its own, whose gate and projection are counted with attention.
    """

    needs: tuple[str, ...] = ("num_attention_heads", "num_key_value_heads", "head_dim", "layer_types", "sliding_window")

    def __call__(self, config: Config, layer: int) -> Attention:
        window = windows.by_type(config, layer)
        heads = config.count("num_attention_heads")
        head, kv_heads = config.count("head_dim"), config.count("num_key_value_heads")
        if window is None:
            head, kv_heads = config.count("global_head_dim", head), config.count("num_global_key_value_heads", kv_heads)
        shared = shares_cache(config, layer)
        hidden, own = config.count("hidden_size"), config.count("hidden_size_per_layer_input", 0, low=0)
        plain = grouped_query(
            hidden=hidden,
            heads=heads,
            kv_heads=divides(config, kv_heads, heads),
            head_dim=head,
            window=window,
            qk_norm="head",
            keys_as_values=window is None and config.flag("attention_k_eq_v"),
            cache_shared=shared,
            norms=2,
        )
        return with_own_inputs(plain, hidden, own)


def shares_cache(config: Config, layer: int) -> bool:
    """Whether a layer reads an earlier layer's keys and values (Gemma-3n, Gemma-4)."""
    shared = config.count("num_kv_shared_layers", 0, low=0)
    return layer >= config.count("num_hidden_layers") - shared > 0


def with_own_inputs(attention: Attention, hidden: int, own: int) -> Attention:
    """Add the gate, projection and norm of a layer's own input of width ``own``."""
    return with_small(attention, 2 * hidden * own + hidden if own else 0)


def with_small(attention: Attention, parameters: int) -> Attention:
    """Add parameters that are whole on every rank and bf16 in every checkpoint."""
    return replace(
        attention,
        replicated_parameters=attention.replicated_parameters + parameters,
        bf16_parameters=attention.bf16_parameters + parameters,
    )


@dataclass(frozen=True)
class AlternatelyUpdated:
    """Gemma-3n: windows by type, shared caches, and small networks around each layer.

    AltUp predicts and corrects ``altup_num_inputs`` streams, LAuReL is a low-rank path beside attention, and every layer
    has an input of its own.
    """

    needs: tuple[str, ...] = ("num_attention_heads", "num_key_value_heads", "head_dim", "layer_types", "sliding_window")

    def __call__(self, config: Config, layer: int) -> Attention:
        hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
        plain = grouped_query(
            hidden=hidden,
            heads=heads,
            kv_heads=divides(config, config.count("num_key_value_heads"), heads),
            head_dim=config.count("head_dim"),
            window=windows.by_type(config, layer),
            qk_norm="head",
            cache_shared=shares_cache(config, layer),
            norms=2,
        )
        streams, rank = config.count("altup_num_inputs", 4, high=64), config.count("laurel_rank", 64)
        updates = hidden + streams**2 + streams**3 + streams * hidden + hidden
        residual = 2 * rank * hidden + hidden
        return with_own_inputs(
            with_small(plain, updates + residual), hidden, config.count("hidden_size_per_layer_input", 256, low=0)
        )


@dataclass(frozen=True)
class CrossAttending:
    """Llama-3.2 Vision: ``cross_attention_layers`` attend to pictures, whose keys are not counted."""

    own: GroupedQuery

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return self.own.needs

    def __call__(self, config: Config, layer: int) -> Attention:
        if layer not in config.integers("cross_attention_layers"):
            return self.own(config, layer)
        crossing = replace(self.own, qk_norm="head")(config, layer)
        silent = replace(
            crossing, kind="linear", kv_elements_per_token=0, decode_flop_per_key=0, prefill_flop_per_key=0
        )
        return with_small(silent, 2)


def said(config: Config, answer: bool | str, window: int | None = None) -> bool:
    """Return what is fixed for the family or said by a key; ``KEY if sliding`` counts in layers with a window only."""
    if isinstance(answer, bool):
        return answer
    key, _, condition = answer.partition(" if ")
    return (not condition or window is not None) and config.flag(key)


def head_dim(config: Config, hidden: int, heads: int) -> int:
    """Return ``head_dim``, or hidden / heads where it is absent."""
    if config.has("head_dim"):
        return config.count("head_dim")
    if hidden % heads:
        raise config.bad("hidden_size", f"{hidden} is not a multiple of num_attention_heads, {heads}")
    return hidden // heads


def divides(config: Config, part: int, heads: int, key: str = "num_key_value_heads") -> int:
    """Return ``part``, which must divide the heads."""
    if heads % part:
        raise config.bad(key, f"{part} does not divide num_attention_heads, {heads}")
    return part


def residual_norms(config: Config) -> int:
    """Vectors of width hidden at a sublayer: its norm, and norm and scores of Kimi-K3's attention over residuals."""
    return 3 if config.has("attn_res_block_size") else 1
