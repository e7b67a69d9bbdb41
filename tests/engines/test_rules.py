"""Engines' rules as data, and the witness's own statement of them: each refuses what it should, and none is spare."""

from __future__ import annotations

import ast
import inspect
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import ModuleType
from typing import Any

import pytest
from layouts import EDGES, MEETINGS, ROUTED, Edge, Meeting, setup

import topologies
from solver.check.engines import handover, start
from solver.engines import Connector, EngineRule, EngineRules, engine_names, engine_rules, engine_versions
from solver.engines.conditions import Condition
from solver.llm import LLM
from solver.replica import Parallelism, Setup
from solver.space.legality import Inquiry, connects, handover_faults

ENGINES = ("vllm", "sglang", "trtllm")
H200 = topologies.device("h200")


def every_version() -> list[EngineRules]:
    return [engine_rules(name, version) for name in engine_names() for version in engine_versions(name)]


def inquiry(llm: LLM, replica: Setup, device: str = "h200") -> Inquiry:
    rules = engine_rules(replica.engine, replica.engine_version)
    return Inquiry(llm, rules, topologies.device(device), [replica])


def connector(meeting: Meeting) -> Connector:
    return next(each for each in engine_rules(meeting.engine).connectors if each.name == meeting.connector)


def both(meeting: Meeting, fields: tuple[dict[str, Any], dict[str, Any]]) -> tuple[Setup, Setup]:
    """A prefill and a decode replica."""
    return setup(meeting.engine, **{"role": "prefill"} | fields[0]), setup(meeting.engine, **fields[1])


def broken(llm: LLM, replica: Setup, device: str = "h200") -> list[str]:
    (refusals,) = inquiry(llm, replica, device).refusals()
    return [rule.name for rule in refusals]


def faults(meeting: Meeting, llm: LLM, sides: tuple[Setup, Setup]) -> list[str]:
    asked = [inquiry(llm, side) for side in sides]
    return [rule.name for rule, mask in handover_faults(connector(meeting), *asked) if mask.any()]


@pytest.mark.parametrize("edge", EDGES, ids=lambda edge: f"{edge.engine} {edge.rule}")
def test_a_rule_refuses_what_it_should(edge: Edge) -> None:
    """It alone does, as data and as the witness has it, and what lies beside starts."""
    device = topologies.device(edge.device)
    refused, started = setup(edge.engine, **edge.refused), setup(edge.engine, **edge.started)
    beside = edge.started_llm or edge.llm
    assert broken(edge.llm, refused, edge.device) == [edge.rule]
    assert broken(beside, started, edge.device) == []
    assert len(list(start.refusals(edge.llm, device, refused))) == 1
    assert list(start.refusals(beside, device, started)) == []


@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda meeting: f"{meeting.connector} {meeting.rule}")
def test_a_connector_refuses_what_it_should(meeting: Meeting) -> None:
    """Both replicas start; it alone keeps them apart."""
    apart, joined = both(meeting, meeting.refused), both(meeting, meeting.joined)
    beside = meeting.joined_llm or meeting.llm
    assert [broken(meeting.llm, side) for side in apart] == [[], []]
    assert faults(meeting, meeting.llm, apart) == [meeting.rule]
    assert faults(meeting, beside, joined) == []
    assert len(list(handover.refusals(meeting.llm, (H200, H200), *apart, meeting.connector))) == 1
    assert list(handover.refusals(beside, (H200, H200), *joined, meeting.connector)) == []


@pytest.mark.parametrize("rules", every_version(), ids=lambda rules: f"{rules.name} {rules.version}")
def test_every_rule_says_what_and_whence_and_can_be_asked(rules: EngineRules) -> None:
    """A condition that asks for a fact that nobody gives would raise."""
    setups = [Setup(role, rules.name, Parallelism(tp=4, ep=4)) for role in ("prefill", "decode")]
    inquiries = [Inquiry(ROUTED, rules, H200, [each]) for each in setups]
    asked: list[EngineRule] = [rule for rule, _ in inquiries[0].broken_rules()]
    for each in rules.connectors:
        assert connects(each, *inquiries).shape == (1, 1)
        asked += [*each.sides, *each.pairs]
    for rule in asked:
        assert rule.because
        assert rule.source
        assert rule.consequence
    names = [rule.name for rule in rules.rules]
    assert len(set(names)) == len(names)


def weaker(rule: EngineRule) -> Iterator[EngineRule]:
    """The rule without one of the ways to break it; never broken, where it has one alone."""
    text = rule.when.text
    choices = [
        node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)
    ]
    for place, choice in enumerate(choices):
        for number in range(len(choice.values)):
            tree = ast.parse(text, mode="eval")
            twins = [node for node in ast.walk(tree) if isinstance(node, ast.BoolOp) and isinstance(node.op, ast.Or)]
            del twins[place].values[number]
            yield replace(rule, when=Condition(ast.unparse(tree)))
    yield replace(rule, when=Condition("1 == 2"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("version", ["first", "last"])
def test_a_rule_that_is_deleted_or_weakened_is_missed(engine: str, version: str) -> None:
    rules = engine_rules(engine, engine_versions(engine)[0 if version == "first" else -1])
    for rule in rules.rules:
        edges = [e for e in EDGES if (e.engine, e.rule) == (engine, rule.name)]
        asked = [inquiry(e.llm, setup(e.engine, **e.refused), e.device) for e in edges]
        for weak in weaker(rule):
            # A version that an edge names is the one whose rule it is about.
            assert any(not each.breaks(weak).any() for each in asked), f"nothing breaks {rule.name}: {rule.when.text}"
    for each in rules.connectors:
        for rule in (*each.sides, *each.pairs):
            meetings = [m for m in MEETINGS if (m.engine, m.connector, m.rule) == (engine, each.name, rule.name)]
            for weak in weaker(rule):
                field = "sides" if rule in each.sides else "pairs"
                rest = replace(each, **{field: tuple(weak if one is rule else one for one in getattr(each, field))})
                sides = [(m, both(m, m.refused)) for m in meetings]
                joined = (connects(rest, *(inquiry(m.llm, side) for side in pair)).all() for m, pair in sides)
                assert any(joined), f"nothing breaks {rule.name} of {each.name}: {rule.when.text}"


def without_line(module: ModuleType, line: int) -> Callable[..., Iterator[str]]:
    """``refusals`` of a module without the sentence that it says on a line."""
    tree = ast.parse(inspect.getsource(module))

    class Silence(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.AST:
            return ast.parse("yield from ()").body[0] if node.lineno == line else node

    names = dict(vars(module))
    exec(compile(ast.fix_missing_locations(Silence().visit(tree)), module.__name__, "exec"), names)
    found: Callable[..., Iterator[str]] = names["refusals"]
    return found


def sentences(module: ModuleType) -> list[int]:
    """Lines on which a module gives a reason."""
    nodes = ast.walk(ast.parse(inspect.getsource(module)))
    return sorted(n.lineno for n in nodes if isinstance(n, ast.Expr) and isinstance(n.value, ast.Yield))


@pytest.mark.parametrize("line", sentences(start))
def test_no_reason_of_the_witness_is_spare(line: int) -> None:
    """Without a sentence some replica that does not start would be accepted."""
    silent = without_line(start, line)
    asked = [(e.llm, topologies.device(e.device), setup(e.engine, **e.refused)) for e in EDGES]
    assert any(not list(silent(*each)) for each in asked)


@pytest.mark.parametrize("line", sentences(handover))
def test_no_reason_of_the_witness_between_pools_is_spare(line: int) -> None:
    silent = without_line(handover, line)
    asked = [(m.llm, (H200, H200), *both(m, m.refused), m.connector) for m in MEETINGS]
    assert any(not list(silent(*each)) for each in asked)


def drawn(engine: Any, rng: random.Random) -> Setup:
    """A replica of any degrees."""
    some = partial(rng.choice, (1, 1, 2, 2, 3, 4, 6, 8, 12, 16))
    tp, dp, pp = some(), some(), some()
    ep, moe_tp = rng.choice([(1, tp * dp), (tp * dp, 1), (tp, dp), (1, 1)])
    shape = Parallelism(tp=tp, dp=dp, pp=pp, ep=ep, moe_tp=moe_tp, cp=rng.choice((1, 1, 1, 2, 4)))
    hosts = rng.choice([n for n in (1, 2, 3, 4, 8) if shape.devices % n == 0])
    return Setup(
        rng.choice(("prefill", "decode", "unified")), engine, shape, hosts=hosts, domains=rng.choice((1, hosts)),
        redundant_experts=rng.choice((0, 0, 8)), draft_tokens=rng.choice((0, 0, 2)), overlap=rng.random() < 0.2,
        engine_version=rng.choice(engine_versions(engine)),
    )  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "name", ["deepseek-v3", "llama-3.1-70b", "qwen3-235b-a22b-fp8", "gpt-oss-120b", "qwen3-next-80b-a3b"]
)
def test_two_statements_agree(engine: str, name: str) -> None:
    """What the search takes for legal the witness accepts, and the other way round: 300 replicas, and their pairs."""
    rng, llm = random.Random(name + engine), LLM.from_config(name)
    for _ in range(300):
        replica = drawn(engine, rng)
        assert bool(broken(llm, replica)) == bool(list(start.refusals(llm, H200, replica))), replica
    sides = [drawn(engine, rng) for _ in range(40)]
    rules = engine_rules(engine)
    prefill, decode = ([replace(s, role=role, engine_version=None) for s in sides] for role in ("prefill", "decode"))
    asked = Inquiry(llm, rules, H200, prefill), Inquiry(llm, rules, H200, decode)
    for each in rules.connectors:
        joined = connects(each, *asked)
        for row, p in enumerate(prefill):
            for column, d in enumerate(decode):
                refused = list(handover.refusals(llm, (H200, H200), p, d, each.name))
                assert bool(refused) != joined[row, column], (p, d, each.name)
