"""Families whose layers differ in kind: linear beside full attention, lightly beside heavily compressed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from solver.llm.attention import Attention
from solver.llm.attention_shapes import compressed
from solver.llm.config import windows
from solver.llm.config.attention_rules import GroupedQuery, Latent, divides, residual_norms
from solver.llm.config.reader import Config
from solver.llm.recurrent_shapes import gated_delta, kimi_delta, lightning


@dataclass(frozen=True)
class KimiHybrid:
    """Kimi-Linear, Kimi-K3 and Ling-3: MLA in some layers, Kimi delta attention in the others.

    ``linear_attn_config`` lists them from 1; without it ``layer_types`` names them, or every ``layer_group_size``-th has
    MLA.
    """

    full: Latent
    full_rank: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return self.full.needs

    def __call__(self, config: Config, layer: int) -> Attention:
        linear = config.section("linear_attn_config")
        if self._is_full(config, linear, layer):
            return self.full(config, layer)
        hidden, norms = config.count("hidden_size"), residual_norms(config)
        if linear is not None:
            return kimi_delta(
                hidden=hidden,
                heads=linear.count("num_heads"),
                head_dim=linear.count("head_dim"),
                kernel=linear.count("short_conv_kernel_size"),
                full_rank_gate=linear.flag("use_full_rank_gate"),
                norms=norms,
            )
        return kimi_delta(
            hidden=hidden,
            heads=config.count("linear_num_heads", config.count("num_attention_heads")),
            head_dim=config.count("linear_head_dim", config.count("head_dim", 128)),
            kernel=config.count("linear_conv_kernel_dim", config.count("short_conv_kernel_size", 4)),
            full_rank_gate=self.full_rank,
            full_rank_decay=self.full_rank,
            norms=norms,
        )

    def _is_full(self, config: Config, linear: Config | None, layer: int) -> bool:
        if linear is not None:
            if layer + 1 in linear.integers("full_attn_layers"):
                return True
            if layer + 1 not in linear.integers("kda_layers"):
                raise linear.bad("kda_layers", f"and full_attn_layers both lack layer {layer + 1}")
            return False
        if config.has("layer_types"):
            return windows.layer_type(config, layer, (windows.FULL, windows.LINEAR)) == windows.FULL
        if config.has("layer_group_size"):
            return (layer + 1) % config.count("layer_group_size") == 0
        raise config.missing("linear_attn_config")


@dataclass(frozen=True)
class QwenHybrid:
    """Qwen3-Next and Qwen3.5: gated delta rule in all but every ``full_attention_interval``-th layer."""

    full: GroupedQuery
    norms: int = 1

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        linear = ("key_head_dim", "value_head_dim", "num_key_heads", "num_value_heads", "conv_kernel_dim")
        return (*self.full.needs, *(f"linear_{key}" for key in linear))

    def __call__(self, config: Config, layer: int) -> Attention:
        if config.has("layer_types"):
            known = (windows.FULL, windows.SLIDING, windows.LINEAR)
            full = windows.layer_type(config, layer, known) != windows.LINEAR
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
            state_element_bytes=element_bytes(config, "float32"),
            norms=self.norms,
        )


ELEMENT_BYTES: Mapping[str, int] = {"float32": 4, "bfloat16": 2, "float16": 2, "half": 2, "auto": 2}


def element_bytes(config: Config, default: str) -> int:
    """Return the size of an element of the recurrent state [bytes]: ``mamba_ssm_dtype``, else ``default``."""
    told = config.text("mamba_ssm_dtype", default)
    if told not in ELEMENT_BYTES:
        raise config.bad(config.spelled("mamba_ssm_dtype"), f"is {told[:40]!r}; known: {', '.join(ELEMENT_BYTES)}")
    return ELEMENT_BYTES[told]


@dataclass(frozen=True)
class LightningHybrid:
    """MiniMax-01 and Ling-2.5: lightning attention beside full attention.

    ``layer_types`` names the layers, or ``attn_type_list`` has 1 for full attention, or every ``layer_group_size``-th and
    the rest after the last whole group have it.
    """

    full: GroupedQuery | Latent
    qk_norm: bool = False

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return self.full.needs

    def __call__(self, config: Config, layer: int) -> Attention:
        if self._is_full(config, layer):
            return self.full(config, layer)
        hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
        dim = config.count("head_dim", hidden // heads)
        return lightning(hidden=hidden, heads=heads, head_dim=dim, qk_norm=self.qk_norm)

    def _is_full(self, config: Config, layer: int) -> bool:
        layers = config.count("num_hidden_layers")
        if config.has("attn_type_list"):
            return config.integers("attn_type_list", layers, high=1)[layer] == 1
        if config.has("layer_types"):
            return windows.layer_type(config, layer, (windows.FULL, windows.LINEAR)) == windows.FULL
        group = config.count("layer_group_size")
        return (layer + 1) % group == 0 or layer >= layers // group * group


@dataclass(frozen=True)
class Compressed:
    """DeepSeek-V4: ``compress_ratios`` gives each layer's compression, then the MTP layers'; 0 means a plain window.

    Without it ``layer_types`` names the layers, whose compression ``compress_rates`` gives.
    """

    needs: tuple[str, ...] = (
        "num_attention_heads",
        "head_dim",
        "qk_rope_head_dim",
        "q_lora_rank",
        "o_groups",
        "o_lora_rank",
        "sliding_window",
        "index_n_heads",
        "index_head_dim",
        "index_topk",
        "hc_mult",
    )
    overlapping: int = 4
    """Compression of the layers that have an indexer (compressed sparse attention)."""

    def __call__(self, config: Config, layer: int) -> Attention:
        ratio = self._ratio(config, layer)
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

    def _ratio(self, config: Config, layer: int) -> int:
        layers = config.count("num_hidden_layers")
        if config.has("compress_ratios"):
            drafting = config.count("num_nextn_predict_layers", 0, low=0, high=64)
            return config.integers("compress_ratios", layers + drafting)[layer]
        kinds = config.strings("layer_types", layers)
        if not kinds:
            raise config.missing("compress_ratios")
        rates = config.section("compress_rates")
        known = {"sliding_attention": 0, "compressed_sparse_attention": 4, "heavily_compressed_attention": 128}
        if kinds[layer] not in known:
            raise config.bad(f"layer_types[{layer}]", f"is {kinds[layer][:40]!r}; known: {', '.join(known)}")
        return rates.count(kinds[layer], known[kinds[layer]]) if rates else known[kinds[layer]]
