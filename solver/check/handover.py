"""Pools connect: what each engine's connectors demand of a prefill and a decode replica that meet, stated here on its own."""

from __future__ import annotations

from collections.abc import Iterator

from solver.check.evidence import Evidence
from solver.llm import LLM
from solver.plan import Pool

#: Connectors that each engine has.
CONNECTORS = {
    "vllm": ("NixlConnector", "MooncakeConnector", "NixlPushConnector"),
    "sglang": ("nixl", "mooncake"),
    "trtllm": ("NIXL", "UCX"),
    "ideal": ("any",),
}


def pools_connect(evidence: Evidence) -> Iterator[str]:
    """Every prefill replica of a promise can hand its KV cache to every decode replica over the connector that is named."""
    plan = evidence.plan
    for pool in plan.pools:
        if pool.role == "unified":
            if pool.connector is not None:
                yield f"pool {pool.name} is unified and hands nothing over, but names {pool.connector}"
        elif pool.connector not in CONNECTORS[pool.engine]:
            yield f"pool {pool.name} names {pool.connector}; {pool.engine} has {', '.join(CONNECTORS[pool.engine])}"
    for prefill in (pool for pool in plan.pools if pool.role == "prefill"):
        for decode in (pool for pool in plan.pools if pool.role == "decode" and pool.serves == prefill.serves):
            if prefill.connector != decode.connector:
                yield f"pools {prefill.name} and {decode.name} name {prefill.connector} and {decode.connector}"
            faults = _between(evidence.instance.llm, prefill, decode)
            yield from (f"pool {prefill.name} cannot hand over to pool {decode.name}: {fault}" for fault in faults)


def _between(llm: LLM, prefill: Pool, decode: Pool) -> Iterator[str]:
    """Every rule that a pair breaks."""
    attentions = [layer.attention for layer, _ in llm.layer_kinds if layer.attention.heads]
    latent = any(a.kind == "mla" for a in attentions)
    windows = any(a.kind in ("sliding", "chunked") for a in attentions)
    recurrent = any(a.state_bytes > 0 for a in attentions)
    heads = [a.kv_heads for a in attentions if a.kind not in ("linear", "none")]
    p, d, cache = prefill.parallelism, decode.parallelism, llm.precision.kv_cache.name
    ratio = p.tp % d.tp and d.tp % p.tp
    unequal = p.tp != d.tp
    if prefill.engine == "vllm":
        if ratio:
            yield f"tp {p.tp} and tp {d.tp} do not divide each other"
        if decode.connector == "NixlConnector" and max(p.pp, d.pp) > 1:
            yield f"{decode.connector} knows no pipeline stages (pp {p.pp} and {d.pp})"
        if decode.connector == "NixlPushConnector" and (d.pp > 1 or (p.pp > 1 and recurrent)):
            yield f"{decode.connector} takes no decode stages, and no state from stages (pp {p.pp} and {d.pp})"
        if decode.connector == "NixlConnector" and not latent and p.tp > max(d.tp, min(heads, default=1)):
            yield f"copies of KV heads (tp {p.tp} over {min(heads, default=1)}) do not go to a smaller tp {d.tp}"
        if unequal and cache == "nvfp4":
            yield f"an NVFP4 cache is not re-cut from tp {p.tp} to tp {d.tp}"
        if recurrent and (unequal or decode.connector == "MooncakeConnector"):
            yield f"state of recurrent layers is not handed over so (tp {p.tp} to tp {d.tp}, {decode.connector})"
        if bool(prefill.draft_tokens) != bool(decode.draft_tokens):
            yield "one side drafts and the other does not"
    elif prefill.engine == "sglang":
        if d.pp not in (1, p.pp):
            yield f"decode has pp {d.pp}; it must be 1 or prefill's {p.pp}"
        if not latent and ratio:
            yield f"tp {p.tp} and tp {d.tp} do not divide each other"
        if unequal and ((windows and not latent) or recurrent):
            yield f"sliding windows and states need equal tp, not {p.tp} and {d.tp}"
        if unequal and cache in ("mxfp8", "nvfp4"):
            yield f"a scaled {cache} cache is not re-cut from tp {p.tp} to tp {d.tp}"
    elif prefill.engine == "trtllm":
        if len(set(heads)) > 1:
            yield "its cache transceiver needs equally many KV heads in all layers"
        if unequal and any(a.indexer_flop_per_key > 0 for a in attentions):
            yield f"index keys are not re-cut from tp {p.tp} to tp {d.tp}"
