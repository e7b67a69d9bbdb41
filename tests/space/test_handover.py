"""Connections: sets of replicas that all connect, against every set."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import topologies
from solver.engines import engine_rules
from solver.llm import LLM
from solver.replica import Parallelism, Setup
from solver.space.handover import _bicliques, handover, signature
from solver.space.legality import Inquiry, connects


@pytest.mark.parametrize("seed", range(20))
def test_maximal_sets_are_all_there_are(seed: int) -> None:
    """Every set of columns that some rows have in common, with all rows that have it: no other pair is maximal."""
    rng = np.random.default_rng(seed)
    table = rng.random((4, 4)) < 0.6
    sets = [frozenset(np.flatnonzero(row).tolist()) for row in table]
    expected = set()
    for count in range(1, 5):
        for rows in itertools.combinations(range(4), count):
            common = frozenset.intersection(*(sets[row] for row in rows))
            if common:
                expected.add((frozenset(r for r in range(4) if common <= sets[r]), common))
    assert set(_bicliques(table)) == expected


@pytest.mark.parametrize("engine", ["vllm", "sglang", "trtllm"])
def test_replicas_on_a_connection_all_connect_over_its_connector(engine: str) -> None:
    llm, rules, device = LLM.from_config("llama-3.1-70b"), engine_rules(engine), topologies.device("h200")
    shapes = [Parallelism(tp=tp, pp=pp) for tp in (1, 2, 4, 8) for pp in (1, 2)]
    sides = {role: [Setup(role, rules.name, shape) for shape in shapes] for role in ("prefill", "decode")}  # type: ignore[arg-type]
    found = handover(llm, rules, device, [setup for side in sides.values() for setup in side])
    connectors = {connector.name: connector for connector in rules.connectors}
    assert found.connections
    for connection in found.connections:
        on = {
            role: [s for s in side if getattr(found, role)[signature(s)] in connection.classes(role)]  # type: ignore[arg-type]
            for role, side in sides.items()
        }
        table = connects(
            connectors[connection.connector], *(Inquiry(llm, rules, device, on[role]) for role in ("prefill", "decode"))
        )
        assert table.size
        assert table.all()
    assert found.class_of(Setup("unified", rules.name, Parallelism())) == 0
