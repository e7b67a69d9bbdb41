"""Training layouts: published iterations and memory, exactness against enumeration, and the laws of cost."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from solver.errors import BadInput, NoPlan
from solver.llm import LLM
from solver.training.activations import Layer, Policy
from solver.training.assign import assign, stage_bytes
from solver.training.efficiency import Efficiency
from solver.training.job import Layout, TrainingJob
from solver.training.layouts import layouts
from solver.training.network import MEGATRON, Network, from_llm, gpt
from solver.training.schedules import Schedule
from solver.training.search import Site, train
from solver.training.stages import StageCosts

A100 = topologies.device("a100")
#: Korthikanti et al., arXiv:2205.05198, Tables 3 and 5: network, devices = global batch except for 22B, stages, chunks,
#: micro-batch, seconds of an iteration with full recomputation, and with selective and sequence parallelism.
PUBLISHED = [
    ("gpt-22b", 8, 4, 1, 1, 4, 1.42, 1.10),
    ("gpt-175b", 64, 64, 8, 3, 1, 18.13, 13.75),
    ("gpt-530b", 280, 280, 35, 3, 1, 49.05, 37.83),
    ("gpt-1t", 512, 512, 64, 1, 1, 94.42, 71.49),
]


def costs_of(name: str, batch: int, pp: int, chunks: int, micro: int, sequence_parallel: bool = True) -> StageCosts:
    schedule = Schedule("interleaved", chunks) if chunks > 1 else Schedule("1f1b")
    layout = Layout(8, pp, 1, 1, micro, schedule, sequence_parallel)
    return StageCosts(MEGATRON[name], TrainingJob(2048, batch, 1e9), layout, A100, Efficiency(), 8)


def uniform_s(costs: StageCosts, policy: Policy) -> float:
    """An iteration in which every layer has one policy."""
    each = costs.network.layers / costs.stages * costs.layer_s[policy]
    return costs.iteration_s([each + costs.fixed_s(stage) for stage in range(costs.stages)])


@pytest.mark.parametrize(("name", "devices", "batch", "pp", "chunks", "micro", "full", "selective"), PUBLISHED)
def test_published_iterations_within_ten_percent(
    name: str, devices: int, batch: int, pp: int, chunks: int, micro: int, full: float, selective: float
) -> None:
    del devices
    assert uniform_s(costs_of(name, batch, pp, chunks, micro, False), "full") == pytest.approx(full, rel=0.10)
    assert uniform_s(costs_of(name, batch, pp, chunks, micro), "selective") == pytest.approx(selective, rel=0.10)


@pytest.mark.parametrize(("name", "devices", "batch"), [row[:3] for row in PUBLISHED])
def test_the_best_layout_is_proven_and_no_slower_than_the_published_one(name: str, devices: int, batch: int) -> None:
    row = next(row for row in PUBLISHED if row[0] == name)
    plan = train(MEGATRON[name], TrainingJob(2048, batch, 1e9), Site(A100, devices, 2.0))
    assert plan.gap <= 0.01
    assert plan.iteration_s <= uniform_s(costs_of(name, batch, row[3], row[4], row[5]), "selective") * (1 + 1e-9)
    assert plan.fullest_bytes <= plan.costs.room_bytes
    assert sum(sum(stage.counts.values()) for stage in plan.stages) == plan.costs.network.layers
    assert 0.3 < plan.mfu < 0.72


def test_korthikanti_memory_table() -> None:
    """Table 2: bytes per layer of every technique, by the paper's formulas written out."""
    s, b, h, a, t = 2048, 1, 12288, 96, 8
    layer = Layer(h, a, s, b)
    sbh = s * b * h
    assert layer.stored_bytes("store") == sbh * (34 + 5 * a * s / h)
    assert layer.stored_bytes("store", t, False) == pytest.approx(sbh * (10 + 24 / t + 5 * a * s / (h * t)))
    assert layer.stored_bytes("store", t) == pytest.approx(sbh / t * (34 + 5 * a * s / h))
    assert layer.stored_bytes("selective", t, False) == pytest.approx(sbh * (10 + 24 / t))
    assert layer.stored_bytes("selective", t) == pytest.approx(34 * sbh / t)
    assert layer.stored_bytes("full") == 2 * sbh


@pytest.mark.parametrize("reversible", [False, True])
@pytest.mark.parametrize("kind", ["1f1b", "gpipe", "zero-bubble"])
@pytest.mark.parametrize("hbm", [0.35, 0.5, 0.8])
def test_assignment_equals_enumeration(kind: str, hbm: float, reversible: bool) -> None:
    """Tiny pipelines: no way to deal layers and policies is better, and none fits where none was found."""
    network = gpt("tiny", layers=5, width=8192, heads=64, vocabulary=200_000)
    job = TrainingJob(2048, 8, 1e9, reversible=reversible)
    layout = Layout(2, 3, 1, 1, 2, Schedule(kind))  # type: ignore[arg-type]
    costs = StageCosts(network, job, layout, A100, Efficiency(hbm=hbm), 8)
    found = assign(costs)
    best = brute_force(costs)
    if found is None:
        assert best == math.inf
    else:
        assert costs.iteration_s([stage.seconds for stage in found]) == pytest.approx(best, rel=1e-12)


def brute_force(costs: StageCosts) -> float:
    """The least iteration over all ways to deal layers and policies."""
    fits: list[list[tuple[int, float]]] = []
    for stage in range(costs.stages):
        fits.append([])
        for counts in itertools.product(range(costs.network.layers), repeat=len(costs.policies)):
            filled = dict(zip(costs.policies, counts, strict=True))
            if sum(counts) >= 1 and sum(stage_bytes(costs, stage, filled)) <= costs.room_bytes:
                seconds = sum(n * costs.layer_s[p] for p, n in filled.items()) + costs.fixed_s(stage)
                fits[-1].append((sum(counts), seconds))
        fits[-1] = [(n, min(s for m, s in fits[-1] if m == n)) for n in sorted({m for m, _ in fits[-1]})]
    return min(
        (
            costs.iteration_s([s for _, s in deal])
            for deal in itertools.product(*fits)
            if sum(n for n, _ in deal) == costs.network.layers
        ),
        default=math.inf,
    )


def test_search_equals_assigning_every_layout() -> None:
    network, job = gpt("small", layers=12, width=4096, heads=32), TrainingJob(2048, 16, 1e9)
    site = Site(A100, 16, 2.0)
    plan = train(network, job, site)
    seconds = []
    for layout in layouts(network, job, 16, 8, whole=True):
        costs = StageCosts(network, job, layout, A100, site.efficiency, 8)
        stages = None if costs.hopeless else assign(costs)
        if stages:
            found = costs.iteration_s([stage.seconds for stage in stages])
            assert found >= costs.least_s * (1 - 1e-12)
            seconds.append(found)
    assert plan.iteration_s == pytest.approx(min(seconds), rel=1e-12)
    assert plan.gap == 0


def test_early_stages_keep_less() -> None:
    """Under 1F1B the first stage holds the most micro-batches, so it never stores more layers than the last."""
    costs = costs_of("gpt-175b", 64, 8, 1, 1)
    found = assign(costs)
    assert found is not None
    recomputed = [stage.counts.get("selective", 0) + stage.counts.get("full", 0) for stage in found]
    assert recomputed[0] > recomputed[-1]


def test_reversible_needs_no_memory_per_layer() -> None:
    """A deep reversible network fits where full recomputation does not."""
    network, layout = gpt("deep", layers=256, width=1024, heads=16), Layout(8, 1, 1, 1, 8, Schedule("1f1b"))

    def costs(reversible: bool) -> StageCosts:
        job = TrainingJob(16384, 8, 1e9, reversible=reversible, flash=True)
        return StageCosts(network, job, layout, A100, Efficiency(hbm=0.20), 8)

    assert assign(costs(False)) is None
    found = assign(costs(True))
    assert found is not None
    assert found[0].counts.get("reversible", 0) > 0


@given(chunks=st.integers(2, 6), pp=st.integers(2, 16), rounds=st.integers(1, 8))
def test_interleaving_trades_memory_for_bubble(chunks: int, pp: int, rounds: int) -> None:
    plain, chunked = Schedule("1f1b"), Schedule("interleaved", chunks)
    m = pp * rounds
    assert chunked.bubble(1, 2, 1) < plain.bubble(1, 2, 1)
    if rounds > 1:
        assert chunked.held(pp, 0, m) > plain.held(pp, 0, m)
    assert Schedule("gpipe").held(pp, 0, m) == m


@settings(max_examples=15, deadline=None)
@given(hbm=st.floats(0.3, 0.9))
def test_more_memory_never_costs_more(hbm: float) -> None:
    network, job = gpt("small", layers=16, width=8192, heads=64), TrainingJob(2048, 16, 1e9)
    less = Site(A100, 16, 2.0, efficiency=Efficiency(hbm=hbm))
    more = Site(A100, 16, 2.0, efficiency=Efficiency(hbm=hbm + 0.1))
    try:
        dear = train(network, job, less).usd_per_million_tokens
    except NoPlan:
        return
    assert train(network, job, more).usd_per_million_tokens <= dear * (1 + 1e-9)


def test_fewer_devices_cost_less_where_only_they_are_paid() -> None:
    network, job = MEGATRON["gpt-22b"], TrainingJob(2048, 64, 1e9)
    rented = train(network, job, Site(A100, 64, 2.0, whole=False))
    assert rented.usd_per_million_tokens <= train(network, job, Site(A100, 64, 2.0)).usd_per_million_tokens


def test_an_llm_with_experts() -> None:
    network = from_llm(LLM.from_config("qwen3-235b-a22b"))
    assert network.parameters == pytest.approx(LLM.from_config("qwen3-235b-a22b").parameters, rel=0.02)
    h100, job = topologies.device("h100"), TrainingJob(4096, 256, 1e12, flash=True)

    def costs(ep: int) -> StageCosts:
        return StageCosts(network, job, Layout(1, 8, 32, ep, 1, Schedule("1f1b")), h100, Efficiency(), 8)

    assert costs(1).hopeless
    assert not costs(8).hopeless
    assert costs(8).times.forward > costs(1).times.forward
    plan = train(network, job, Site(h100, 256, 2.0))
    assert plan.gap <= 0.01
    assert any(layout.ep > 1 for layout in layouts(network, job, 256, 8, whole=True))


def test_what_does_not_fit_says_what_would() -> None:
    with pytest.raises(NoPlan, match=r"8 x a100 have 608 GB; \d+ devices hold the state"):
        train(MEGATRON["gpt-1t"], TrainingJob(2048, 8, 1e9), Site(A100, 8, 2.0))
    with pytest.raises(NoPlan, match="dividing the global batch"):
        train(Network(
            name="odd", layers=1, width=64, heads=1, attended=64, vocabulary=10, attention_parameters=1,
            dense_parameters=1), TrainingJob(16, 2, 1), Site(A100, 7, 2.0))  # fmt: skip


def test_bad_jobs_are_refused() -> None:
    with pytest.raises(BadInput, match="global_batch_sequences must be at least 1"):
        TrainingJob(2048, 0, 1e9)
    with pytest.raises(BadInput, match="no schedule"):
        Schedule("dual")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="only interleaved"):
        Schedule("1f1b", 2)
