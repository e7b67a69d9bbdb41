"""Networks whose layers were searched one by one: ``block_configs`` describes each (Nemotron-NAS, DeciLM)."""

from __future__ import annotations

from dataclasses import dataclass

from solver.llm.attention import Attention
from solver.llm.attention_shapes import grouped_query
from solver.llm.config.attention_rules import divides, head_dim
from solver.llm.config.reader import MAX_LAYERS, Config
from solver.llm.ffn import FFN
from solver.llm.recurrent_shapes import no_attention


def _described(config: Config, layer: int, part: str) -> Config:
    """Return what ``block_configs`` says of a part of a layer."""
    blocks = config.raw("block_configs")
    if not isinstance(blocks, list) or not layer < len(blocks) <= MAX_LAYERS:
        raise config.bad("block_configs", "must have an object for every layer")
    block = blocks[layer]
    if not isinstance(block, dict) or not isinstance(block.get(part), dict):
        raise config.bad(f"block_configs[{layer}].{part}", "must be an object")
    return Config(block[part], config.where, f"block_configs[{layer}].{part}.", config.from_file)


@dataclass(frozen=True)
class SearchedAttention:
    """Attention with ``n_heads_in_group`` query heads per KV head, one matrix in its place, or none."""

    needs: tuple[str, ...] = ("num_attention_heads", "block_configs")

    def __call__(self, config: Config, layer: int) -> Attention:
        block = _described(config, layer, "attention")
        if block.flag("no_op"):
            return no_attention()
        if block.flag("replace_with_linear"):
            raise block.bad("replace_with_linear", "is not understood; no engine serves it")
        hidden, heads = config.count("hidden_size"), config.count("num_attention_heads")
        groups = divides(block, block.count("n_heads_in_group"), heads, "n_heads_in_group")
        biased = config.flag("attention_bias")
        return grouped_query(
            hidden=hidden,
            heads=heads,
            kv_heads=heads // groups,
            head_dim=head_dim(config, hidden, heads),
            window=block.count("window_length") if block.has("window_length") else None,
            qkv_bias=biased,
            output_bias=biased,
        )


@dataclass(frozen=True)
class SearchedFFN:
    """A gated FFN of width 2/3 ``ffn_mult`` hidden, rounded up to 256, or of ``intermediate_size``; or none."""

    needs: tuple[str, ...] = ()

    def __call__(self, config: Config, layer: int) -> FFN:
        block, hidden = _described(config, layer, "ffn"), config.count("hidden_size")
        if block.flag("no_op"):
            return FFN(hidden, absent=True, norms=0)
        if block.flag("replace_with_linear"):
            raise block.bad("replace_with_linear", "is not understood; no engine serves it")
        if block.has("intermediate_size"):
            return FFN(hidden, width=block.count("intermediate_size"))
        multiple = block.raw("ffn_mult")
        if isinstance(multiple, bool) or not isinstance(multiple, int | float) or not 0 < multiple < 1000:
            raise block.missing("ffn_mult")
        wanted = int(2 * multiple * hidden / 3)
        return FFN(hidden, width=wanted + -wanted % 256)
