"""What an engine would refuse to start: one function for each reason, from a table of setups to the rows that give it.

The memory rules live with the ledger (:mod:`solver.space.candidates`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.llm import FFN, LLM, Attention, Dtype
from solver.replica import Role, Setup
from solver.space.engines import EngineRules

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]

#: Whole columns that the 4-bit kernels of the engines need in a shard, where that is more than the format's own block.
#: Marlin: min_thread_k = 128 (vllm #13640); TRTLLM-gen NVFP4 experts: 32 (flashinfer #3206). MXFP4 experts are padded.
KERNEL_ALIGNMENT = {"int4": 128, "nvfp4": 32, "mxfp4": 1}


@dataclass(frozen=True)
class Setting:
    """Everything a rule may look at.

    Attributes
    ----------
    domain_size: devices of the largest scale-up domain.
    tp, pp, ep, dp, moe_tp, cp: degrees (R,).
    redundant_experts: spare expert copies of a replica (R,).
    exchange_domains: scale-up domains that a stage's expert group spreads over (R,).
    draft_tokens: tokens drafted per step (R,).
    """

    llm: LLM
    engine: EngineRules
    role: Role
    domain_size: int
    tp: Counts
    pp: Counts
    ep: Counts
    dp: Counts
    moe_tp: Counts
    cp: Counts
    redundant_experts: Counts
    exchange_domains: Counts
    draft_tokens: Counts

    @classmethod
    def of(
        cls, llm: LLM, engine: EngineRules, role: Role, setups: Sequence[Setup], domain_size: int = 1_000_000
    ) -> Setting:
        """A table of setups of one engine and role."""
        names = ("tp", "pp", "ep", "dp", "moe_tp", "cp")
        degrees = {name: np.array([getattr(s.parallelism, name) for s in setups], np.int64) for name in names}
        rest = {
            name: np.array([getattr(s, name) for s in setups], np.int64)
            for name in ("redundant_experts", "exchange_domains", "draft_tokens")
        }
        return cls(llm, engine, role, domain_size, **degrees, **rest)

    @property
    def attentions(self) -> list[Attention]:
        """Kinds of attention."""
        return list(dict.fromkeys(layer.attention for layer, _ in self.llm.layer_kinds))

    @property
    def ffns(self) -> list[FFN]:
        """Kinds of FFN."""
        return list(dict.fromkeys(layer.ffn for layer, _ in self.llm.layer_kinds))


@dataclass(frozen=True)
class Refusal:
    """One reason for which an engine does not start.

    Attributes
    ----------
    name: short name, counted when setups are dropped.
    because: what it means, for a person.
    broken: rows that break it (R,).
    """

    name: str
    because: str
    broken: Callable[[Setting], Mask]


def refusal(name: str, because: str) -> Callable[[Callable[[Setting], Mask]], Refusal]:
    """Make a function from a table of setups to the rows that break it the refusal of that name and sentence."""
    return lambda broken: Refusal(name, because, broken)


def broken_rules(setting: Setting) -> Iterator[tuple[Refusal, Mask]]:
    """Every reason to refuse, with the rows that give it."""
    for each in REFUSALS:
        yield each, np.broadcast_to(each.broken(setting), setting.tp.shape)


def refusals(setting: Setting) -> list[list[Refusal]]:
    """The reasons to refuse each row."""
    found: list[list[Refusal]] = [[] for _ in setting.tp]
    for each, mask in broken_rules(setting):
        for row in np.flatnonzero(mask):
            found[row].append(each)
    return found


def _any(masks: Sequence[Mask], like: Counts) -> Mask:
    result = np.zeros(like.shape, bool)
    for mask in masks:
        result = result | mask
    return result


@refusal("heads % tp", "the attention heads must divide evenly over the tensor-parallel ranks")
def heads(s: Setting) -> Mask:
    return _any([a.heads % s.tp != 0 for a in s.attentions], s.tp)


@refusal("kv heads % tp", "tp must divide the KV heads, or be a multiple of them so that each is held more than once")
def kv_heads(s: Setting) -> Mask:
    """MLA keeps one latent for all heads, whole on every rank: nothing to divide."""
    masks = []
    for attention in s.attentions:
        if attention.kv_heads > 1:
            replicated = (s.tp % attention.kv_heads == 0) if s.engine.kv_heads_replicate else np.zeros_like(s.tp, bool)
            masks.append((attention.kv_heads % s.tp != 0) & ~replicated)
    return _any(masks, s.tp)


@refusal("tp in domain", "a tensor-parallel group must lie inside one scale-up domain")
def tp_in_domain(s: Setting) -> Mask:
    return s.tp > s.domain_size


@refusal("dense dp", "an LLM without experts gains nothing from dp, ep or moe_tp: more replicas are the same")
def dense_data_parallel(s: Setting) -> Mask:
    alone = (s.dp > 1) | (s.ep > 1) | (s.moe_tp > 1)
    return alone if not s.llm.experts else np.zeros_like(alone)


@refusal("ep x moe_tp", "expert ranks and attention ranks of a stage are the same: ep x moe_tp = tp x dp")
def expert_ranks(s: Setting) -> Mask:
    return (s.ep * s.moe_tp != s.tp * s.dp) if s.llm.experts else np.zeros(s.tp.shape, bool)


@refusal("expert parallel", "the engine takes no such expert-parallel degree (vLLM: none, or tp x dp)")
def expert_parallel(s: Setting) -> Mask:
    divides_stage = not s.llm.experts or s.engine.expert_parallel == "divides_stage"
    broken: Mask = (s.tp * s.dp) % s.ep != 0 if divides_stage else (s.ep != 1) & (s.ep != s.tp * s.dp)
    return broken


@refusal("attention dp", "the engine's attention data parallelism is all or nothing: dp > 1 needs tp = 1")
def attention_data_parallel(s: Setting) -> Mask:
    if s.engine.attention_data_parallel == "any":
        return np.zeros(s.tp.shape, bool)
    return (s.dp > 1) & (s.tp > 1)


@refusal("experts % ep", "expert copies must divide evenly over the expert-parallel ranks")
def experts_divide(s: Setting) -> Mask:
    uneven = (s.llm.experts + s.redundant_experts) % s.ep != 0
    needed = (
        (s.redundant_experts > 0) | (s.exchange_domains > 1)
        if s.engine.experts_divide == "with_redundancy"
        else np.ones(s.tp.shape, bool)
    )
    broken: Mask = uneven & needed & (s.ep > 1)
    return broken


@refusal("ep > experts", "there are more expert-parallel ranks than expert copies")
def more_ranks_than_experts(s: Setting) -> Mask:
    return (s.ep > s.llm.experts + s.redundant_experts) & (s.ep > 1)


@refusal("copies distinct", "spare copies of an expert must find ranks that do not hold it yet")
def copies_distinct(s: Setting) -> Mask:
    """Spare copies beyond one per expert and rank would stand twice on a rank."""
    return (s.redundant_experts > 0) & (s.redundant_experts > s.llm.experts * (s.ep - 1))


@refusal("expert width % moe_tp", "the experts' inner width must divide evenly over moe_tp")
def expert_width(s: Setting) -> Mask:
    return _any([f.expert_width % s.moe_tp != 0 for f in s.ffns if f.experts], s.tp)


@refusal("dense width % tp", "the FFN's inner width must divide evenly over tp")
def dense_width(s: Setting) -> Mask:
    masks = [f.width % s.tp != 0 for f in s.ffns if f.width] + [
        f.shared_width % s.tp != 0 for f in s.ffns if f.shared_width
    ]
    return _any(masks, s.tp)


def _alignment(dtype: Dtype) -> int:
    family = dtype.name.split("_")[0]
    return max(dtype.block, KERNEL_ALIGNMENT.get(family, 1)) if family != "mxfp4" else 1


@refusal("quantisation block", "a shard of a quantised matrix must be whole quantisation blocks")
def blocks(s: Setting) -> Mask:
    """Every shard of a quantised matrix must be whole blocks (vLLM validate_fp8_block_shape, SGLang's MoE check)."""
    if not s.engine.block_check:
        return np.zeros(s.tp.shape, bool)
    precision = s.llm.precision
    masks = []
    for ffn in s.ffns:
        for width, ranks, dtype in (
            (ffn.width, s.tp, precision.dense),
            (ffn.shared_width, s.tp, precision.shared),
            (ffn.expert_width, s.moe_tp, precision.experts),
        ):
            block = _alignment(dtype)
            if width and block > 1:
                masks.append((width % (ranks * block) != 0) & (ranks > 1))
    return _any(masks, s.tp)


@refusal("pp > layers", "there are more pipeline stages than layers")
def layers(s: Setting) -> Mask:
    return s.pp > len(s.llm.layers)


@refusal("pipeline role", "the engine has no pipeline stages in this role")
def pipeline_role(s: Setting) -> Mask:
    return (s.pp > 1) & (s.role not in s.engine.pipeline_roles)


@refusal("pipeline and drafts", "the engine does not speculate across pipeline stages")
def pipeline_speculation(s: Setting) -> Mask:
    refused: Mask = (s.pp > 1) & (s.draft_tokens > 0) & (not s.engine.pipeline_with_speculation)
    return refused


@refusal("context parallel", "cp splits spare copies of KV heads: cp <= tp / kv heads, and it divides tp")
def context_parallel(s: Setting) -> Mask:
    """Decode context parallelism splits, by position, the copies that tp ranks hold of one KV head."""
    if s.engine.context_parallel == "none":
        return s.cp > 1
    spare: Counts = np.min([s.tp // a.kv_heads for a in s.attentions], axis=0)
    refused: Mask = (s.cp > 1) & ((s.cp > spare) | (s.tp % s.cp != 0))
    return refused


@refusal("cp with ep", "the engine does not combine context and expert parallelism")
def context_with_experts(s: Setting) -> Mask:
    return (s.cp > 1) & (s.ep > 1) & (not s.engine.context_parallel_with_experts)


@refusal("exchange width", "the low-latency expert exchange was not compiled for this width")
def exchange_hidden(s: Setting) -> Mask:
    known = s.engine.exchange_hidden
    widths = {f.expert_hidden for f in s.ffns if f.experts}
    return (s.exchange_domains > 1) & (s.dp > 1) & bool(known and not widths <= set(known))


@refusal("exchange top-k", "the low-latency expert exchange takes fewer experts per token")
def exchange_top_k(s: Setting) -> Mask:
    return (s.exchange_domains > 1) & (s.dp > 1) & (s.llm.top_k > s.engine.exchange_top_k)


#: Everything that an engine may refuse.
REFUSALS: tuple[Refusal, ...] = (
    heads,
    kv_heads,
    tp_in_domain,
    dense_data_parallel,
    expert_ranks,
    expert_parallel,
    attention_data_parallel,
    experts_divide,
    more_ranks_than_experts,
    copies_distinct,
    expert_width,
    dense_width,
    blocks,
    layers,
    pipeline_role,
    pipeline_speculation,
    context_parallel,
    context_with_experts,
    exchange_hidden,
    exchange_top_k,
)


def most_sequences(engine: EngineRules, setup: Setup) -> int:
    """Sequences that a rank may be told to run at most: its low-latency expert exchange takes so many tokens a step."""
    if setup.role != "decode" or setup.parallelism.dp == 1 or setup.exchange_domains == 1:
        return engine.max_sequences
    return min(engine.max_sequences, engine.exchange_tokens // (1 + setup.draft_tokens))
