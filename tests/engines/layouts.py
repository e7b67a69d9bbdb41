"""Concrete layouts at the edge of every rule of the engines: one that breaks it and nothing else, one beside it that starts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from solver.llm import FFN, LLM, Attention, Layer, Precision, compressed, dtype, grouped_query, kv_dtype, latent, mamba2
from solver.replica import Engine, Parallelism, Role, Setup

HIDDEN = 4096


def gqa(heads: int = 32, kv_heads: int = 8, head_dim: int = 128, **more: Any) -> Attention:
    """Grouped-query attention."""
    return grouped_query(hidden=HIDDEN, heads=heads, kv_heads=kv_heads, head_dim=head_dim, **more)


def mla(heads: int = 128, **more: Any) -> Attention:
    """Latent attention as DeepSeek-V3 has it."""
    return latent(
        hidden=HIDDEN, heads=heads, q_rank=1536, kv_rank=512, nope_dim=128, rope_dim=64, value_dim=128, **more
    )


def llm(
    attention: Attention | None = None, ffn: FFN | None = None, second: Attention | None = None, vocab: int = 32768,
    layers: int = 8, formats: dict[str, str] | None = None,
) -> LLM:  # fmt: skip
    """An LLM of equal layers, every other one with another attention where ``second`` is given."""
    one = Layer(attention or gqa(), ffn or FFN(HIDDEN, width=16384))
    other = replace(one, attention=second or one.attention)
    kinds = {part: kv_dtype(word) if part == "kv_cache" else dtype(word) for part, word in (formats or {}).items()}
    return LLM("made", HIDDEN, vocab, (one, other) * (layers // 2), precision=Precision(**kinds))


def moe(**more: Any) -> FFN:
    """64 routed experts, 8 of them for a token."""
    return FFN(**({"hidden": HIDDEN, "experts": 64, "top_k": 8, "expert_width": 2048} | more))


DENSE, ROUTED, LATENT = llm(), llm(ffn=moe()), llm(mla(), moe(experts=256, shared_width=2048))
#: Recurrent and attention layers in turn; windows and full attention in turn.
RECURRENT = llm(mamba2(hidden=HIDDEN, heads=128, head_dim=64, state=128, groups=8), second=gqa())
SLIDING = llm(gqa(window=4096), second=gqa())
TALL = llm(gqa(48, 12), FFN(HIDDEN, width=12288), vocab=49152)
#: Rows that stand for several tokens (DeepSeek-V4); index keys beside latent rows, or beside KV heads.
ROWS = compressed(hidden=HIDDEN, heads=64, head_dim=512, rope_dim=64, q_rank=1024, output_groups=8, output_rank=1024,
                  window=128, compression=4)  # fmt: skip
INDEX = {"index_heads": 64, "index_dim": 128, "budget": 2048}


@dataclass(frozen=True)
class Edge:
    """A rule, what breaks it and what does not.

    Attributes
    ----------
    refused, started: what two replicas differ in, as fields of :class:`~solver.replica.Setup` and degrees.
    """

    engine: Engine
    rule: str
    llm: LLM
    refused: dict[str, Any]
    started: dict[str, Any]
    device: str = "h200"
    started_llm: LLM | None = None


@dataclass(frozen=True)
class Meeting:
    """A rule of a connector, and two pairs of a prefill and a decode replica."""

    engine: Engine
    connector: str
    rule: str
    llm: LLM
    refused: tuple[dict[str, Any], dict[str, Any]]
    joined: tuple[dict[str, Any], dict[str, Any]]
    joined_llm: LLM | None = None


def setup(engine: Engine, role: Role = "decode", **fields: Any) -> Setup:
    """A replica from degrees and other fields together."""
    degrees = {name: fields.pop(name) for name in ("tp", "pp", "ep", "dp", "moe_tp", "cp") if name in fields}
    return Setup(role, engine, Parallelism(**degrees), **fields)


def spread(dp: int, tp: int = 1, **more: Any) -> dict[str, Any]:
    """Experts over all ranks of a stage."""
    return {"tp": tp, "dp": dp, "ep": tp * dp} | more


def sliced(tp: int, dp: int = 1, **more: Any) -> dict[str, Any]:
    """Experts cut over all ranks of a stage."""
    return {"tp": tp, "dp": dp, "moe_tp": tp * dp} | more


def _everywhere(engine: Engine) -> list[Edge]:
    """Rules that all engines have."""
    tall = llm(gqa(48, 16), FFN(HIDDEN, width=12288), vocab=49152)
    few = llm(ffn=moe(experts=16, top_k=4))
    apart = spread(3, 4) if engine == "sglang" else {"tp": 4, "pp": 3, "ep": 4}
    rack = spread(16) if engine == "trtllm" else spread(8)
    return [
        Edge(engine, "heads % tp", llm(gqa(36, 4)), {"tp": 8}, {"tp": 4}),
        Edge(engine, "kv heads % tp", tall, {"tp": 24}, {"tp": 16}),
        Edge(engine, "kv heads % tp", tall, {"tp": 3}, {"tp": 48}),
        Edge(engine, "dense dp", DENSE, {"dp": 2}, {"pp": 2}),
        Edge(engine, "dense dp", DENSE, {"moe_tp": 2}, {"tp": 2}),
        Edge(engine, "dense dp", DENSE, {"ep": 2}, {"tp": 2}),
        Edge(engine, "ep x moe_tp", ROUTED, {"tp": 4, "moe_tp": 2}, sliced(4)),
        Edge(engine, "pp > layers", DENSE, {"pp": 9}, {"pp": 8}),
        Edge(engine, "expert width % moe_tp", llm(ffn=moe(expert_width=2052)), sliced(8), sliced(4)),
        Edge(engine, "whole tensor groups", llm(ffn=moe(experts=96)), apart | {"hosts": 2}, apart | {"hosts": 3}),
        Edge(engine, "copies distinct", few, rack | {"redundant_experts": 256}, rack | {"redundant_experts": 16}, "gb200"),
        Edge(engine, "dense width % tp", llm(ffn=FFN(HIDDEN, width=2052)), {"tp": 8}, {"tp": 4}),
        Edge(engine, "dense width % tp", llm(ffn=moe(shared_width=2052)), {"tp": 8, "moe_tp": 8}, {"tp": 4, "moe_tp": 4}),
        Edge(engine, "quantisation block", llm(ffn=FFN(HIDDEN, width=2560), formats={"dense": "fp8_block"}), {"tp": 8},
             {"tp": 4}),
    ]  # fmt: skip


def _attention_blocks(engine: Engine) -> list[Edge]:
    """An int4 projection is cut into whole blocks of 128 columns."""
    four = {"attention": "int4"}
    return [
        Edge(engine, "attention block", llm(gqa(40, 4, 64), formats=four), {"tp": 8}, {"tp": 2}),
        Edge(engine, "attention block", llm(gqa(64, 8, 64), formats=four), {"tp": 8}, {"tp": 4}),
    ]


def _whole_expert_blocks(engine: Engine, word: str) -> Edge:
    routed = llm(ffn=moe(expert_width=1536), formats={"experts": word})
    return Edge(engine, "expert block", routed, sliced(8), sliced(4))


def _deepep(engine: Engine) -> list[Edge]:
    """DeepEP's low-latency kernels serve decode, its normal ones prefill, over several domains."""
    over: dict[str, Any] = {"domains": 2, "hosts": 2}
    greedy, odd = llm(ffn=moe(top_k=12)), llm(ffn=moe(hidden=HIDDEN, latent=4160))
    return [
        Edge(engine, "exchange top-k", greedy, spread(16, **over), spread(16, **over, role="prefill")),
        Edge(engine, "exchange width", odd, spread(16, **over), spread(16, **over, role="prefill")),
        Edge(
            engine, "exchange ranks", llm(ffn=moe(experts=96)), spread(48, **over, role="prefill"), spread(48, **over)
        ),
    ]


VLLM = [
    Edge("vllm", "ep > experts", llm(ffn=moe(experts=4, top_k=2)), spread(8), spread(4)),
    Edge("vllm", "vocabulary % tp", llm(gqa(12, 6), FFN(HIDDEN, width=12288)), {"tp": 3}, {"tp": 2}),
    Edge("vllm", "expert parallel", ROUTED, {"tp": 8, "ep": 4, "moe_tp": 2}, {"tp": 8, "ep": 8}),
    Edge("vllm", "tp > experts", llm(ffn=moe(experts=4, top_k=2)), sliced(8), sliced(4)),
    Edge("vllm", "quantisation block", llm(ffn=moe(shared_width=2560), formats={"shared": "fp8_block"}), sliced(8),
         sliced(4)),
    _whole_expert_blocks("vllm", "int4"),
    Edge("vllm", "expert block on AMD", llm(ffn=moe(expert_width=1536), formats={"experts": "fp8_block"}), sliced(8),
         sliced(4), "mi300x"),
    # Qwen3-235B-A22B-FP8 over eight ranks: 0.33 cuts its blocks of 128 into blocks of 64.
    Edge("vllm", "expert fp8 block", llm(ffn=moe(expert_width=1536), formats={"experts": "fp8_block"}),
         sliced(8, engine_version="0.32"), sliced(8, engine_version="0.33")),
    Edge("vllm", "expert fp8 block", llm(ffn=moe(expert_width=1008), formats={"experts": "fp8_block"}), sliced(2),
         sliced(1)),
    Edge("vllm", "experts % ep", ROUTED, spread(8, redundant_experts=4), spread(8, redundant_experts=8)),
    Edge("vllm", "experts % ep across domains", llm(ffn=moe(experts=60)), spread(16, domains=2, hosts=2), spread(16)),
    Edge("vllm", "spare copies without ep", ROUTED, sliced(8, redundant_experts=8), spread(8, redundant_experts=8)),
    Edge("vllm", "context parallel", llm(gqa(12, 2), FFN(HIDDEN, width=12288), vocab=49152), {"tp": 12, "cp": 4},
         {"tp": 12, "cp": 2}),
    Edge("vllm", "context parallel", LATENT, {"tp": 8, "moe_tp": 8, "cp": 3}, {"tp": 8, "moe_tp": 8, "cp": 8}),
    Edge("vllm", "context parallel", DENSE, {"tp": 16, "cp": 4}, {"tp": 16, "cp": 2}),
    Edge("vllm", "overlap", ROUTED, {"tp": 8, "ep": 8, "overlap": True}, spread(8, overlap=True)),
    Edge("vllm", "overlap", ROUTED, spread(8, pp=2, overlap=True), spread(8, pp=2)),
    Edge("vllm", "overlap", LATENT, spread(2, 8, cp=8, overlap=True), spread(2, 8, overlap=True)),
    Edge("vllm", "overlap", ROUTED, spread(8, draft_tokens=1, overlap=True), spread(8, draft_tokens=1)),
    Edge("vllm", "overlap", llm(gqa(window=4096), moe(), second=gqa()), spread(8, overlap=True), spread(8)),
    Edge("vllm", "exchange width", llm(ffn=moe(latent=8320)), spread(16, domains=2, hosts=2), spread(16)),
    Edge("vllm", "data-parallel groups on hosts", ROUTED, spread(4, pp=2, hosts=8), spread(4, pp=2, hosts=4)),
    *_attention_blocks("vllm"),
    *_deepep("vllm"),
]  # fmt: skip
SGLANG = [
    Edge("sglang", "stage > experts", llm(mla(), moe()), sliced(128), sliced(64)),
    Edge("sglang", "experts % ep", llm(ffn=moe(experts=60)), spread(8), spread(4)),
    Edge("sglang", "spare copies without exchange", ROUTED, {"tp": 8, "ep": 4, "moe_tp": 2, "redundant_experts": 4},
         spread(8, redundant_experts=8)),
    _whole_expert_blocks("sglang", "fp8_block"),
    Edge("sglang", "shared-expert block", llm(mla(), moe(shared_width=2560), formats={"shared": "fp8_block"}),
         {"tp": 8, "ep": 8}, sliced(8)),
    Edge("sglang", "context parallel", LATENT, sliced(8, cp=3), sliced(8, cp=8)),
    Edge("sglang", "context parallel", LATENT, sliced(8, 2, cp=2), sliced(8, cp=2)),
    Edge("sglang", "context parallel", LATENT, sliced(8, cp=2, role="prefill"), sliced(8, cp=2)),
    Edge("sglang", "context parallel", DENSE, {"tp": 16, "cp": 4}, {"tp": 16, "cp": 2}),
    Edge("sglang", "pipeline and drafts", DENSE, {"pp": 2, "draft_tokens": 2}, {"pp": 2, "draft_tokens": 2, "role": "prefill"}),
    Edge("sglang", "overlap", ROUTED, sliced(8, overlap=True), sliced(4, 2, overlap=True)),
    Edge("sglang", "exchange across domains", ROUTED, sliced(8, 2, domains=2, hosts=2), sliced(8, 2)),
    Edge("sglang", "stages on hosts", ROUTED, spread(2, pp=6, hosts=4), spread(2, pp=6, hosts=3)),
    *_attention_blocks("sglang"),
    *_deepep("sglang"),
]  # fmt: skip
TRTLLM = [
    Edge("trtllm", "attention dp", ROUTED, spread(4, 2), spread(8)),
    Edge("trtllm", "experts % ep", llm(ffn=moe(experts=60)), spread(8), spread(4)),
    Edge("trtllm", "spare copies without wide ep", ROUTED, spread(16, redundant_experts=16),
         spread(16), "h200"),
    _whole_expert_blocks("trtllm", "fp8_block"),
    Edge("trtllm", "quantisation block", llm(ffn=moe(shared_width=2560), formats={"shared": "fp8_block"}), sliced(8),
         sliced(4)),
    Edge("trtllm", "context parallel", LATENT, sliced(8, cp=3), sliced(8, cp=2)),
    Edge("trtllm", "context parallel", LATENT, sliced(8, cp=2, role="prefill"), sliced(8, cp=2)),
    Edge("trtllm", "context parallel", LATENT, sliced(8, cp=2, draft_tokens=2), sliced(8, draft_tokens=2)),
    Edge("trtllm", "pipeline and drafts", DENSE, {"pp": 2, "draft_tokens": 2}, {"pp": 2}),
]  # fmt: skip
EDGES: list[Edge] = [edge for engine in ("vllm", "sglang", "trtllm") for edge in _everywhere(engine)]  # type: ignore[arg-type]
EDGES += VLLM + SGLANG + TRTLLM


def _nixl(connector: str) -> list[Meeting]:
    """Rules that NIXL has however caches go."""
    four = llm(formats={"kv_cache": "nvfp4"})
    apart = ({"tp": 2}, {"tp": 4})
    return [
        Meeting("vllm", connector, "context parallel at the hand-over", llm(gqa(32, 1)), ({"tp": 8}, {"tp": 8, "cp": 8}),
                ({"tp": 8}, {"tp": 8})),
        Meeting("vllm", connector, "context parallel at the hand-over", LATENT, (sliced(8), sliced(8, cp=4)),
                (sliced(8), sliced(8, cp=8))),
        Meeting("vllm", connector, "tp at the hand-over", TALL, ({"tp": 2}, {"tp": 3}), ({"tp": 2}, {"tp": 4})),
        Meeting("vllm", connector, "nvfp4 cache at the hand-over", four, apart, ({"tp": 4}, {"tp": 4})),
        Meeting("vllm", connector, "state at the hand-over", RECURRENT, apart, ({"tp": 4}, {"tp": 4})),
        Meeting("vllm", connector, "drafts at the hand-over", DENSE, ({}, {"draft_tokens": 1}),
                ({"draft_tokens": 1}, {"draft_tokens": 3})),
    ]  # fmt: skip


PULLED = [
    *_nixl("NixlConnector"),
    Meeting("vllm", "NixlConnector", "stages at the hand-over", DENSE, ({"pp": 2}, {}), ({}, {})),
    Meeting("vllm", "NixlConnector", "stages at the hand-over", DENSE, ({}, {"pp": 2}), ({}, {})),
    Meeting("vllm", "NixlConnector", "copied KV heads at the hand-over", DENSE, ({"tp": 16}, {"tp": 8}),
            ({"tp": 8}, {"tp": 4})),
]  # fmt: skip
PUSHED = [
    *_nixl("NixlPushConnector"),
    Meeting("vllm", "NixlPushConnector", "stages at the hand-over", DENSE, ({}, {"pp": 2}), ({"pp": 2}, {})),
    Meeting("vllm", "NixlPushConnector", "stages at the hand-over", RECURRENT, ({"pp": 2}, {}), ({}, {})),
    Meeting("vllm", "NixlPushConnector", "packed cache at the hand-over", llm(ROWS), ({}, {}), ({}, {}), DENSE),
    Meeting("vllm", "NixlPushConnector", "hybrid cache at the hand-over", SLIDING, ({"tp": 2, "pp": 2}, {"tp": 4}),
            ({"tp": 4, "pp": 2}, {"tp": 2})),
]  # fmt: skip
MOONCAKE = [
    Meeting("vllm", "MooncakeConnector", "packed cache at the hand-over", llm(ROWS), ({}, {}), ({}, {}), DENSE),
    Meeting("vllm", "MooncakeConnector", "packed cache at the hand-over", RECURRENT, ({}, {}), ({}, {}), DENSE),
    Meeting("vllm", "MooncakeConnector", "context parallel at the hand-over", LATENT, (sliced(8), sliced(8, cp=8)),
            (sliced(8), sliced(8))),
    Meeting("vllm", "MooncakeConnector", "tp at the hand-over", TALL, ({"tp": 2}, {"tp": 3}), ({"tp": 2}, {"tp": 4})),
    Meeting("vllm", "MooncakeConnector", "nvfp4 cache at the hand-over", llm(formats={"kv_cache": "nvfp4"}),
            ({"tp": 2}, {"tp": 4}), ({"tp": 4}, {"tp": 4})),
    Meeting("vllm", "MooncakeConnector", "drafts at the hand-over", DENSE, ({"draft_tokens": 1}, {}), ({}, {})),
]  # fmt: skip


def _sglang(connector: str) -> list[Meeting]:
    even, odd = ({"tp": 4}, {"tp": 4}), ({"tp": 2}, {"tp": 4})
    cases: list[tuple[str, LLM, Any, Any]] = [
        ("stages at the hand-over", DENSE, ({"pp": 2}, {"pp": 4}), ({"pp": 2}, {"pp": 2})),
        ("context parallel at the hand-over", DENSE, ({"tp": 16}, {"tp": 16, "cp": 2}), ({"tp": 16}, {"tp": 16})),
        ("tp at the hand-over", TALL, ({"tp": 2}, {"tp": 3}), ({"tp": 2}, {"tp": 4})),
        ("window at the hand-over", SLIDING, odd, even),
        ("scaled cache at the hand-over", llm(formats={"kv_cache": "nvfp4"}), odd, even),
        ("scaled cache at the hand-over", llm(ROWS), odd, even),
        ("sparse attention at the hand-over", llm(gqa(**INDEX)), odd, even),
        ("sparse attention at the hand-over", llm(gqa(**INDEX)), ({"pp": 2}, {}), ({}, {})),
        ("state at the hand-over", RECURRENT, odd, even),
    ]
    return [Meeting("sglang", connector, *case) for case in cases]


def _trtllm(connector: str) -> list[Meeting]:
    equal = ({"tp": 4}, {"tp": 4})
    return [
        Meeting("trtllm", connector, "context parallel at the hand-over", LATENT, (sliced(8), sliced(8, cp=2)),
                (sliced(8), sliced(8))),
        Meeting("trtllm", connector, "unequal KV heads at the hand-over", llm(gqa(), second=gqa(32, 4)), equal, equal,
                DENSE),
        Meeting("trtllm", connector, "index keys at the hand-over", llm(mla(**INDEX), moe()), (sliced(2), sliced(4)),
                (sliced(4), sliced(4))),
    ]  # fmt: skip


MEETINGS = [*PULLED, *PUSHED, *MOONCAKE]
MEETINGS += [meeting for connector in ("nixl", "mooncake") for meeting in _sglang(connector)]
MEETINGS += [meeting for connector in ("NIXL", "UCX") for meeting in _trtllm(connector)]
