"""What plans promise against what replays find, on plans for every scenario of ``served``.

``pytest tests/benchmarks/replay.py -m benchmark -s -n 0`` (a quarter of an hour on two cores)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from multiprocessing import get_context
from statistics import fmean, median
from typing import Any

import pytest
from served import FILLED, SERVED

from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.simulate import Run, replay
from solver.study.confirm import confirm
from solver.workload import Scenario

pytestmark = pytest.mark.benchmark

EFFORT = Effort(time_limit_s=20, workers=1, seed=1)
FIGURES = ("ttft_p50_s", "ttft_p95_s", "tpot_p50_s", "tpot_p95_s")
#: Replays that nothing was tuned on.
UNSEEN = (901, 902, 903)


def scenario(name: str, **more: Any) -> Scenario:
    return Scenario.from_mapping(SERVED[name] | more, name)


def in_parallel(work: Callable[[str], Any], names: Iterable[str]) -> Iterable[Any]:
    with get_context("fork").Pool(2) as pool:
        yield from pool.imap_unordered(work, names)


def errors(name: str) -> tuple[str, list[dict[str, float]]]:
    """Simulated over predicted, minus 1, of every class."""
    plan = solve_scenario(scenario(name), EFFORT).plan
    reports = [replay(plan, Run(requests=20_000, seed=seed)) for seed in (7, 8)]
    return name, [
        {
            figure: fmean(getattr(r.classes[c.name], figure) for r in reports)
            / getattr(plan.prediction.classes[c.name], figure)
            - 1
            for figure in FIGURES
        }
        for c in plan.scenario.traffic.classes
    ]


def test_predictions() -> None:
    found = dict(in_parallel(errors, SERVED))
    for name, classes in sorted(found.items()):
        for each in classes:
            print(f"{name:14}" + " ".join(f"{figure} {value:+7.1%}" for figure, value in each.items()))
    for figure in FIGURES:
        values = [abs(each[figure]) for classes in found.values() for each in classes]
        print(f"{figure}: median {median(values):.1%}, worst {max(values):.0%} of {len(values)}")
        assert median(values) <= 0.10


def misses(plan: Plan) -> float:
    """The worst of latency over limit in replays that nobody has seen."""
    reports = [replay(plan, Run(requests=20_000, seed=seed)) for seed in UNSEEN]
    return max(verdict.simulated_s / verdict.limit_s for report in reports for verdict in report.verdicts)


def verdict(name: str) -> tuple[str, bool, float, float, float]:
    """Whether a plan was confirmed, the cost of that, and how it does on unseen seeds, with and without."""
    first = solve_scenario(scenario(name), EFFORT)
    plan = confirm(scenario(name), first, EFFORT).plan
    assert plan.confirmation is not None
    return name, plan.confirmation.kept, plan.confirmation.cost_rise, misses(plan), misses(first.plan)


def test_verdicts() -> None:
    found = list(in_parallel(verdict, SERVED))
    for name, kept, rise, confirmed, unconfirmed in sorted(found):
        print(f"{name:14} kept {kept}, cost {rise:+.1%}; unseen {confirmed:.3f}, without confirm {unconfirmed:.3f}")
    wrong = [name for name, kept, _, worst, _ in found if kept == (worst > 1)]
    rises = [rise for _, _, rise, _, _ in found]
    print(f"wrong: {wrong}; cost rise median {median(rises):.1%}, worst {max(rises):.0%}")
    assert not wrong
    assert median(rises) <= 0.05


def breaking(name: str) -> tuple[str, float]:
    """Multiple of the promised load at which a full plan breaks a promise."""
    cluster = SERVED[name]["cluster"]
    small = cluster | ({"nodes": 1} if "nodes" in cluster else {})
    plan = solve_scenario(scenario(name, objective="throughput", cluster=small), EFFORT).plan
    low, high = 0.7, 1.3
    for _ in range(6):
        middle = (low + high) / 2
        kept = replay(plan, Run(requests=12_000, seed=3, rate=middle)).slo_kept
        low, high = (middle, high) if kept else (low, middle)
    return name, low


def test_capacity() -> None:
    found = dict(in_parallel(breaking, FILLED))
    for name, multiple in sorted(found.items()):
        print(f"{name:14} breaks at x{multiple:.3f} of what it promises")
    assert median(abs(multiple - 1) for multiple in found.values()) <= 0.05
