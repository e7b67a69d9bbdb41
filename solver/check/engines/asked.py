"""A replica as its engine sees it: the LLM's widths, the degrees and how it is launched."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from solver.engines.launch import Launch, launch
from solver.llm import LLM, Attention, Dtype, Layer
from solver.replica import Parallelism, Setup
from topologies import Device

#: Attention of which query, key and value projections are three plain matrices.
_PLAIN = ("full", "sliding", "chunked")


@dataclass(frozen=True)
class Asked:
    """One replica of an LLM on a kind of device."""

    llm: LLM
    device: Device
    setup: Setup

    @cached_property
    def launch(self) -> Launch:
        """How the engine is started for it."""
        return launch(self.llm, self.device, self.setup)

    @property
    def degrees(self) -> Parallelism:
        """Its degrees of parallelism."""
        return self.setup.parallelism

    @property
    def stage(self) -> int:
        """Ranks of one pipeline stage."""
        return self.degrees.ranks_per_stage

    @property
    def layers(self) -> Iterator[Layer]:
        """Kinds of layer."""
        return (layer for layer, _ in self.llm.layer_kinds)

    @property
    def attentions(self) -> list[Attention]:
        """Kinds of attention, layers without any left out."""
        return [layer.attention for layer in self.layers if layer.attention.heads]

    @property
    def latent(self) -> bool:
        """Whether keys and values are compressed into one vector for all heads (MLA)."""
        return any(attention.kind == "mla" for attention in self.attentions)

    @property
    def recurrent(self) -> bool:
        """Whether some layer carries a state from token to token."""
        return any(attention.state_bytes > 0 for attention in self.attentions)

    @property
    def windows(self) -> bool:
        """Whether some layer sees only a window of its keys."""
        return any(attention.kind in ("sliding", "chunked") for attention in self.attentions)

    @property
    def compressed(self) -> bool:
        """Whether the cache keeps rows that stand for several tokens."""
        return any(attention.kind == "compressed" for attention in self.attentions)

    @property
    def indexed(self) -> bool:
        """Whether sparse attention keeps index keys."""
        return any(attention.indexer_flop_per_key > 0 for attention in self.attentions)

    @property
    def mixed_cache(self) -> bool:
        """Whether layers keep caches of different shapes."""
        shapes = {(a.kind, a.kv_heads, a.kv_elements_per_token, a.window, a.state_bytes) for a in self.attentions}
        return len(shapes) > 1

    @property
    def cached_heads(self) -> list[int]:
        """KV heads of every kind of layer that keeps keys and values."""
        return [a.kv_heads for a in self.attentions if a.kind not in ("linear", "none")]

    @property
    def expert_hidden(self) -> int:
        """Width of the vectors that experts exchange."""
        return max((layer.ffn.expert_hidden for layer in self.layers if layer.ffn.experts), default=0)

    @property
    def copies(self) -> int:
        """Routed experts with their spare copies."""
        return self.llm.experts + self.setup.redundant_experts

    def attention_shards(self) -> Iterator[tuple[str, int]]:
        """Columns of a rank's shard of each plain attention projection that the engine cuts."""
        tp = self.degrees.tp
        for attention in self.attentions:
            if attention.kind in _PLAIN:
                yield "attention output", attention.output_parameters // self.llm.hidden // tp
                # With more ranks than KV heads each rank holds a head whole.
                if tp <= attention.kv_heads:
                    yield "key and value", attention.kv_elements_per_token // 2 // tp


def whole_columns(dtype: Dtype) -> int:
    """Columns that a shard must be a multiple of: 128 for block fp8 and int4 kernels, 32 for NVFP4; MXFP4 is padded."""
    if dtype.name.startswith("int4"):
        return max(128, dtype.block)
    if dtype.name.startswith("nvfp4"):
        return max(32, dtype.block)
    return 1 if dtype.name.startswith("mxfp4") else dtype.block
