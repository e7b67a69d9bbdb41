"""How a family spells its attention in ``config.json``: one small rule per kind of attention."""

from __future__ import annotations

from dataclasses import dataclass

from solver.llm.attention import Attention
from solver.llm.attention_shapes import grouped_query, latent
from solver.llm.config import windows
from solver.llm.config.reader import Config


@dataclass(frozen=True)
class GroupedQuery:
    """Grouped-query attention.

    Attributes
    ----------
    qkv_bias, output_bias: True, False, or the key that says so.
    qk_norm: as in :func:`solver.llm.attention_shapes.grouped_query`, or the key ``use_qk_norm`` for per-head norms.
    window: which layers have one.
    multi_head: an absent ``num_key_value_heads`` means as many as query heads.
    head_dim: whether an absent ``head_dim`` means hidden / heads.
    """

    qkv_bias: bool | str = False
    output_bias: bool | str = False
    qk_norm: str = "none"
    window: windows.Rule = windows.never
    chunked: bool = False
    sinks: bool = False
    output_gate: bool = False
    multi_head: bool = False
    derived_head_dim: bool = True
    norms: int = 1

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        kv = () if self.multi_head else ("num_key_value_heads",)
        return ("num_attention_heads", *kv, *(() if self.derived_head_dim else ("head_dim",)))

    def __call__(self, config: Config, layer: int) -> Attention:
        hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
        kv_heads = config.count("num_key_value_heads", heads)
        norm = self.qk_norm
        if norm == "use_qk_norm":
            norm = "head" if config.flag("use_qk_norm") else "none"
        return grouped_query(
            hidden=hidden,
            heads=heads,
            kv_heads=divides(config, kv_heads, heads),
            head_dim=head_dim(config, hidden, heads),
            window=self.window(config, layer),
            chunked=self.chunked,
            qkv_bias=said(config, self.qkv_bias),
            output_bias=said(config, self.output_bias),
            qk_norm=norm,
            sinks=self.sinks,
            output_gate=self.output_gate,
            norms=self.norms,
        )


@dataclass(frozen=True)
class Latent:
    """Multi-head latent attention; sparse where ``index_topk`` is given.

    ``norms`` counts vectors of width hidden: three with Kimi-K3's attention over residuals.
    """

    indexer: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        index = ("index_n_heads", "index_head_dim", "index_topk") if self.indexer else ()
        dims = ("q_lora_rank", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim")
        return ("num_attention_heads", *dims, *index)

    def __call__(self, config: Config, layer: int) -> Attention:
        return latent(
            hidden=config.count("hidden_size"),
            heads=config.count("num_attention_heads"),
            q_rank=config.count("q_lora_rank") if config.has("q_lora_rank") else None,
            kv_rank=config.count("kv_lora_rank"),
            nope_dim=config.count("qk_nope_head_dim"),
            rope_dim=config.count("qk_rope_head_dim"),
            value_dim=config.count("v_head_dim"),
            index_heads=config.count("index_n_heads") if self.indexer else 0,
            index_dim=config.count("index_head_dim") if self.indexer else 0,
            budget=config.count("index_topk") if self.indexer else None,
            output_gate=config.flag("mla_use_output_gate"),
            norms=residual_norms(config),
        )


@dataclass(frozen=True)
class BlockSparse:
    """MiniMax-M3: grouped-query attention; ``sparse_attention_config`` says which layers select blocks of keys."""

    needs: tuple[str, ...] = ("num_attention_heads", "num_key_value_heads", "head_dim")

    def __call__(self, config: Config, layer: int) -> Attention:
        hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
        sparse = config.section("sparse_attention_config")
        if sparse is not None and not sparse.integers(
            "sparse_attention_freq", config.count("num_hidden_layers"), high=1
        ):
            raise sparse.missing("sparse_attention_freq")
        if sparse is not None and not sparse.integers("sparse_attention_freq")[layer]:
            sparse = None
        return grouped_query(
            hidden=hidden,
            heads=heads,
            kv_heads=divides(config, config.count("num_key_value_heads"), heads),
            head_dim=config.count("head_dim"),
            qk_norm="head" if config.flag("use_qk_norm") else "none",
            index_heads=sparse.count("sparse_num_index_heads") if sparse else 0,
            index_dim=sparse.count("sparse_index_dim") if sparse else 0,
            budget=sparse.count("sparse_topk_blocks") * sparse.count("sparse_block_size") if sparse else None,
        )


@dataclass(frozen=True)
class GlobalAndSliding:
    """Gemma-4: global layers have head dimension, KV heads and value projection of their own."""

    needs: tuple[str, ...] = ("num_attention_heads", "num_key_value_heads", "head_dim", "layer_types", "sliding_window")

    def __call__(self, config: Config, layer: int) -> Attention:
        for key in ("num_kv_shared_layers", "hidden_size_per_layer_input"):
            if config.count(key, 0, low=0):
                raise config.bad(key, "is not 0: layers that share keys or have inputs of their own are not supported")
        window = windows.by_type(config, layer)
        heads = config.count("num_attention_heads")
        head, kv_heads = config.count("head_dim"), config.count("num_key_value_heads")
        if window is None:
            head, kv_heads = config.count("global_head_dim", head), config.count("num_global_key_value_heads", kv_heads)
        return grouped_query(
            hidden=config.count("hidden_size"),
            heads=heads,
            kv_heads=divides(config, kv_heads, heads),
            head_dim=head,
            window=window,
            qk_norm="head",
            keys_as_values=window is None and config.flag("attention_k_eq_v"),
            norms=2,
        )


def said(config: Config, bias: bool | str) -> bool:
    """Return a bias that is fixed for the family or said by a key."""
    return config.flag(bias) if isinstance(bias, str) else bias


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
