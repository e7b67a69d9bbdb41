"""Replay: a plan's pools serve requests one by one, as a discrete-event simulation on SimPy.

It knows no queueing formula. Steps take what the cost model says (:mod:`solver.simulate.pace`); who waits for whom
follows from arrivals, routers, trains that leave every step, KV caches that fill up, links that carry one cache at a
time, and replicas that fail. So it tests the formulas of :mod:`solver.cost.pool.waiting` and the plan's decisions.

::

    report = replay(plan, Run(requests=20_000, seed=1))
    print(report.overall.ttft_p95_s, report.slo_kept)
"""

from solver.simulate.failures import Failure
from solver.simulate.replay import Run, replay, unrecorded_s
from solver.simulate.report import PromiseVerdict, ReplayReport

__all__ = ["Failure", "PromiseVerdict", "ReplayReport", "Run", "replay", "unrecorded_s"]
