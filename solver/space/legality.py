"""What an engine would refuse to start, as a table of rules over replica shapes.

Each rule is one function from a table of degrees to the rows that break it, with one sentence that says what it means.
The memory rules live with the ledger (:mod:`solver.space.candidates`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.llm import FFN, LLM, Attention, Dtype
from solver.replica import Parallelism, Role
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
    redundant: spare expert copies of a replica (R,).
    fragments: scale-up domains that a stage's expert group spreads over (R,).
    draft_tokens: tokens drafted per step.
    exchanged_tokens: most tokens a rank dispatches in one step (R,).
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
    redundant: Counts
    fragments: Counts
    draft_tokens: int
    exchanged_tokens: Counts

    @classmethod
    def of(
        cls,
        llm: LLM,
        engine: EngineRules,
        role: Role,
        shapes: Sequence[Parallelism],
        *,
        domain_size: int = 1_000_000,
        redundant: Sequence[int] | int = 0,
        fragments: Sequence[int] | int = 1,
        draft_tokens: int = 0,
        exchanged_tokens: Sequence[int] | int = 0,
    ) -> Setting:
        """A table of shapes."""
        rows = len(shapes)

        def column(values: Sequence[int] | int) -> Counts:
            return np.broadcast_to(np.asarray(values, np.int64), (rows,)).copy()

        degrees = {
            name: column([getattr(s, name) for s in shapes]) for name in ("tp", "pp", "ep", "dp", "moe_tp", "cp")
        }
        return cls(
            llm, engine, role, domain_size, **degrees, redundant=column(redundant), fragments=column(fragments),
            draft_tokens=draft_tokens, exchanged_tokens=column(exchanged_tokens),
        )  # fmt: skip

    @property
    def attentions(self) -> list[Attention]:
        """Kinds of attention."""
        return list(dict.fromkeys(layer.attention for layer, _ in self.llm.layer_kinds))

    @property
    def ffns(self) -> list[FFN]:
        """Kinds of FFN."""
        return list(dict.fromkeys(layer.ffn for layer, _ in self.llm.layer_kinds))


@dataclass(frozen=True)
class Rule:
    """One reason to refuse.

    Attributes
    ----------
    name: short name, counted when shapes are dropped.
    because: what it means, for a person.
    broken: rows that break it (R,).
    """

    name: str
    because: str
    broken: Callable[[Setting], Mask]


def broken_rules(setting: Setting) -> Iterator[tuple[Rule, Mask]]:
    """Every rule with the rows that break it."""
    for rule in RULES:
        yield rule, np.broadcast_to(rule.broken(setting), setting.tp.shape)


def refusals(setting: Setting) -> list[list[Rule]]:
    """The rules that each row breaks."""
    found: list[list[Rule]] = [[] for _ in setting.tp]
    for rule, mask in broken_rules(setting):
        for row in np.flatnonzero(mask):
            found[row].append(rule)
    return found


def _any(masks: Sequence[Mask], like: Counts) -> Mask:
    result = np.zeros(like.shape, bool)
    for mask in masks:
        result = result | mask
    return result


def _heads(s: Setting) -> Mask:
    return _any([a.heads % s.tp != 0 for a in s.attentions], s.tp)


def _kv_heads(s: Setting) -> Mask:
    """MLA keeps one latent for all heads, whole on every rank: nothing to divide."""
    masks = []
    for attention in s.attentions:
        if attention.kv_heads > 1:
            replicated = (s.tp % attention.kv_heads == 0) if s.engine.kv_heads_replicate else np.zeros_like(s.tp, bool)
            masks.append((attention.kv_heads % s.tp != 0) & ~replicated)
    return _any(masks, s.tp)


def _tp_in_domain(s: Setting) -> Mask:
    return s.tp > s.domain_size


def _dense_data_parallel(s: Setting) -> Mask:
    alone = (s.dp > 1) | (s.ep > 1) | (s.moe_tp > 1)
    return alone if not s.llm.experts else np.zeros_like(alone)


def _expert_ranks(s: Setting) -> Mask:
    return (s.ep * s.moe_tp != s.tp * s.dp) if s.llm.experts else np.zeros(s.tp.shape, bool)


def _expert_parallel(s: Setting) -> Mask:
    divides_stage = not s.llm.experts or s.engine.expert_parallel == "divides_stage"
    broken: Mask = (s.tp * s.dp) % s.ep != 0 if divides_stage else (s.ep != 1) & (s.ep != s.tp * s.dp)
    return broken


def _attention_data_parallel(s: Setting) -> Mask:
    if s.engine.attention_data_parallel == "any":
        return np.zeros(s.tp.shape, bool)
    return (s.dp > 1) & (s.tp > 1)


def _experts_divide(s: Setting) -> Mask:
    uneven = (s.llm.experts + s.redundant) % s.ep != 0
    needed = (
        (s.redundant > 0) | (s.fragments > 1)
        if s.engine.experts_divide == "with_redundancy"
        else np.ones(s.tp.shape, bool)
    )
    broken: Mask = uneven & needed & (s.ep > 1)
    return broken


def _more_ranks_than_experts(s: Setting) -> Mask:
    return (s.ep > s.llm.experts + s.redundant) & (s.ep > 1)


def _copies_distinct(s: Setting) -> Mask:
    """Spare copies beyond one per expert and rank would stand twice on a rank."""
    return (s.redundant > 0) & (s.redundant > s.llm.experts * (s.ep - 1))


def _expert_width(s: Setting) -> Mask:
    return _any([f.expert_width % s.moe_tp != 0 for f in s.ffns if f.experts], s.tp)


def _dense_width(s: Setting) -> Mask:
    masks = [f.width % s.tp != 0 for f in s.ffns if f.width] + [
        f.shared_width % s.tp != 0 for f in s.ffns if f.shared_width
    ]
    return _any(masks, s.tp)


def _alignment(dtype: Dtype) -> int:
    family = dtype.name.split("_")[0]
    return max(dtype.block, KERNEL_ALIGNMENT.get(family, 1)) if family != "mxfp4" else 1


def _blocks(s: Setting) -> Mask:
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


def _layers(s: Setting) -> Mask:
    return s.pp > len(s.llm.layers)


def _pipeline_role(s: Setting) -> Mask:
    return (s.pp > 1) & (s.role not in s.engine.pipeline_roles)


def _pipeline_speculation(s: Setting) -> Mask:
    drafts = np.full(s.pp.shape, s.draft_tokens > 0)
    refused: Mask = (s.pp > 1) & drafts & (not s.engine.pipeline_with_speculation)
    return refused


def _context_parallel(s: Setting) -> Mask:
    """Decode context parallelism splits, by position, the copies that tp ranks hold of one KV head."""
    if s.engine.context_parallel == "none":
        return s.cp > 1
    spare: Counts = np.min([s.tp // a.kv_heads for a in s.attentions], axis=0)
    refused: Mask = (s.cp > 1) & ((s.cp > spare) | (s.tp % s.cp != 0))
    return refused


def _context_with_experts(s: Setting) -> Mask:
    return (s.cp > 1) & (s.ep > 1) & (not s.engine.context_parallel_with_experts)


def _exchange_hidden(s: Setting) -> Mask:
    known = s.engine.exchange_hidden
    widths = {f.expert_hidden for f in s.ffns if f.experts}
    return (s.fragments > 1) & (s.dp > 1) & bool(known and not widths <= set(known))


def _exchange_top_k(s: Setting) -> Mask:
    return (s.fragments > 1) & (s.dp > 1) & (s.llm.top_k > s.engine.exchange_top_k)


def _exchange_tokens(s: Setting) -> Mask:
    return (s.fragments > 1) & (s.dp > 1) & (s.exchanged_tokens > s.engine.exchange_tokens)


RULES: tuple[Rule, ...] = (
    Rule("heads % tp", "the attention heads must divide evenly over the tensor-parallel ranks", _heads),
    Rule(
        "kv heads % tp",
        "tp must divide the KV heads, or be a multiple of them so that each is held more than once",
        _kv_heads,
    ),
    Rule("tp in domain", "a tensor-parallel group must lie inside one scale-up domain", _tp_in_domain),
    Rule(
        "dense dp",
        "an LLM without experts gains nothing from dp, ep or moe_tp: more replicas are the same",
        _dense_data_parallel,
    ),
    Rule(
        "ep x moe_tp", "expert ranks and attention ranks of a stage are the same: ep x moe_tp = tp x dp", _expert_ranks
    ),
    Rule(
        "expert parallel", "the engine takes no such expert-parallel degree (vLLM: none, or tp x dp)", _expert_parallel
    ),
    Rule(
        "attention dp",
        "the engine's attention data parallelism is all or nothing: dp > 1 needs tp = 1",
        _attention_data_parallel,
    ),
    Rule("experts % ep", "expert copies must divide evenly over the expert-parallel ranks", _experts_divide),
    Rule("ep > experts", "there are more expert-parallel ranks than expert copies", _more_ranks_than_experts),
    Rule("copies distinct", "spare copies of an expert must find ranks that do not hold it yet", _copies_distinct),
    Rule("expert width % moe_tp", "the experts' inner width must divide evenly over moe_tp", _expert_width),
    Rule("dense width % tp", "the FFN's inner width must divide evenly over tp", _dense_width),
    Rule("quantisation block", "a shard of a quantised matrix must be whole quantisation blocks", _blocks),
    Rule("pp > layers", "there are more pipeline stages than layers", _layers),
    Rule("pipeline role", "the engine has no pipeline stages in this role", _pipeline_role),
    Rule("pipeline and drafts", "the engine does not speculate across pipeline stages", _pipeline_speculation),
    Rule(
        "context parallel",
        "cp splits spare copies of KV heads: cp <= tp / kv heads, and it divides tp",
        _context_parallel,
    ),
    Rule("cp with ep", "the engine does not combine context and expert parallelism", _context_with_experts),
    Rule("exchange width", "the low-latency expert exchange was not compiled for this width", _exchange_hidden),
    Rule("exchange top-k", "the low-latency expert exchange takes fewer experts per token", _exchange_top_k),
    Rule(
        "exchange tokens", "more tokens per rank than the low-latency expert exchange takes in a step", _exchange_tokens
    ),
)
