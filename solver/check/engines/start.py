"""Whether an engine would start a replica, and where its ranks may lie."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from solver.check.engines.asked import Asked, whole_columns
from solver.llm import LLM, Dtype
from solver.replica import Setup
from topologies import Device

#: Ranks among which DeepEP's normal kernels exchange, and widths that its low-latency kernels were compiled for.
NORMAL_RANKS = frozenset({2, 4, 8, 16, 32, 64, 144, 160})
LOW_LATENCY_WIDTHS = frozenset({2048, 2560, 3072, 4096, 5120, 6144, 7168, 8192})
#: Experts per token that they take at most.
LOW_LATENCY_TOP_K = 11
#: Rows to which embeddings are padded.
ROWS = 64
#: The smallest block that vLLM's fp8 expert kernels cut from a larger one, from the version on that can.
FINE_BLOCK, FINE_BLOCKS_SINCE = 32, (0, 33)


def refusals(llm: LLM, device: Device, setup: Setup) -> Iterator[str]:
    """Every reason for which the engine would not start a replica or would not run it right."""
    asked = Asked(llm, device, setup)
    yield from _attention(asked)
    yield from _degrees(asked)
    if setup.engine != "ideal":
        yield from _tensor_groups(asked)
        yield from _OWN[setup.engine](asked)


def _attention(asked: Asked) -> Iterator[str]:
    """All engines: heads are cut evenly, and so are copies of KV heads."""
    tp = asked.degrees.tp
    for layer in asked.layers:
        heads, kept = layer.attention.heads, max(layer.attention.kv_heads, 1)
        if heads % tp:
            yield f"{heads} heads do not divide over tp = {tp}"
        if kept % tp and tp % kept:
            yield f"{kept} KV heads and tp = {tp} do not divide each other"


def _degrees(asked: Asked) -> Iterator[str]:
    """All engines: stages have layers, expert ranks are the ranks of a stage, and each has experts."""
    llm, degrees, spare = asked.llm, asked.degrees, asked.setup.redundant_experts
    if degrees.pp > len(llm.layers):
        yield f"pp = {degrees.pp} for {len(llm.layers)} layers"
    if not llm.experts:
        if (degrees.dp, degrees.ep, degrees.moe_tp) != (1, 1, 1) or spare:
            yield "an LLM without experts takes no dp, ep, moe_tp or redundant experts"
        return
    if degrees.ep * degrees.moe_tp != asked.stage:
        yield f"ep x moe_tp = {degrees.ep * degrees.moe_tp} is not tp x dp = {asked.stage}"
    if degrees.ep > 1 and spare > llm.experts * (degrees.ep - 1):
        yield f"{spare} spare copies of {llm.experts} experts find no ranks without one among {degrees.ep}"
    for layer in asked.layers:
        if layer.ffn.experts and layer.ffn.expert_width % degrees.moe_tp:
            yield f"the expert width {layer.ffn.expert_width} does not divide over moe_tp = {degrees.moe_tp}"


def _tensor_groups(asked: Asked) -> Iterator[str]:
    """Ranks are numbered host by host, so tensor-parallel groups are whole on hosts or take whole hosts."""
    each, tp = asked.setup.devices_per_host, asked.degrees.tp
    if each % tp and tp % each:
        yield f"a host holds {each} ranks: neither whole groups of tp = {tp} nor a whole part of one"


def _vllm(asked: Asked) -> Iterator[str]:
    llm, setup, degrees = asked.llm, asked.setup, asked.degrees
    tp, ep, spare = degrees.tp, degrees.ep, setup.redundant_experts
    rows = -(-llm.vocab // ROWS) * ROWS
    if rows % tp:
        yield f"{rows} rows of the embedding do not divide over tp = {tp}"
    if llm.experts and ep not in (1, asked.stage):
        yield f"ep = {ep} is neither 1 nor tp x dp = {asked.stage}"
    if llm.experts and asked.copies < ep:
        yield f"ep = {ep} exceeds {asked.copies} expert copies"
    if ep == 1 and 0 < llm.experts < tp:
        yield f"tp = {tp} exceeds {llm.experts} routed experts"
    yield from _ffn_shards(asked, tp, tp, whole_shared=False)
    yield from _attention_blocks(asked)
    yield from _vllm_expert_blocks(asked)
    if spare and ep == 1:
        yield "redundant experts need expert parallelism"
    if spare and asked.copies % ep:
        yield f"{asked.copies} expert copies do not divide over ep = {ep}"
    deepep = asked.launch.exchange.startswith("deepep")
    if deepep and not spare and llm.experts % ep:
        yield f"DeepEP wants equally many of {llm.experts} experts on each of {ep} ranks"
    yield from _vllm_context(asked)
    if asked.launch.exchange == "deepep_low_latency":
        if asked.expert_hidden > max(LOW_LATENCY_WIDTHS) or asked.expert_hidden % 128:
            yield f"the low-latency exchange takes no vectors of {asked.expert_hidden}"
        if llm.top_k > LOW_LATENCY_TOP_K:
            yield f"the low-latency exchange takes {LOW_LATENCY_TOP_K} experts per token, not {llm.top_k}"
    if asked.launch.exchange == "deepep_high_throughput" and ep not in NORMAL_RANKS:
        yield f"DeepEP's normal kernels know no groups of {ep} ranks"
    if setup.overlap:
        if not deepep:
            yield "half-batches overlap only over a DeepEP exchange"
        if degrees.pp > 1 or degrees.cp > 1 or setup.draft_tokens or asked.mixed_cache:
            yield "half-batches do not overlap beside stages, context parallelism, drafts or a hybrid cache"
    if degrees.dp > 1 and setup.hosts > 1 and setup.devices_per_host % (tp * degrees.pp):
        yield f"a host holds {setup.devices_per_host} ranks: no whole data-parallel ranks of {tp * degrees.pp}"


def _vllm_context(asked: Asked) -> Iterator[str]:
    cp, tp = asked.degrees.cp, asked.degrees.tp
    if cp > 1 and tp % cp:
        yield f"cp = {cp} does not divide tp = {tp}"
    for attention in asked.attentions if cp > 1 and not asked.latent else ():
        heads = max(attention.kv_heads, 1)
        if cp > tp // heads:
            yield f"cp = {cp} has no spare copies of {heads} KV heads to split over tp = {tp}"
        if attention.heads // heads % cp:
            yield f"cp = {cp} does not divide the {attention.heads // heads} query heads of a KV head"


def _vllm_expert_blocks(asked: Asked) -> Iterator[str]:
    dtype, moe_tp = asked.llm.precision.experts, asked.degrees.moe_tp
    block, version = whole_columns(dtype), asked.setup.engine_version
    fine = dtype.name == "fp8_block" and (version is None or _number(version) >= FINE_BLOCKS_SINCE)
    for layer in asked.layers if moe_tp > 1 and block > 1 else ():
        width = layer.ffn.expert_width
        shard, rest = width // moe_tp, width % (moe_tp * block)
        if not layer.ffn.experts or not rest:
            continue
        if asked.device.vendor == "AMD" or not fine:
            yield f"an expert's shard of {shard} columns is not whole blocks of {block} ({dtype})"
            continue
        # Cut anew into blocks that divide block, shard and width; or padded to whole blocks, without expert parallelism.
        cut = any(not (block % n or shard % n or asked.expert_hidden % n) for n in range(FINE_BLOCK, block + 1))
        padded = asked.degrees.ep == 1 and not width % block
        if not cut and not padded:
            yield f"an expert's shard of {shard} columns leaves blocks under {FINE_BLOCK} ({dtype})"


def _sglang(asked: Asked) -> Iterator[str]:
    llm, setup, degrees, told = asked.llm, asked.setup, asked.degrees, asked.launch
    ep, stage = degrees.ep, asked.stage
    exchange = told.exchange != "none"
    if asked.latent and 0 < llm.experts < stage:
        yield f"a stage of {stage} ranks exceeds {llm.experts} routed experts"
    if ep > 1 and asked.copies % ep:
        yield f"{asked.copies} expert copies do not divide over ep = {ep}"
    if setup.redundant_experts and not exchange:
        yield "redundant experts need an all-to-all exchange over the whole stage"
    if setup.exchange_domains > 1 and degrees.dp > 1 and not exchange:
        yield f"experts in {setup.exchange_domains} domains need an all-to-all exchange over the whole stage"
    yield from _expert_blocks(asked)
    # DeepSeek's shared expert runs as one more routed expert where nothing else is asked for.
    fused = asked.latent and ep == 1 and not setup.overlap
    yield from _ffn_shards(
        asked, 1 if told.whole_dense else stage, 1 if told.whole_shared else stage, whole_shared=fused
    )
    yield from _attention_blocks(asked)
    yield from _sglang_context(asked)
    if degrees.pp > 1 and setup.draft_tokens and setup.role != "prefill":
        yield "it does not speculate across pipeline stages"
    if setup.overlap and not exchange and degrees.dp == 1:
        yield "half-batches overlap only over an all-to-all exchange or attention data parallelism"
    if told.exchange_mode == "low_latency":
        if asked.expert_hidden not in LOW_LATENCY_WIDTHS:
            yield f"the low-latency exchange was not compiled for vectors of {asked.expert_hidden}"
        if llm.top_k > LOW_LATENCY_TOP_K:
            yield f"the low-latency exchange takes {LOW_LATENCY_TOP_K} experts per token, not {llm.top_k}"
    if told.exchange_mode == "normal" and ep not in NORMAL_RANKS:
        yield f"DeepEP's normal kernels know no groups of {ep} ranks"
    if setup.hosts > 1 and degrees.pp % setup.hosts and setup.hosts % degrees.pp:
        yield f"{degrees.pp} stages and {setup.hosts} hosts do not divide each other"


def _sglang_context(asked: Asked) -> Iterator[str]:
    cp, tp = asked.degrees.cp, asked.degrees.tp
    if cp == 1:
        return
    if tp % cp:
        yield f"cp = {cp} does not divide tp = {tp}"
    if asked.degrees.dp > 1 or asked.setup.role == "prefill":
        yield "decode context parallelism goes with neither attention data parallelism nor prefill"
    for attention in () if asked.latent else asked.attentions:
        heads = max(attention.kv_heads, 1)
        if cp > tp // heads:
            yield f"cp = {cp} has no spare copies of {heads} KV heads to split over tp = {tp}"


def _trtllm(asked: Asked) -> Iterator[str]:
    setup, degrees = asked.setup, asked.degrees
    tp, dp, ep, cp = degrees.tp, degrees.dp, degrees.ep, degrees.cp
    if dp > 1 and tp > 1:
        yield "attention data parallelism is all or nothing"
    if ep > 1 and asked.copies % ep:
        yield f"{asked.copies} expert copies do not divide over ep = {ep}"
    if setup.redundant_experts and asked.launch.expert_kernels != "WIDEEP":
        yield "redundant experts need wide expert parallelism: more than 8 expert ranks of GB200 or GB300"
    yield from _expert_blocks(asked)
    yield from _ffn_shards(asked, tp, tp, whole_shared=False)
    if cp > 1 and tp % cp:
        yield f"cp = {cp} does not divide tp = {tp}"
    if cp > 1 and (setup.role != "decode" or setup.draft_tokens):
        yield "Helix is for decode replicas without drafts"
    if degrees.pp > 1 and setup.draft_tokens:
        yield "it does not speculate across pipeline stages"


_OWN: dict[str, Callable[[Asked], Iterator[str]]] = {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm}


def _ffn_shards(asked: Asked, dense: int, shared: int, whole_shared: bool) -> Iterator[str]:
    """Dense FFNs and shared experts over so many ranks each; ``whole_shared``: blocks of the shared expert are not cut."""
    precision = asked.llm.precision
    for layer in asked.layers:
        yield from _shard("dense", layer.ffn.width, dense, precision.dense)
        yield from _shard("shared-expert", layer.ffn.shared_width, shared, precision.shared, uncut=whole_shared)


def _shard(what: str, width: int, ranks: int, dtype: Dtype, uncut: bool = False) -> Iterator[str]:
    if width % ranks:
        yield f"the {what} width {width} does not divide over {ranks} ranks"
    elif ranks > 1 and not uncut and width // ranks % whole_columns(dtype):
        yield f"a {what} shard of {width // ranks} columns is not whole blocks of {whole_columns(dtype)} ({dtype})"


def _attention_blocks(asked: Asked) -> Iterator[str]:
    dtype = asked.llm.precision.attention
    block = whole_columns(dtype)
    if asked.degrees.tp == 1:
        return
    for what, columns in asked.attention_shards():
        if columns % block:
            yield f"a shard of {columns} {what} columns is not whole blocks of {block} ({dtype})"


def _expert_blocks(asked: Asked) -> Iterator[str]:
    dtype, moe_tp = asked.llm.precision.experts, asked.degrees.moe_tp
    block = whole_columns(dtype)
    for layer in asked.layers if moe_tp > 1 and block > 1 else ():
        if layer.ffn.experts and layer.ffn.expert_width % (moe_tp * block):
            yield f"an expert's shard of {layer.ffn.expert_width // moe_tp} columns is not whole blocks of {block} ({dtype})"


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
