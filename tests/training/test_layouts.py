"""Training layouts: exactness against enumeration, memory as published, and the laws of cost."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import topologies
from solver.errors import BadInput, NoPlan
from solver.llm import LLM
from solver.optimize.training.deal import chunk_sizes, deal, part_sizes
from solver.optimize.training.search import TrainingSite, price, search
from solver.optimize.training.space import layouts, shapes
from solver.training.account import micro_batch_s, rank_ledger
from solver.training.activations import Policy, kept_bytes
from solver.training.efficiency import efficiency_of
from solver.training.frameworks import FRAMEWORKS
from solver.training.job import TrainingJob, TrainingLayout
from solver.training.links import RankMachine, Slowdowns
from solver.training.network import MEGATRON, Network, from_llm, gpt
from solver.training.schedules import Schedule
from solver.training.stages import StageCosts


def site(device: str, devices: int, hbm: float = 0.95, **more: object) -> TrainingSite:
    hardware = topologies.device(device)
    efficiency = replace(efficiency_of(hardware.generation), hbm=hbm)
    return TrainingSite(RankMachine(hardware, efficiency, 8), devices, 2.0, **more)  # type: ignore[arg-type]


def test_korthikanti_memory_table() -> None:
    """Table 2: bytes per layer of every technique, by the paper's formulas written out."""
    s, h, a, t = 2048, 12288, 96, 8
    block, job = MEGATRON["gpt-175b"].layers[0], TrainingJob(s, 1, 1e9, flash=False)

    def kept(policy: Policy, tp: int, sequence_parallel: bool = True) -> float:
        layout = TrainingLayout(tp, 1, 1, 1, Schedule("1f1b"), sequence_parallel=sequence_parallel)
        return s * kept_bytes(block, job, layout, policy)

    sbh = s * h
    assert kept("store", 1) == sbh * (34 + 5 * a * s / h)
    assert kept("store", t, False) == pytest.approx(sbh * (10 + 24 / t + 5 * a * s / (h * t)))
    assert kept("store", t) == pytest.approx(sbh / t * (34 + 5 * a * s / h))
    assert kept("selective", t, False) == pytest.approx(sbh * (10 + 24 / t))
    assert kept("selective", t) == pytest.approx(34 * sbh / t)
    assert kept("full", 1) == 2 * sbh


def mixed(dense: int, routed: int, width: int = 2048) -> Network:
    """A tiny network whose first layers are dense and whose others have experts."""
    plain = gpt("g", 1, width, 16).layers[0]
    experts = replace(
        plain, dense=0.0, dense_inner=0, experts=8, top_k=2, expert=6.0 * width**2, expert_inner=2 * width
    )
    return Network(name="mixed", layers=(plain,) * dense + (experts,) * routed, vocabulary=200_000)


def tiny(seed: int) -> StageCosts:
    """One of many tiny cases: pipelines of every schedule, two kinds of layers, memory that is just too small or not."""
    draw = random.Random(seed)
    plain = map(Schedule, ("1f1b", "gpipe", "zero-bubble", "dualpipe", "dualpipe-v"))
    schedule = draw.choice([*plain, Schedule("interleaved", 2)])
    pp = draw.choice([2, 4] if schedule.kind == "dualpipe" else [2] if schedule.kind == "dualpipe-v" else [1, 2, 3])
    if schedule.kind == "interleaved":
        pp = 2
    elif pp == 1:
        schedule = Schedule("1f1b")
    dense = draw.randint(0, 2)
    network = mixed(dense, draw.randint(max(1, schedule.parts(pp) - dense), 5), draw.choice([2048, 4096, 8192]))
    job = TrainingJob(draw.choice([2048, 8192]), 16, 1e9, reversible=draw.random() < 0.3, flash=draw.random() < 0.5)
    layout = TrainingLayout(draw.choice([1, 2, 8]), pp, 1, 2, schedule, ep=1, zero=draw.choice([0, 1]))
    where = site("a100", pp, hbm=draw.choice([0.03, 0.08, 0.15, 0.3, 0.6]))
    policies: tuple[Policy, ...] = ("store", "selective", "full", "reversible")[: 4 if job.reversible else 3]
    return price(network, job, where, layout, policies)


def cuts(costs: StageCosts) -> Iterator[list[tuple[tuple[int, int], ...]]]:
    """Parts of every device, for every cut of the schedule's space."""
    layers, stages, schedule = len(costs.kind_of), costs.layout.pp, costs.layout.schedule
    count = schedule.parts(stages)
    if schedule.kind == "interleaved":
        every = [s for s in itertools.product(range(layers + 1), repeat=count) if sum(s) == layers]
        every = [s for s in every if len(set(s[1:-1])) == 1 and s[1] >= max(1, s[0], s[-1])]
    elif schedule.folded:
        every = [s for s in itertools.product(part_sizes(layers, count), repeat=count) if sum(s) == layers]
    else:
        every = [s for s in itertools.product(range(1, layers + 1), repeat=count) if sum(s) == layers]
    for sizes in every:
        ends = [0, *itertools.accumulate(sizes)]
        parts = [(ends[n], ends[n + 1]) for n in range(count)]
        if schedule.kind == "interleaved":
            yield [tuple(parts[device::stages]) for device in range(stages)]
        elif schedule.folded:
            folded = [(parts[d], parts[count - 1 - d]) for d in range(count // 2)]
            yield folded if schedule.copies == 1 else [*folded, *reversed(folded)]
        else:
            yield [(part,) for part in parts]


def brute_force(costs: StageCosts) -> float:
    """The least iteration over all cuts and all policies of all layers, by the account of plans alone."""
    known: dict[tuple[object, ...], float] = {}

    def fastest(device: int, parts: tuple[tuple[int, int], ...]) -> float:
        if (device, parts) not in known:
            layers = [layer for part in parts for layer in range(*part)]
            best = math.inf
            for chosen in itertools.product(costs.policies, repeat=len(layers)):
                policies = dict(zip(layers, chosen, strict=True))
                memory = rank_ledger(costs, device, policies)
                if memory.used_bytes <= memory.capacity_bytes:
                    best = min(best, micro_batch_s(costs, device, policies))
            known[device, parts] = best
        return known[device, parts]

    seconds = (tuple(fastest(d, parts) for d, parts in enumerate(cut)) for cut in cuts(costs))
    return min((costs.iteration_s(s) for s in seconds if math.isfinite(max(s))), default=math.inf)


@pytest.mark.parametrize("block", range(10))
def test_the_deal_equals_enumeration_on_two_hundred_tiny_cases(block: int) -> None:
    """No way to deal layers and policies is better, none fits where none was found, and the bound is one."""
    for seed in range(20 * block, 20 * block + 20):
        costs = tiny(seed)
        found, best = deal(costs), brute_force(costs)
        if found is None:
            assert best == math.inf, seed
        else:
            assert costs.iteration_s([device.mix.seconds for device in found]) == pytest.approx(best, rel=1e-9), seed
            assert costs.least_s <= best * (1 + 1e-9), seed


def test_tiny_cases_fit_and_do_not_fit_and_differ() -> None:
    found = [deal(tiny(seed)) for seed in range(200)]
    assert 40 < sum(one is None for one in found) < 160
    used = {tuple(map(bool, map(sum, zip(*device.mix.counts, strict=True)))) for one in found if one for device in one}
    assert len(used) >= 4


@pytest.mark.parametrize("name", ["any", "megatron", "torchtitan"])
@pytest.mark.parametrize("network", [gpt("small", 6, 4096, 8), mixed(1, 3, 4096)], ids=["dense", "experts"])
def test_search_equals_dealing_every_layout(name: str, network: Network) -> None:
    job, where = TrainingJob(2048, 16, 1e9), site("a100", 16)
    found = search(network, job, where, FRAMEWORKS[name])
    seconds = []
    for shape in shapes(network, job, 16, 8, whole=True):
        for layout in layouts(network, job, shape, FRAMEWORKS[name]):
            for policies in FRAMEWORKS[name].policy_sets(job):
                costs = price(network, job, where, layout, policies)
                dealt = None if costs.hopeless else deal(costs)
                if dealt:
                    seconds.append(costs.iteration_s([device.mix.seconds for device in dealt]))
    assert found.iteration_s == pytest.approx(min(seconds), rel=1e-12)
    assert found.bound == found.usd_per_million_tokens


def test_a_narrow_fabric_is_counted_where_it_matters() -> None:
    network, job = MEGATRON["gpt-22b"], TrainingJob(2048, 64, 1e9)
    job = replace(job, global_batch_sequences=32)
    wide = search(network, job, site("a100", 32), FRAMEWORKS["megatron"])
    slow = site("a100", 32, slowdowns=lambda _: Slowdowns(data=0.1, hop=0.1))
    narrow = search(network, job, slow, FRAMEWORKS["megatron"])
    assert narrow.iteration_s > wide.iteration_s
    assert narrow.bound <= narrow.usd_per_million_tokens


def test_early_stages_keep_less() -> None:
    """Under 1F1B the first stage holds the most micro-batches, so it never stores more layers than the last."""
    job = TrainingJob(2048, 64, 1e9, flash=False)
    layout = TrainingLayout(8, 8, 1, 1, Schedule("1f1b"))
    found = deal(price(MEGATRON["gpt-175b"], job, site("a100", 64), layout, ("store", "selective", "full")))
    assert found is not None
    again = [sum(device.mix.counts[0][1:]) for device in found]
    assert again[0] > again[-1]


def test_reversible_needs_no_memory_per_layer() -> None:
    """A deep reversible network fits where full recomputation does not."""
    network, layout = gpt("deep", layers=256, width=1024, heads=16), TrainingLayout(8, 1, 1, 8, Schedule("1f1b"))
    job, where = TrainingJob(16384, 8, 1e9, reversible=True), site("a100", 8, hbm=0.20)
    assert deal(price(network, job, where, layout, ("store", "selective", "full"))) is None
    found = deal(price(network, job, where, layout, ("store", "selective", "full", "reversible")))
    assert found is not None
    assert found[0].mix.counts[0][3] > 0


@given(chunks=st.integers(2, 6), pp=st.integers(2, 16), rounds=st.integers(1, 8))
def test_interleaving_trades_memory_for_bubble(chunks: int, pp: int, rounds: int) -> None:
    plain, chunked = Schedule("1f1b"), Schedule("interleaved", chunks)
    m = pp * rounds
    assert chunked.bubble(pp, 1, 2, 1, 3) < plain.bubble(pp, 1, 2, 1, 3)
    if rounds > 1:
        assert chunked.held(pp, 0, m) > plain.held(pp, 0, m)
    assert Schedule("gpipe").held(pp, 0, m) == m


def test_dualpipe_as_published() -> None:
    """Its repository's table: bubble (pp/2 - 1)(G + B - 3W), 1F1B (pp - 1)(F + B); activations pp + 1 and pp."""
    f, b, w, g, pp = 1.0, 2.0, 1.0, 2.8, 16
    both = Schedule("dualpipe").bubble(pp, f, b, w, g) * (pp - 1) * (f + b)
    assert both == pytest.approx((pp / 2 - 1) * (g + b - 3 * w))
    # half the layers are a chunk: a V of pp devices is a DualPipe of 2 pp stages
    folded = Schedule("dualpipe-v").bubble(pp, f, b, w, g) * (pp - 1) * (f + b)
    assert folded == pytest.approx((pp - 1) * (g + b - 3 * w) / 2)
    assert 2 * Schedule("dualpipe").held(pp, 3, 64) == pp + 1


def test_chunks_of_llama_3() -> None:
    """126 layers over 16 devices with 8 chunks: the first chunk has the embedding alone, the last one the head."""
    assert [0, *[1] * 126, 0] in list(chunk_sizes(126, 128))


@settings(max_examples=8, deadline=None)
@given(hbm=st.floats(0.3, 0.9))
def test_more_memory_never_costs_more(hbm: float) -> None:
    network, job = gpt("small", layers=8, width=8192, heads=64), TrainingJob(2048, 16, 1e9)
    try:
        dear = search(network, job, site("a100", 16, hbm=hbm)).usd_per_million_tokens
    except NoPlan:
        return
    assert search(network, job, site("a100", 16, hbm=hbm + 0.1)).usd_per_million_tokens <= dear * (1 + 1e-9)


def test_fewer_devices_cost_less_where_only_they_are_paid() -> None:
    network, job = MEGATRON["gpt-22b"], TrainingJob(2048, 64, 1e9)
    rented = search(network, job, site("a100", 64, whole=False), FRAMEWORKS["megatron"])
    paid = search(network, job, site("a100", 64), FRAMEWORKS["megatron"])
    assert rented.usd_per_million_tokens <= paid.usd_per_million_tokens


def test_experts_and_what_they_send() -> None:
    network = from_llm(LLM.from_config("qwen3-235b-a22b"))
    assert network.parameters == pytest.approx(LLM.from_config("qwen3-235b-a22b").parameters, rel=0.01)
    job, where = TrainingJob(4096, 256, 1e12), site("h100", 256)

    def costs(ep: int, overlap: bool = False, nodes: int | None = None) -> StageCosts:
        layout = TrainingLayout(1, 8, 32, 1, Schedule("interleaved", 2), ep=ep, overlap=overlap)
        return price(network, replace(job, nodes_per_token=nodes), where, layout, ("full",))

    assert costs(1).hopeless
    assert not costs(8).hopeless
    assert costs(1).times[0].exchange == 0 < costs(8).times[0].exchange < costs(32).times[0].exchange
    assert costs(32, nodes=1).times[0].exchange < costs(32).times[0].exchange
    assert costs(32, overlap=True).layer_s[0]["full"] < costs(32).layer_s[0]["full"]


@pytest.mark.parametrize(("exchange", "precision"), [("ring", "bf16"), ("gather", "bf16"), ("ring", "fp8")])
def test_context_parallel_ranks_share_keys(exchange: str, precision: str) -> None:
    network, where = from_llm(LLM.from_config("llama-3.1-8b")), site("h100", 64)
    job = TrainingJob(131072, 8, 1e12, precision=precision)  # type: ignore[arg-type]

    def forward(cp: int) -> float:
        layout = TrainingLayout(8, 1, 1, 1, Schedule("1f1b"), cp=cp, exchange=exchange)  # type: ignore[arg-type]
        return price(network, job, where, layout, ("store",)).times[0].forward

    assert forward(8) < forward(2) < forward(1) < 2.1 * forward(2)


def test_zero_shares_state() -> None:
    network, job = MEGATRON["gpt-22b"], TrainingJob(2048, 64, 1e9)
    states = []
    for zero in range(4):
        layout = TrainingLayout(8, 1, 8, 1, Schedule("1f1b"), zero=zero)
        states.append(price(network, job, site("a100", 64), layout, ("store",)).layer_state[0])
    per_rank = network.layers[0].parameters / 8
    expected = [(2, 4, 12), (2, 4, 1.5), (2, 0.5, 1.5), (0.25, 0.5, 1.5)]
    assert [tuple(part / per_rank for part in state) for state in states] == [pytest.approx(one) for one in expected]


def test_what_does_not_fit_says_what_would() -> None:
    with pytest.raises(NoPlan, match=r"8 x a100 have \d+ GB; \d+ devices hold the state"):
        search(MEGATRON["gpt-1t"], TrainingJob(2048, 8, 1e9, flash=False), site("a100", 8))


def test_bad_jobs_are_refused() -> None:
    with pytest.raises(BadInput, match="global_batch_sequences must be at least 1"):
        TrainingJob(2048, 0, 1e9)
    with pytest.raises(BadInput, match="no schedule"):
        Schedule("dual")  # type: ignore[arg-type]
    with pytest.raises(BadInput, match="only interleaved"):
        Schedule("1f1b", 2)
