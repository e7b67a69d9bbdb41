"""Families with state-space layers or short convolutions: Jamba, Bamba, Granite-4, Falcon-H1, Nemotron-H, LFM2, Mamba."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from solver.llm.attention import Attention
from solver.llm.config import windows
from solver.llm.config.attention_rules import GroupedQuery
from solver.llm.config.ffn_rules import Dense, Experts
from solver.llm.config.hybrid_rules import element_bytes
from solver.llm.config.reader import Config
from solver.llm.ffn import FFN
from solver.llm.recurrent_shapes import beside, mamba1, mamba2, no_attention, short_convolution


def mamba_2(config: Config, norms: int = 1) -> Attention:
    """Mamba-2: ``mamba_n_heads`` heads of ``mamba_d_head``, or what ``mamba_d_ssm`` or ``mamba_expand`` makes of them."""
    hidden = config.count("hidden_size")
    inner = config.count("mamba_d_ssm", config.count("mamba_expand", 2) * hidden)
    heads = config.count("mamba_n_heads")
    dim = config.count("mamba_d_head") if isinstance(config.raw("mamba_d_head"), int) else inner // heads
    return mamba2(
        hidden=hidden,
        heads=heads,
        head_dim=dim,
        state=config.count("mamba_d_state"),
        groups=config.count("mamba_n_groups", 1),
        kernel=config.count("mamba_d_conv", 4),
        bias=config.flag("mamba_proj_bias", config.flag("use_bias")),
        convolution_bias=config.flag("mamba_conv_bias", True),
        gated_norm=config.flag("mamba_rms_norm", True),
        state_element_bytes=element_bytes(config, "auto"),
        norms=norms,
    )


def mamba_1(config: Config, parameter_norms: bool = False) -> Attention:
    """Mamba: inner width ``mamba_expand`` x hidden, step rank hidden / 16 where it is absent or ``auto``."""
    hidden = config.count("hidden_size")
    rank = config.raw("mamba_dt_rank")
    return mamba1(
        hidden=hidden,
        inner=config.count("mamba_expand", 2) * hidden,
        state=config.count("mamba_d_state", 16),
        step_rank=config.count("mamba_dt_rank") if isinstance(rank, int) else math.ceil(hidden / 16),
        kernel=config.count("mamba_d_conv", 4),
        bias=config.flag("mamba_proj_bias", config.flag("use_bias")),
        convolution_bias=config.flag("mamba_conv_bias", True),
        parameter_norms=parameter_norms,
        state_element_bytes=element_bytes(config, "auto"),
    )


@dataclass(frozen=True)
class Alternating:
    """Attention in some layers, a recurrent layer in the others.

    ``layer_types`` or ``layers_block_type`` names them; without it every ``attn_layer_period``-th layer from
    ``attn_layer_offset`` on has attention (Jamba), or those in ``attn_layer_indices`` (Bamba) or ``full_attn_idxs``
    (LFM2).
    """

    full: GroupedQuery
    recurrent: Callable[[Config], Attention]
    keys: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return (*self.full.needs, *self.keys)

    def __call__(self, config: Config, layer: int) -> Attention:
        return self.full(config, layer) if self._is_full(config, layer) else self.recurrent(config)

    def _is_full(self, config: Config, layer: int) -> bool:
        if config.has("layer_types"):
            known = (windows.FULL, windows.SLIDING, windows.LINEAR, windows.CONVOLUTION)
            return windows.layer_type(config, layer, known) in (windows.FULL, windows.SLIDING)
        for key in ("attn_layer_indices", "full_attn_idxs"):
            if key in config.values:
                return layer in config.integers(key)
        period, offset = config.count("attn_layer_period"), config.count("attn_layer_offset", low=0)
        return layer % period == offset % period


@dataclass(frozen=True)
class Parallel:
    """Attention and Mamba-2 side by side in every layer (Falcon-H1)."""

    full: GroupedQuery

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return (*self.full.needs, "mamba_n_heads", "mamba_d_state")

    def __call__(self, config: Config, layer: int) -> Attention:
        recurrent = mamba_2(config.view({}, {**config.defaults, "mamba_rms_norm": False}), norms=0)
        return beside(self.full(config, layer), recurrent)


@dataclass(frozen=True)
class Always:
    """The same recurrent layer everywhere (Mamba)."""

    recurrent: Callable[[Config], Attention]
    needs: tuple[str, ...]

    def __call__(self, config: Config, layer: int) -> Attention:
        return self.recurrent(config)


BLOCKS = {"M": "mamba", "*": "attention", "E": "moe", "-": "mlp"}
"""Letters of ``hybrid_override_pattern`` (Nemotron-H)."""
BLOCK_WORDS = {
    **dict.fromkeys(("linear_attention", "mamba", "mamba2"), "mamba"),
    **dict.fromkeys(("full_attention", "attention"), "attention"),
    "moe": "moe",
    "mlp": "mlp",
}


def block(config: Config, layer: int) -> str:
    """Return what a layer of Nemotron-H is: ``mamba``, ``attention``, ``moe`` or ``mlp``, each a layer of its own."""
    layers = config.count("num_hidden_layers")
    if config.told("layer_types"):
        word = config.strings("layer_types", layers)[layer]
        if word not in BLOCK_WORDS:
            raise config.bad(f"layers_block_type[{layer}]", f"is {word[:40]!r}; known: {', '.join(BLOCK_WORDS)}")
        return BLOCK_WORDS[word]
    pattern = config.text("hybrid_override_pattern")
    if not pattern:
        raise config.missing("hybrid_override_pattern")
    letters = pattern.replace("|", "")
    if len(letters) != layers or set(letters) - set(BLOCKS):
        raise config.bad(
            "hybrid_override_pattern", f"must have {layers} of the letters {''.join(BLOCKS)}, one per layer"
        )
    return BLOCKS[letters[layer]]


def counted_blocks(config: Config) -> Config:
    """Count Nemotron-H's layers where a file only names them."""
    if config.told("num_hidden_layers"):
        return config
    pattern = config.raw("hybrid_override_pattern")
    listed = config.strings("layer_types") or (pattern.replace("|", "") if isinstance(pattern, str) else "")
    return config.view({"num_hidden_layers": len(listed)} if listed else {})


def heads_of_state(config: Config) -> Config:
    """Mamba-2's own files call its heads as others call those of attention."""
    return config.view(
        {
            "mamba_n_heads": config.raw("num_heads"),
            "mamba_d_head": config.raw("head_dim"),
            "num_attention_heads": config.raw("num_heads"),
        }
    )


@dataclass(frozen=True)
class Blocks:
    """Nemotron-H: a layer is Mamba-2, attention, experts or an FFN; ``hybrid_override_pattern`` says which."""

    full: GroupedQuery

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return (*self.full.needs, "mamba_n_heads", "mamba_d_head", "mamba_d_state")

    def __call__(self, config: Config, layer: int) -> Attention:
        kind = block(config, layer)
        if kind == "attention":
            return self.full(config, layer)
        if kind == "mamba":
            return mamba_2(config.view({}, {**config.defaults, "mamba_ssm_dtype": "float32"}))
        return no_attention()


@dataclass(frozen=True)
class BlockFFN:
    """The FFN of a layer of Nemotron-H: experts, a dense one, or none."""

    dense: Dense
    experts: Experts
    needs: tuple[str, ...] = ()

    def __call__(self, config: Config, layer: int) -> FFN:
        kind = block(config, layer)
        if kind == "moe":
            for key in self.experts.needs:
                if not config.has(key):
                    raise config.missing(key)
            return self.experts(config, layer)
        if kind == "mlp":
            return self.dense(config, layer)
        return FFN(config.count("hidden_size"), absent=True, norms=0)


def convolution(config: Config) -> Attention:
    """Short convolution of ``conv_L_cache`` tokens (LFM2)."""
    sandwich = 2 if config.flag("use_sandwich_norm") else 1
    return short_convolution(
        hidden=config.count("hidden_size"),
        kernel=config.count("conv_L_cache"),
        bias=config.flag("conv_bias"),
        norms=sandwich,
    )


def adjusted(config: Config, width: int) -> int:
    """Inner width of LFM2's FFN: two thirds of what the key says, scaled, rounded up to ``block_multiple_of``."""
    if not config.flag("block_auto_adjust_ff_dim", True):
        return width
    multiplier = config.raw("block_ffn_dim_multiplier")
    two_thirds = int(2 * width / 3)
    if isinstance(multiplier, int | float) and 0 < multiplier < 100:
        two_thirds = int(multiplier * two_thirds)
    multiple = config.count("block_multiple_of", 256)
    return multiple * ((two_thirds + multiple - 1) // multiple)


@dataclass(frozen=True)
class NoFFN:
    """No layer has an FFN (Mamba)."""

    needs: tuple[str, ...] = ()

    def __call__(self, config: Config, layer: int) -> FFN:
        return FFN(config.count("hidden_size"), absent=True, norms=0)
