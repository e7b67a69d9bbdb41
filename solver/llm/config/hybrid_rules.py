"""Families whose layers differ in kind: linear beside full attention, lightly beside heavily compressed."""

from __future__ import annotations

from dataclasses import dataclass

from solver.llm.attention import Attention
from solver.llm.attention_shapes import compressed, gated_delta, kimi_delta
from solver.llm.config import windows
from solver.llm.config.attention_rules import GroupedQuery, Latent, divides, residual_norms
from solver.llm.config.reader import Config


@dataclass(frozen=True)
class KimiHybrid:
    """Kimi-Linear and Kimi-K3: ``linear_attn_config`` lists, from 1, the layers with MLA and with delta attention."""

    full: Latent

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return (*self.full.needs, "linear_attn_config")

    def __call__(self, config: Config, layer: int) -> Attention:
        linear = config.section("linear_attn_config")
        assert linear is not None  # in `needs`
        if layer + 1 in linear.integers("full_attn_layers"):
            return self.full(config, layer)
        if layer + 1 not in linear.integers("kda_layers"):
            raise linear.bad("kda_layers", f"and full_attn_layers both lack layer {layer + 1}")
        return kimi_delta(
            hidden=config.count("hidden_size"),
            heads=linear.count("num_heads"),
            head_dim=linear.count("head_dim"),
            kernel=linear.count("short_conv_kernel_size"),
            full_rank_gate=linear.flag("use_full_rank_gate"),
            norms=residual_norms(config),
        )


@dataclass(frozen=True)
class QwenHybrid:
    """Qwen3-Next and Qwen3.5: gated delta rule in all but every ``full_attention_interval``-th layer."""

    full: GroupedQuery

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        linear = ("key_head_dim", "value_head_dim", "num_key_heads", "num_value_heads", "conv_kernel_dim")
        return (*self.full.needs, "head_dim", *(f"linear_{key}" for key in linear))

    def __call__(self, config: Config, layer: int) -> Attention:
        if config.has("layer_types"):
            full = windows.layer_type(config, layer, ("full_attention", "linear_attention")) == "full_attention"
        else:
            full = (layer + 1) % config.count("full_attention_interval") == 0
        if full:
            return self.full(config, layer)
        return gated_delta(
            hidden=config.count("hidden_size"),
            key_heads=config.count("linear_num_key_heads"),
            value_heads=config.count("linear_num_value_heads"),
            key_dim=config.count("linear_key_head_dim"),
            value_dim=config.count("linear_value_head_dim"),
            kernel=config.count("linear_conv_kernel_dim"),
            state_element_bytes=2 if config.text("mamba_ssm_dtype", "float32") in ("bfloat16", "float16") else 4,
        )


@dataclass(frozen=True)
class Compressed:
    """DeepSeek-V4: ``compress_ratios`` gives each layer's compression, then the MTP layers'; 0 means a plain window."""

    needs: tuple[str, ...] = (
        "num_attention_heads",
        "head_dim",
        "qk_rope_head_dim",
        "q_lora_rank",
        "o_groups",
        "o_lora_rank",
        "sliding_window",
        "compress_ratios",
        "index_n_heads",
        "index_head_dim",
        "index_topk",
        "hc_mult",
    )
    overlapping: int = 4
    """Compression of the layers that have an indexer (compressed sparse attention)."""

    def __call__(self, config: Config, layer: int) -> Attention:
        layers = config.count("num_hidden_layers") + config.count("num_nextn_predict_layers", 0, low=0, high=64)
        ratio = config.integers("compress_ratios", layers)[layer]
        heads, groups = config.count("num_attention_heads"), config.count("o_groups")
        head, rope = config.count("head_dim"), config.count("qk_rope_head_dim")
        if rope >= head:
            raise config.bad("qk_rope_head_dim", f"must be below head_dim, {head}")
        sparse = ratio == self.overlapping
        return compressed(
            hidden=config.count("hidden_size"),
            heads=heads,
            head_dim=head,
            rope_dim=rope,
            q_rank=config.count("q_lora_rank"),
            output_groups=divides(config, groups, heads, "o_groups"),
            output_rank=config.count("o_lora_rank"),
            window=windows.width(config),
            compression=ratio,
            index_heads=config.count("index_n_heads") if sparse else 0,
            index_dim=config.count("index_head_dim") if sparse else 0,
            budget=config.count("index_topk") if sparse else None,
            streams=config.count("hc_mult"),
        )
