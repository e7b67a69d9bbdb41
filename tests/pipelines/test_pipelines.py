"""Request-level pipelines: flows against networkx, bounds against every placement, recorded instances."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from fleets import greatest_flow, helix, placements, random_fleet, recorded_runs

from solver.errors import BadInput, NoPlan
from solver.pipelines import (
    SINK,
    SOURCE,
    Link,
    SearchLimits,
    UnlikeMachines,
    flow_bound,
    flow_through,
    pipeline_curve,
    place_pipeline,
    refute,
    serve_most,
)
from solver.pipelines.plan import flow_value


@pytest.mark.parametrize("seed", range(6))
def test_flow_through_a_placement_is_the_maximum_flow(seed: int) -> None:
    fleet = random_fleet(seed, missing=0.1)
    rng = np.random.default_rng(seed)
    for runs in placements(fleet):
        if rng.random() > 0.1:
            continue
        plan = flow_through(fleet, runs)
        assert (0.0 if plan is None else plan.tokens_per_s) == pytest.approx(greatest_flow(fleet, runs), rel=1e-4)
        if plan is not None:
            for machine, rate in plan.through.items():
                first, end = runs[machine]
                assert rate <= fleet.rate(machine, end - first) + 1e-5
            for link, rate in plan.flows.items():
                assert rate <= fleet.links[link].tokens_per_s + 1e-5


@pytest.mark.parametrize("seed", range(2, 13, 2))
def test_no_placement_has_more_flow_than_the_bound(seed: int) -> None:
    fleet = random_fleet(seed)
    best = max(greatest_flow(fleet, runs) for runs in placements(fleet))
    assert best <= flow_bound(fleet, 0.0) * (1 + 1e-9)
    if best == 0:
        with pytest.raises(NoPlan):
            place_pipeline(fleet)
        return
    assert refute(fleet, best) is None
    plan = place_pipeline(fleet)
    assert 0.9 * best < plan.tokens_per_s <= best + 1e-4
    assert plan.bound >= best * (1 - 1e-9)
    assert greatest_flow(fleet, dict(plan.runs)) == pytest.approx(plan.tokens_per_s, rel=1e-4)
    if plan.gap < 1e-5:
        assert plan.tokens_per_s == pytest.approx(best, rel=1e-4)


def test_a_refutation_is_checked_by_arithmetic() -> None:
    fleet = UnlikeMachines.connected(4, ["a", "a"], {"a": {1: 9.0, 2: 5.0}})
    proof = refute(fleet, 5.1)
    assert proof is not None
    assert proof.proves(fleet)
    more = UnlikeMachines.connected(4, ["a", "a", "a", "a"], {"a": {1: 9.0, 2: 5.0}})
    assert not proof.proves(more)
    assert refute(fleet, 5.0) is None


def regional_fleet(across: float) -> UnlikeMachines:
    """Two regions of two machines each; one slow link joins each pair of machines in different regions."""
    region = (0, 0, 1, 1)
    ends = range(4)
    links = {(a, b): Link(1000.0 if region[a] == region[b] else across) for a in ends for b in ends if a != b}
    links |= {(SOURCE, a): Link(1000.0) for a in ends} | {(a, SINK): Link(1000.0) for a in ends}
    return UnlikeMachines(4, ("a",) * 4, {"a": {1: 100.0, 2: 60.0}}, links)


@pytest.mark.parametrize("across", [200.0, 40.0, 5.0])
def test_slow_links_between_regions_are_respected(across: float) -> None:
    fleet = regional_fleet(across)
    plan = place_pipeline(fleet)
    best = max(flow_value(fleet, runs) for runs in placements(fleet))
    assert plan.tokens_per_s == pytest.approx(best, rel=1e-5)
    assert greatest_flow(fleet, dict(plan.runs)) == pytest.approx(plan.tokens_per_s, rel=1e-5)


def test_depth_latency_and_residency_of_a_chain() -> None:
    link = Link(1e6, latency_s=0.01)
    fleet = UnlikeMachines(4, ("a", "a"), {"a": {2: 100.0}}, {(SOURCE, 0): link, (0, 1): link, (1, SINK): link}, 5.0, 0.02)
    plan = flow_through(fleet, {0: (0, 2), 1: (2, 4)})
    assert plan is not None
    assert (plan.depth, plan.mean_depth) == (2, pytest.approx(2.0))
    assert plan.token_latency_s == pytest.approx(2 * (0.02 + 5 / 100) + 3 * (0.01 + 5 / 1e6))
    assert plan.slowest_token_latency_s == pytest.approx(plan.token_latency_s)
    assert plan.resident_sequences == pytest.approx(100 * 0.170015)
    assert plan.served_tokens_per_s == pytest.approx(100.0)
    assert json.loads(json.dumps(plan.to_json()))["machines"][1] == {
        "machine": 1,
        "type": "a",
        "layers": [2, 3],
        "tokens_per_s": pytest.approx(100.0),
    }


def deep_or_shallow(sequences: float) -> UnlikeMachines:
    """Four machines: one stage each at 100 tokens/s, or two stages of two at 80."""
    rates, room = {1: 100.0, 2: 40.0}, {1: sequences, 2: sequences * 2}
    base = UnlikeMachines.connected(4, ["a"] * 4, {"a": rates}, Link(1e6, latency_s=0.1))
    return UnlikeMachines(base.layers, base.kinds, base.tokens_per_s, base.links, sequences={"a": room})


def test_the_curve_trades_flow_against_depth() -> None:
    curve = pipeline_curve(deep_or_shallow(1e6))
    assert [(plan.depth, round(plan.tokens_per_s)) for plan in curve] == [(4, 100), (2, 80)]


def test_room_for_caches_decides_how_deep_a_pipeline_should_be() -> None:
    roomy, tight = (serve_most(pipeline_curve(deep_or_shallow(room))) for room in (1e6, 60.0))
    assert (roomy.depth, roomy.served_tokens_per_s) == (4, pytest.approx(100.0))
    assert tight.depth == 2
    deep = pipeline_curve(deep_or_shallow(60.0))[0]
    assert deep.served_tokens_per_s < tight.served_tokens_per_s
    assert deep.served_tokens_per_s == pytest.approx(60.0 / deep.token_latency_s)


def test_a_seed_repeats_the_plan() -> None:
    fleet = random_fleet(3, machines=6, layers=6)
    one, other = (place_pipeline(fleet, SearchLimits(seed=1)) for _ in range(2))
    assert one.runs == other.runs


def test_bad_input_is_said() -> None:
    with pytest.raises(BadInput, match="layers and machines"):
        UnlikeMachines.connected(4, [], {})
    with pytest.raises(BadInput, match="no throughput"):
        UnlikeMachines.connected(4, ["a"], {})
    with pytest.raises(BadInput, match="throughput -1"):
        UnlikeMachines.connected(4, ["a"], {"a": {2: -1.0}})
    with pytest.raises(BadInput, match="numbers of layers"):
        UnlikeMachines.connected(4, ["a"], {"a": {5: 1.0}})
    with pytest.raises(BadInput, match="link 0 -> 3"):
        UnlikeMachines(1, ("a",), {"a": {1: 1.0}}, {(0, 3): Link(1.0)})
    with pytest.raises(BadInput, match="no room for the KV cache"):
        UnlikeMachines(1, ("a",), {"a": {1: 1.0}}, {}, sequences={"a": {2: 5.0}})
    with pytest.raises(BadInput, match="at least one stage"):
        SearchLimits(depth=0)
    with pytest.raises(BadInput, match="cannot hold layers"):
        flow_through(UnlikeMachines.connected(4, ["a"], {"a": {2: 1.0}}), {0: (0, 3)})
    with pytest.raises(NoPlan, match="room for 2 layers"):
        place_pipeline(UnlikeMachines.connected(4, ["a"], {"a": {2: 1.0}}))


RECORDED = [
    ("quality10_llama30b", 286.5874, True),
    ("single_l4_llama30b", 252.6498, True),
    ("single24_llama70b", 2045.641, True),
    ("dist24_noprune_llama70b", 952.108, False),
]


@pytest.mark.parametrize(("name", "least", "proven"), RECORDED)
def test_recorded_instances_reach_the_best_known(shared_data: Path, name: str, least: float, proven: bool) -> None:
    path = shared_data / "helix" / f"helix_{name}.json"
    if not path.is_file():
        pytest.skip("the Helix instances are not beside the project here")
    fleet, record = helix(path)
    published = recorded_runs(record["published"]["placement_start_end"])
    known = flow_through(fleet, published)
    assert known is not None
    assert known.tokens_per_s == pytest.approx(record["published"]["objective_tokens_per_s"], rel=1e-5)
    plan = place_pipeline(fleet)
    assert plan.tokens_per_s >= least
    assert greatest_flow(fleet, dict(plan.runs)) == pytest.approx(plan.tokens_per_s, rel=1e-5)
    if proven:
        assert plan.gap < 1e-5
    assert plan.depth >= plan.mean_depth > 1


def hub_fleet() -> UnlikeMachines:
    """Two machines that reach all others, four that reach only these; requests enter and leave at the two."""
    link, loose = Link(1000.0), range(2, 6)
    links = {(a, b): link for hub in (0, 1) for m in (*loose, 1 - hub) for a, b in ((hub, m), (m, hub))}
    links |= {(SOURCE, hub): link for hub in (0, 1)} | {(hub, SINK): link for hub in (0, 1)}
    return UnlikeMachines(6, ("hub", "hub", *["leaf"] * 4), {"hub": {1: 100.0, 2: 80.0}, "leaf": {2: 20.0, 3: 15.0}}, links)


def test_machines_that_reach_few_others_stand_between_those_that_reach_all() -> None:
    fleet = hub_fleet()
    plan = place_pipeline(fleet)
    assert plan.tokens_per_s == pytest.approx(80.0)
    ends = {plan.runs[0], plan.runs[1]}
    assert ends == {(0, 2), (4, 6)}
    assert all(plan.runs[leaf] == (2, 4) for leaf in range(2, 6))


def test_overhead_makes_depth_dear() -> None:
    free = deep_or_shallow(60.0)
    busy = UnlikeMachines(free.layers, free.kinds, free.tokens_per_s, free.links, free.micro_batch, 1.0, free.sequences)
    one, other = flow_through(free, {0: (0, 2), 1: (2, 4)}), flow_through(busy, {0: (0, 2), 1: (2, 4)})
    assert one is not None
    assert other is not None
    assert other.token_latency_s == pytest.approx(one.token_latency_s + 2.0)
    assert other.served_tokens_per_s < one.served_tokens_per_s
