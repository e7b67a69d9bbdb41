"""The space holds the layouts that people run, and refuses those that engines refused, for the same reason."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from solver.engines import engine_rules
from solver.llm import FFN, LLM, Layer, dtype, grouped_query
from solver.replica import Parallelism, Setup, engine_and_version
from solver.space.legality import Inquiry, most_sequences
from topologies import device

NAMES = {
    "deepseek-v3": {"fp8": "deepseek-v3", "nvfp4": "deepseek-v3.1-nvfp4"},
    "qwen3-235b-a22b": {"fp8": "qwen3-235b-a22b-fp8"},
}


def llm_of(name: str, precision: str) -> LLM:
    """The LLM of a measured row in the precision it was served in."""
    if precision in NAMES.get(name, {}):
        return LLM.from_config(NAMES[name][precision])
    checkpoint = LLM.from_config(name)
    return (
        checkpoint
        if precision in ("mxfp4", checkpoint.precision.experts.name.split("_")[0])
        else checkpoint.with_precision(precision)
    )


def refused(llm: LLM, engine: str, shape: Parallelism, device_name: str = "h200", **where: Any) -> set[str]:
    """Names of the rules that a setup breaks; those of rules that only make it slow are left out."""
    rules = engine_rules(*engine_and_version(engine))
    setup = Setup(where.pop("role", "unified"), rules.name, shape, **where)
    broken = Inquiry(llm, rules, device(device_name), [setup]).refusals()[0]
    return {rule.name for rule in broken if rule.consequence != "slow"}


def test_every_measured_run_is_in_the_space(shared_data: Path) -> None:
    rows = list(csv.DictReader((shared_data / "measured" / "serving.csv").read_text(encoding="utf-8").splitlines()))
    assert len(rows) == 1850
    for row in rows:
        llm = llm_of(row["llm"], row["precision"])
        tp, dp, ep, moe_tp = (int(row[key]) for key in ("tp", "dp", "ep", "moe_tp"))
        shape = Parallelism(tp=tp, dp=dp, ep=ep, moe_tp=moe_tp) if llm.experts else Parallelism(tp=tp)
        assert not refused(llm, row["engine"], shape, row["device"]), row


def test_every_disaggregated_run_is_in_the_space(shared_data: Path) -> None:
    points = [
        p for p in json.loads((shared_data / "measured" / "points.json").read_text(encoding="utf-8")) if p.get("disagg")
    ]
    assert len(points) == 128
    for point in points:
        llm = llm_of("gpt-oss-120b", "mxfp4") if "gpt-oss" in point["model"] else llm_of("deepseek-v3", "nvfp4")
        engine = "trtllm" if "trt" in point["engine"].lower() else "sglang"
        domain = 72 if "GB200" in point["hardware"] else 8
        for role in ("prefill", "decode"):
            shape = recorded_shape(point[role])
            domains = -(-shape.devices // domain)
            redundant = -llm.experts % shape.ep if shape.ep > 1 else 0
            hosts = max(domains, -(-shape.devices // 8))
            found = refused(
                llm, engine, shape, role=role, domains=domains, hosts=hosts, redundant_experts=redundant
            )
            assert not found, (point["id"], role, shape, found)


def recorded_shape(pool: dict[str, Any]) -> Parallelism:
    """Degrees of one worker: with attention data parallelism every device is an attention rank of its own.

    SGLang's runs record ep 1 though their recipes set it to the number of devices; either is a shape of the space.
    """
    devices = pool["gpus"] // pool["workers"]
    if pool["attn_dp"]:
        return Parallelism(dp=devices, ep=devices)
    ep = max(pool["ep"], 1)
    return Parallelism(tp=devices, ep=ep, moe_tp=devices // ep)


def test_deepseek_production_layouts_are_in_the_space() -> None:
    """EP32 prefill over 4 nodes with 32 redundant experts, EP144 decode over 18 (open-infra-index, day 6)."""
    llm = LLM.from_config("deepseek-v3")
    for role, ranks, redundant in (("prefill", 32, 32), ("decode", 144, 32)):
        shape = Parallelism(dp=ranks, ep=ranks)
        assert not refused(llm, "sglang", shape, role=role, domains=ranks // 8, redundant_experts=redundant)


def dense(heads: int, kv_heads: int | None = None, width: int = 11008, weights: str = "bf16", layers: int = 32) -> LLM:
    """A dense LLM with so many heads; the rest does not matter to the rules."""
    attention = grouped_query(hidden=heads * 128, heads=heads, kv_heads=kv_heads or heads, head_dim=128)
    layer = Layer(attention, FFN(heads * 128, width=width))
    return LLM("given", heads * 128, 32000, (layer,) * layers).with_precision(dtype(weights))


def routed(experts: int, width: int, weights: str, hidden: int = 4096, top_k: int = 8, heads: int = 64) -> LLM:
    """An LLM of one kind of layer with routed experts."""
    attention = grouped_query(hidden=hidden, heads=heads, kv_heads=8, head_dim=128)
    layer = Layer(attention, FFN(hidden, experts=experts, top_k=top_k, expert_width=width))
    return LLM("given", hidden, 150000, (layer,) * 40).with_precision(dtype(weights))


TP = Parallelism
#: Refusals that engines printed at start-up: (LLM, engine, shape, what else, the rule here). Facts from public issues.
REFUSED: dict[str, tuple[Any, str, Parallelism, dict[str, Any], str]] = {
    "r01": (lambda: dense(28, 4, 18944), "vllm", TP(tp=8), {}, "heads % tp"),
    "r02": (lambda: dense(52), "vllm", TP(tp=3), {}, "heads % tp"),
    "r03": (lambda: dense(52), "vllm", TP(tp=8), {}, "heads % tp"),
    "r04": (lambda: routed(64, 2560, "bf16", 3584, 8, 28), "vllm", TP(tp=8, ep=8), {}, "heads % tp"),
    "r05": (lambda: dense(40), "vllm", TP(tp=3), {}, "heads % tp"),
    "r06": (lambda: dense(40), "vllm", TP(tp=6), {}, "heads % tp"),
    "r07": (lambda: dense(71, 1), "vllm", TP(tp=2), {}, "heads % tp"),
    "r08": (lambda: dense(12, 2, 8960), "vllm", TP(tp=8), {}, "heads % tp"),
    "r09": (lambda: routed(256, 2048, "fp8"), "vllm", TP(tp=3, ep=3), {}, "heads % tp"),
    "r10": (lambda: routed(256, 2048, "fp8", heads=63), "sglang", TP(tp=3, ep=3), {}, "experts % ep"),
    "r12": ("minimax-m2.5", "vllm", TP(tp=8, moe_tp=8), {"device_name": "mi355x"}, "expert block on AMD"),
    "r13": (
        lambda: LLM.from_config("qwen3.5-397b-a17b").with_precision("fp8_block"),
        "sglang",
        TP(tp=16, ep=16),
        {},
        "shared-expert block",
    ),
    "r14": ("deepseek-r1", "sglang", TP(tp=32, ep=32), {}, "quantisation block"),
    "r15": (lambda: dense(32, 8, 9 * 128, "fp8_block"), "vllm", TP(tp=2), {}, "quantisation block"),
    "r16": (lambda: dense(32, 8, 9 * 128, "fp8_block"), "vllm", TP(tp=4), {}, "quantisation block"),
    "r17": ("deepseek-v3", "sglang", TP(tp=8, ep=3, moe_tp=2), {}, "ep x moe_tp"),
    "r18": (
        lambda: routed(128, 1536, "fp8_block"),
        "sglang",
        TP(tp=32, moe_tp=32),
        {},
        "expert block",
    ),
    "r19": (lambda: routed(128, 1536, "fp8_block"), "sglang", TP(tp=8, moe_tp=8), {}, "expert block"),
    "r20": (lambda: dense(64, 8, 29568, "int4_g128"), "vllm", TP(tp=2), {}, "quantisation block"),
    "r21": (lambda: dense(64, 8, 29568, "int4_g128"), "vllm", TP(tp=4), {}, "quantisation block"),
    "r22": (lambda: dense(64, 8, 29568, "int4_g128"), "vllm", TP(tp=2), {}, "quantisation block"),
    "r23": (lambda: routed(128, 704, "nvfp4"), "vllm", TP(tp=4, moe_tp=4), {}, "expert block"),
    "r27": ("deepseek-v3", "sglang", TP(tp=8, ep=8, pp=2), {"draft_tokens": 1, "role": "decode"}, "pipeline and drafts"),
    "r28": (lambda: dense(32, layers=4), "trtllm", TP(tp=1, pp=8), {}, "pp > layers"),
    "r34": (lambda: dense(48, 8), "vllm", TP(tp=4, cp=2), {}, "context parallel"),
    "r35": (
        lambda: routed(256, 2048, "fp8_block", 3584),
        "sglang",
        TP(dp=16, ep=16),
        {"domains": 2, "role": "decode"},
        "exchange width",
    ),
    "r38": (
        lambda: routed(896, 2048, "fp8_block", 3584, 16),
        "sglang",
        TP(dp=16, ep=16),
        {"domains": 2, "role": "decode"},
        "exchange top-k",
    ),
    "r42": ("deepseek-v3", "sglang", TP(dp=24, ep=24), {"domains": 3}, "experts % ep"),
    "r43": (
        lambda: routed(256, 2048, "fp8_block", 2880),
        "vllm",
        TP(dp=16, ep=16),
        {"domains": 2, "role": "decode"},
        "exchange width",
    ),
    "r45": ("deepseek-v3", "trtllm", TP(tp=8, ep=4, moe_tp=1), {}, "ep x moe_tp"),
    "r48": ("deepseek-v3.1-nvfp4", "trtllm", TP(tp=2, dp=4, ep=8), {}, "attention dp"),
    "r50": ("deepseek-v3", "trtllm", TP(dp=24, ep=24), {}, "experts % ep"),
}
#: Layouts that start: KV heads may be replicated, MLA keeps one latent, per-channel fp8 has no blocks, dp < tp is fine.
LEGAL: dict[str, tuple[Any, str, Parallelism]] = {
    # Blocks that a shard of an expert does not fill are refined (vLLM 0.33, fused_moe/oracle/fp8.py).
    "r11": ("qwen3-235b-a22b-fp8", "vllm", TP(tp=8, moe_tp=8)),
    "r26": ("step-3.7-flash", "vllm", TP(tp=4, ep=4, pp=2)),
    # Widths that DeepEP has compiled since (pull request 731).
    "r36": ("qwen3-30b-a3b", "sglang", TP(dp=16, ep=16)),
    "r37": ("qwen3-coder-480b-a35b", "sglang", TP(dp=16, ep=16)),
    # Context parallelism with experts is Helix since.
    "r47": (lambda: routed(128, 2048, "bf16"), "trtllm", TP(tp=16, ep=16, cp=2)),
    "r33": ("deepseek-v3", "sglang", TP(tp=2, dp=4, ep=8)),
    "r58": (lambda: dense(64, 4), "vllm", TP(tp=8)),
    "r59": ("qwen3-235b-a22b", "vllm", TP(tp=8, ep=8)),
    "r60": ("deepseek-r1", "vllm", TP(tp=8, ep=8)),
    "r61": (lambda: LLM.from_config("qwen3-235b-a22b").with_precision("fp8"), "vllm", TP(tp=8, ep=8)),
}
#: Refusals that do not apply here, and why.
ELSEWHERE = {
    **dict.fromkeys(("r39", "r40"), "test_the_low_latency_exchange_caps_the_batch_of_a_rank"),
    "r24": "the list of architectures with pipeline stages has grown since",
    "r25": "supported since",
    "r29": "attention data parallelism is always on here where dp > 1",
    "r30": "nodes are whole scale-up domains here, so tp x pp divides over them",
    "r31": "that flag is never set here",
    "r32": "SGLang has no context parallelism here: refused as such",
    "r41": "fixed since: fewer than 8 ranks or a multiple",
    "r44": "per-token scales are not a format of the loader",
    "r46": "world size follows from the degrees here",
    "r49": "that backend is never chosen here",
    "r51": "an FP8 repack of DeepSeek-V4-Pro that is not in the catalog",
    "r52": "Marlin pads MXFP4 experts on Hopper by 9 %, which the ledger does not count",
    "r53": "Marlin pads MXFP4 experts on Hopper by 9 %, which the ledger does not count",
    "r54": "memory: tests/references/test_memory.py",
    "r55": "memory: tests/references/test_memory.py",
    "r56": "memory: DeepSeek-V4-Flash is not in the catalog",
    "r57": "a commenter's words, not the engine's; the ledger finds 30 GB left for the cache",
}


def made(source: Any) -> LLM:
    """An LLM by catalog name, or made by a function."""
    return LLM.from_config(source) if isinstance(source, str) else source()


@pytest.mark.parametrize("number", sorted(REFUSED))
def test_what_engines_refused_is_refused_for_the_same_reason(number: str) -> None:
    source, engine, shape, where, rule = REFUSED[number]
    assert rule in refused(made(source), engine, shape, **where)


@pytest.mark.parametrize("number", sorted(LEGAL))
def test_what_engines_started_is_legal(number: str) -> None:
    source, engine, shape = LEGAL[number]
    domains = max(1, shape.devices // 8)
    assert not refused(made(source), engine, shape, role="decode", domains=domains, hosts=domains)


def test_sglang_speculates_across_stages_of_prefill_alone() -> None:
    """r27 is dated: EAGLE and MTP run with stages on the prefill side (validation_hook.py:136)."""
    llm = LLM.from_config("deepseek-v3")
    shape = Parallelism(tp=8, ep=8, pp=2)
    assert not refused(llm, "sglang", shape, role="prefill", draft_tokens=1, domains=2, hosts=2)


#: Layouts of public recipes that earlier versions of these rules refused.
PUBLIC: dict[str, tuple[str, str, str, Parallelism, dict[str, Any]]] = {
    "TP16 over two hosts of H100": ("deepseek-v3", "vllm", "h100", TP(tp=16, moe_tp=16), {"domains": 2, "hosts": 2}),
    "TP16 over two hosts of H20": ("deepseek-v3", "sglang", "h20-141gb", TP(tp=16, moe_tp=16), {"domains": 2, "hosts": 2}),
    "Llama-70B TP1 prefill": ("llama-3.3-70b-fp8", "vllm", "h100", TP(), {"role": "prefill"}),
    "Llama-70B TP4 decode": ("llama-3.3-70b-fp8", "vllm", "h100", TP(tp=4), {"role": "decode"}),
    "GLM-5 TP8 PP2": ("glm-5-fp8", "vllm", "h200", TP(tp=8, pp=2, moe_tp=8), {"domains": 2, "hosts": 2}),
    "GLM-5 TP8 EP8 PP2": ("glm-5-fp8", "vllm", "h200", TP(tp=8, pp=2, ep=8), {"domains": 2, "hosts": 2}),
    "decode EP48": (
        "deepseek-v3", "sglang", "h200", TP(dp=48, ep=48),
        {"role": "decode", "domains": 6, "hosts": 6, "redundant_experts": 32},
    ),
    "decode EP72": (
        "deepseek-v3", "sglang", "h200", TP(dp=72, ep=72),
        {"role": "decode", "domains": 9, "hosts": 9, "redundant_experts": 32},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_layouts_of_public_recipes_start(name: str) -> None:
    llm, engine, device_name, shape, where = PUBLIC[name]
    assert not refused(LLM.from_config(llm), engine, shape, device_name, **where)


def test_every_recorded_refusal_is_accounted_for(shared_data: Path) -> None:
    records = json.loads((shared_data / "engines" / "refused.json").read_text(encoding="utf-8"))
    assert {record["id"] for record in records} == REFUSED.keys() | LEGAL.keys() | ELSEWHERE.keys()
    assert not (REFUSED.keys() & LEGAL.keys())
    assert not (REFUSED.keys() & ELSEWHERE.keys())


@pytest.mark.parametrize(("domains", "draft_tokens", "most"), [(1, 0, 2048), (2, 0, 1024), (4, 3, 256)])
def test_the_low_latency_exchange_caps_the_batch_of_a_rank(domains: int, draft_tokens: int, most: int) -> None:
    """``x.size(0) <= num_max_dispatch_tokens_per_rank`` (DeepEP issue 165, srt-slurm issue 44: DP32 EP32, cap 1024)."""
    setup = Setup("decode", "sglang", Parallelism(dp=32, ep=32), domains, draft_tokens=draft_tokens)
    assert most_sequences(engine_rules("sglang"), setup) == most
