"""An LLM as its trainer sees it: layers in order, each with its matrices, what it keeps and what it sends."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby

from solver.llm import LLM
from solver.llm.network import Layer as ServedLayer

#: Number of layers of each kind.
Tally = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Block:
    """One layer; equal ones are one kind. Parameters, elements and FLOP are of the whole layer, elements per token.

    Attributes
    ----------
    width: of the residual stream. heads: of queries.
    attention: parameters that tensor parallelism divides; attention_whole: those that every rank has (MLA's
    down-projections). up: those of ``attention`` that make queries, keys and values from latents, cheap to run again.
    attention_side: square root of the parameters of a typical matrix, by which GEMM kernels are timed.
    projected: queries, keys and values. latent: what MLA makes them from; 0 = the stream itself.
    attended: output of the heads. kv: keys and values that context-parallel ranks exchange.
    core_flop: of a query token and one attended key. reach: most keys that a query sees; None = all before it.
    other_flop: of attention per token that no matrix above counts (recurrent layers).
    dense: parameters of the FFN that every token meets; dense_inner: their inner width.
    router: parameters. experts, top_k: routed ones, and those that a token meets; expert, expert_inner: of one.
    gated: FFNs have a gate. rotary: positions are rotated into queries and keys. dropout: masks are kept.
    """

    width: int
    heads: int
    attention: float
    attention_side: float
    projected: int
    attended: int
    kv: int
    core_flop: float
    attention_whole: float = 0.0
    up: float = 0.0
    latent: int = 0
    reach: int | None = None
    other_flop: float = 0.0
    dense: float = 0.0
    dense_inner: int = 0
    router: float = 0.0
    experts: int = 0
    top_k: int = 0
    expert: float = 0.0
    expert_inner: int = 0
    gated: bool = True
    rotary: bool = True
    dropout: bool = False

    @property
    def parameters(self) -> float:
        """All parameters."""
        return self.attention + self.attention_whole + self.dense + self.router + self.experts * self.expert

    @property
    def active_parameters(self) -> float:
        """Parameters that a token meets."""
        return self.parameters - (self.experts - self.top_k) * self.expert

    def keys(self, sequence: int, causal: bool = True) -> float:
        """Keys that a query sees on average; all of its reach where masked ones are counted too.

        >>> gpt("g", 1, 64, 1).layers[0].keys(100), gpt("g", 1, 64, 1).layers[0].keys(100, causal=False)
        (50.0, 100)
        """
        reach = min(sequence, self.reach or sequence)
        return reach * (1 - reach / (2 * sequence)) if causal else reach

    def flop_per_token(self, sequence: int, causal: bool) -> float:
        """FLOP of one token, forward and backward, nothing recomputed."""
        core = self.core_flop * self.keys(sequence, causal) + self.other_flop
        return 6 * self.active_parameters + 3 * core


@dataclass(frozen=True, kw_only=True)
class Network:
    """A network: its layers in order, and what surrounds them.

    Attributes
    ----------
    vocabulary: rows of the embedding and of the head. tied: both are one matrix.
    predicted: multi-token-prediction modules at the end, each a layer like the last and one more use of the head.
    """

    name: str
    layers: tuple[Block, ...]
    vocabulary: int
    tied: bool = False
    predicted: int = 0

    @cached_property
    def kinds(self) -> tuple[Block, ...]:
        """Layers that differ, in order of first appearance."""
        return tuple(dict.fromkeys(self.layers))

    @cached_property
    def kind_of(self) -> tuple[int, ...]:
        """Kind of every layer."""
        numbers = {block: number for number, block in enumerate(self.kinds)}
        return tuple(numbers[block] for block in self.layers)

    @cached_property
    def before(self) -> tuple[Tally, ...]:
        """Layers of each kind before every layer, and before the end."""
        sums: list[Tally] = [(0,) * len(self.kinds)]
        for own in self.kind_of:
            sums.append(tuple(count + (kind == own) for kind, count in enumerate(sums[-1])))
        return tuple(sums)

    def tally(self, *parts: tuple[int, int]) -> Tally:
        """How many layers of each kind lie in these parts: from a first one to before another.

        >>> gpt("g", 5, 64, 1).tally((0, 2), (4, 5))
        (3,)
        """
        before = self.before
        return tuple(sum(before[b][k] - before[a][k] for a, b in parts) for k in range(len(self.kinds)))

    @property
    def width(self) -> int:
        """h."""
        return self.layers[0].width

    @cached_property
    def heads(self) -> int:
        """Heads that every layer can divide."""
        return math.gcd(*(block.heads for block in self.layers))

    @cached_property
    def experts(self) -> int:
        """Routed experts that every such layer can divide; 0 without."""
        return math.gcd(*(block.experts for block in self.layers))

    @property
    def runs(self) -> tuple[tuple[Block, int], ...]:
        """Like layers that follow each other, and how many."""
        return tuple((block, len(list(run))) for block, run in groupby(self.layers))

    @property
    def embedding_parameters(self) -> float:
        """Parameters of the embedding; the head has as many, or is the same matrix."""
        return float(self.vocabulary * self.width)

    @property
    def parameters(self) -> float:
        """All parameters, without multi-token prediction."""
        return sum(b.parameters for b in self.layers) + self.embedding_parameters * (1 if self.tied else 2)

    def flop_per_token(self, sequence: int, causal: bool = True) -> float:
        """FLOP of the network itself for one token, forward and backward: nothing recomputed, nothing predicted further.

        With ``causal`` off, masked scores count too: Korthikanti et al., arXiv:2205.05198, equation 7,
        ``72 L h^2 (1 + s/(6h) + V/(12 h L))`` for GPT.
        """
        return sum(b.flop_per_token(sequence, causal) for b in self.layers) + 6 * self.embedding_parameters


def gpt(name: str, layers: int, width: int, heads: int, vocabulary: int = 51200) -> Network:
    """A GPT with FFNs four times as wide as the stream, as Megatron trains it.

    >>> round(gpt("gpt-3", 96, 12288, 96).parameters / 1e9)
    175
    """
    block = Block(
        width=width,
        heads=heads,
        attention=4.0 * width**2,
        attention_side=float(width),
        projected=3 * width,
        attended=width,
        kv=2 * width,
        core_flop=4.0 * width,
        dense=8.0 * width**2,
        dense_inner=4 * width,
        gated=False,
        rotary=False,
        dropout=True,
    )
    return Network(name=name, layers=(block,) * layers, vocabulary=vocabulary, tied=True)


def from_llm(llm: LLM) -> Network:
    """The network of an LLM, layer by layer.

    >>> network = from_llm(LLM.from_config("deepseek-v3"))
    >>> [(count, block.experts) for block, count in network.runs], round(network.parameters / 1e9)
    ([(3, 0), (58, 256)], 671)
    """
    return Network(
        name=llm.name,
        layers=tuple(_block(layer, llm.hidden) for layer in llm.layers),
        vocabulary=llm.vocab,
        tied=llm.tied_embeddings,
        predicted=llm.mtp_layers,
    )


def _block(layer: ServedLayer, width: int) -> Block:
    attention, ffn = layer.attention, layer.ffn
    reach = min(attention.window or math.inf, attention.budget or math.inf)
    projected, attended, latent, up = _projected(layer, width)
    dense = 0.0 if ffn.absent else float(ffn.dense_parameters + ffn.shared_parameters)
    inner = 0 if ffn.absent else ffn.width + ffn.shared_width
    return Block(
        width=width,
        heads=max(attention.heads, 1),
        attention=float(attention.sharded_parameters),
        attention_whole=float(attention.replicated_parameters),
        attention_side=math.sqrt(max(attention.output_parameters, 1)),
        up=up,
        projected=projected,
        attended=attended,
        latent=latent,
        kv=projected - attended if latent else attention.kv_elements_per_token,
        core_flop=float(attention.prefill_flop_per_key),
        reach=None if math.isinf(reach) else int(reach),
        other_flop=float(attention.flop_per_token),
        dense=dense,
        dense_inner=inner,
        router=0.0 if ffn.absent else float(ffn.replicated_parameters),
        experts=ffn.experts,
        top_k=round(ffn.visited),
        expert=float(ffn.expert_parameters) if ffn.experts else 0.0,
        expert_inner=ffn.expert_width,
        gated=ffn.gated,
    )


def _projected(layer: ServedLayer, width: int) -> tuple[int, int, int, float]:
    """Elements of queries, keys and values; of the output; of the latents; parameters that lead from these to those."""
    attention = layer.attention
    attended = attention.output_parameters // width
    if not attention.low_rank or not attention.prefill_flop_per_key:
        return attended + attention.kv_elements_per_token, attended, 0, 0.0
    queries = attention.prefill_flop_per_key // 2 - attended
    # MLA: keys are as wide as queries, values as the output
    latent = max(1, (attention.replicated_parameters - attention.bf16_parameters) // width)
    return 2 * queries + attended, attended, latent, float(attention.sharded_parameters - attention.output_parameters)


#: The four networks of Korthikanti et al., arXiv:2205.05198, Table 3.
MEGATRON = {
    network.name: network
    for network in (
        gpt("gpt-22b", 48, 6144, 64),
        gpt("gpt-175b", 96, 12288, 96),
        gpt("gpt-530b", 105, 20480, 128),
        gpt("gpt-1t", 128, 25600, 160),
    )
}
