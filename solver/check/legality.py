"""The engine would start every pool. The rules are stated here once more, on their own."""

from __future__ import annotations

from collections.abc import Iterator

from solver.check.evidence import Evidence
from solver.llm import FFN, LLM, Dtype
from solver.plan import Pool
from solver.replica import Parallelism


def engine_would_start(evidence: Evidence) -> Iterator[str]:
    """Degrees divide what they must, as the engine demands it."""
    llm = evidence.instance.llm
    for pool in evidence.plan.pools:
        shape = pool.parallelism.shape()
        faults = [
            *_attention(llm, shape),
            *_depth(llm, shape, pool),
            *_experts(llm, shape, pool),
            *_widths(llm, shape, pool),
            *_hosts(shape, pool),
        ]
        yield from (f"{pool.engine} would not start pool {pool.name} ({shape}): {fault}" for fault in faults)


def _hosts(shape: Parallelism, pool: Pool) -> Iterator[str]:
    """Ranks are numbered host by host, so groups are whole on hosts or take whole hosts."""
    each, rest = divmod(shape.devices, pool.hosts_per_replica)
    if rest:
        yield f"{shape.devices} devices do not divide over {pool.hosts_per_replica} hosts"
        return
    if each % shape.tp and shape.tp % each:
        yield f"a host holds {each} ranks: neither whole groups of tp = {shape.tp} nor a whole part of one"
    if pool.hosts_per_replica == 1:
        return
    if pool.engine == "vllm" and shape.dp > 1 and each % (shape.tp * shape.pp):
        yield f"a host holds {each} ranks, which are not whole data-parallel ranks of tp x pp = {shape.tp * shape.pp}"
    if pool.engine == "sglang" and shape.pp % pool.hosts_per_replica and pool.hosts_per_replica % shape.pp:
        yield f"{shape.pp} stages and {pool.hosts_per_replica} hosts do not divide each other"


def _attention(llm: LLM, shape: Parallelism) -> Iterator[str]:
    for layer, _ in llm.layer_kinds:
        attention = layer.attention
        if attention.heads % shape.tp:
            yield f"{attention.heads} heads do not divide over tp = {shape.tp}"
        heads = attention.kv_heads
        if heads > 1 and heads % shape.tp and shape.tp % heads:
            yield f"{heads} KV heads and tp = {shape.tp} do not divide each other"
        if shape.cp > 1 and (shape.cp > shape.tp // heads or shape.tp % shape.cp):
            yield f"cp = {shape.cp} has no spare copies of {heads} KV heads to split over tp = {shape.tp}"


def _depth(llm: LLM, shape: Parallelism, pool: Pool) -> Iterator[str]:
    if shape.pp > len(llm.layers):
        yield f"pp = {shape.pp} for {len(llm.layers)} layers"
    if shape.cp > 1 and pool.engine != "vllm":
        yield f"{pool.engine} has no decode context parallelism"
    if shape.pp > 1 and pool.draft_tokens and pool.engine == "sglang" and pool.role != "prefill":
        yield "it does not speculate across pipeline stages"


def _experts(llm: LLM, shape: Parallelism, pool: Pool) -> Iterator[str]:
    if not llm.experts:
        if (shape.dp, shape.ep, shape.moe_tp) != (1, 1, 1) or pool.redundant_experts:
            yield "an LLM without experts takes no dp, ep, moe_tp or redundant experts"
        return
    stage = shape.tp * shape.dp
    if shape.ep * shape.moe_tp != stage:
        yield f"ep x moe_tp = {shape.ep * shape.moe_tp} is not tp x dp = {stage}"
    if pool.engine == "vllm" and shape.ep not in (1, stage):
        yield f"ep = {shape.ep} is neither 1 nor tp x dp = {stage}"
    if pool.engine == "trtllm" and shape.dp > 1 and shape.tp > 1:
        yield "attention data parallelism is all or nothing"
    copies = llm.experts + pool.redundant_experts
    lenient = pool.engine == "vllm" and not pool.redundant_experts and (pool.domains_per_replica == 1 or shape.pp > 1)
    if shape.ep > 1 and copies % shape.ep and not lenient:
        yield f"{copies} expert copies do not divide over ep = {shape.ep}"
    if shape.ep > copies:
        yield f"ep = {shape.ep} exceeds {copies} expert copies"


def _widths(llm: LLM, shape: Parallelism, pool: Pool) -> Iterator[str]:
    for layer, _ in llm.layer_kinds:
        for what, width, ranks, dtype in _matrices(llm, layer.ffn, shape):
            if width % ranks:
                yield f"the {what} width {width} does not divide over {ranks} ranks"
            elif pool.engine != "ideal" and ranks > 1 and (width // ranks) % _whole(dtype):
                yield f"a {what} shard of {width // ranks} columns is not whole blocks of {_whole(dtype)} ({dtype})"


def _matrices(llm: LLM, ffn: FFN, shape: Parallelism) -> Iterator[tuple[str, int, int, Dtype]]:
    precision = llm.precision
    if ffn.width:
        yield "dense", ffn.width, shape.tp, precision.dense
    if ffn.shared_width:
        yield "shared-expert", ffn.shared_width, shape.tp, precision.shared
    if ffn.experts:
        yield "expert", ffn.expert_width, shape.moe_tp, precision.experts


def _whole(dtype: Dtype) -> int:
    """Columns that a shard must be a multiple of: 128 for block fp8 and int4 kernels, 32 for NVFP4; MXFP4 is padded."""
    if dtype.name.startswith("int4"):
        return max(128, dtype.block)
    return {"fp8_block": 128, "nvfp4": 32, "mxfp8": 32}.get(dtype.name, 1)
