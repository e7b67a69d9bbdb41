"""Engines' rules as data: each can be asked, says what it means and where it is known from, and refuses what it should."""

from __future__ import annotations

import pytest

import topologies
from solver.engines import EngineRule, EngineRules, engine_names, engine_rules, engine_versions
from solver.llm import FFN, LLM, Layer, grouped_query
from solver.replica import Parallelism, Setup
from solver.space.legality import Inquiry, connects


def made(name: str, heads: int, ffn: FFN) -> LLM:
    """An LLM of 32 equal layers with 8 KV heads."""
    attention = grouped_query(hidden=4096, heads=heads, kv_heads=8, head_dim=4096 // heads)
    return LLM(name, 4096, 32000, (Layer(attention, ffn),) * 32)


DENSE = made("dense", 32, FFN(4096, width=14336))
ROUTED = made("routed", 64, FFN(4096, experts=96, top_k=8, expert_width=1536))
#: Engine, rule, LLM, a shape that breaks it and one that does not.
CASES = [
    ("vllm", "heads % tp", DENSE, Parallelism(tp=3), Parallelism(tp=4)),
    ("vllm", "kv heads % tp", DENSE, Parallelism(tp=12), Parallelism(tp=16)),
    ("vllm", "dense dp", DENSE, Parallelism(dp=2), Parallelism(pp=2)),
    ("vllm", "ep x moe_tp", ROUTED, Parallelism(tp=4, ep=2), Parallelism(tp=4, ep=4)),
    ("sglang", "experts % ep", ROUTED, Parallelism(dp=64, ep=64), Parallelism(dp=32, ep=32)),
    ("trtllm", "pp > layers", DENSE, Parallelism(pp=33), Parallelism(pp=32)),
    ("trtllm", "attention dp", ROUTED, Parallelism(tp=2, dp=4, ep=8), Parallelism(dp=8, ep=8)),
]


def broken(engine: str, llm: LLM, shape: Parallelism) -> list[str]:
    """Names of the rules that a replica of one domain breaks."""
    setup = Setup("decode", engine, shape)  # type: ignore[arg-type]
    ((*refusals,),) = Inquiry(llm, engine_rules(engine), topologies.device("h200"), [setup]).refusals()
    return [rule.name for rule in refusals]


@pytest.mark.parametrize(("engine", "rule", "llm", "refused", "started"), CASES, ids=[f"{c[0]} {c[1]}" for c in CASES])
def test_a_rule_refuses_what_it_should(
    engine: str, rule: str, llm: LLM, refused: Parallelism, started: Parallelism
) -> None:
    assert rule in broken(engine, llm, refused)
    assert rule not in broken(engine, llm, started)


def every_version() -> list[EngineRules]:
    return [engine_rules(name, version) for name in engine_names() for version in engine_versions(name)]


@pytest.mark.parametrize("rules", every_version(), ids=lambda rules: f"{rules.name} {rules.version}")
def test_every_rule_says_what_and_whence_and_can_be_asked(rules: EngineRules) -> None:
    """A condition that asks for a fact that nobody gives would raise."""
    setups = [Setup(role, rules.name, Parallelism(tp=4, ep=4)) for role in ("prefill", "decode")]
    inquiries = [Inquiry(ROUTED, rules, topologies.device("h200"), [setup]) for setup in setups]
    asked: list[EngineRule] = [rule for rule, _ in inquiries[0].broken_rules()]
    for connector in rules.connectors:
        assert connects(connector, *inquiries).shape == (1, 1)
        asked += [*connector.sides, *connector.pairs]
    for rule in asked:
        assert rule.because
        assert rule.source
        assert rule.consequence
    names = [rule.name for rule in rules.rules]
    assert len(set(names)) == len(names)
