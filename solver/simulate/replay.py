"""Runs a plan: arrivals in, figures out."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.plan import Plan
from solver.simulate.failures import Failure, replicas_hit
from solver.simulate.meters import ClassMeter, PoolMeter, Samples, gap
from solver.simulate.report import (
    Figures,
    PoolFigures,
    PromiseVerdict,
    ReplayReport,
    margin,
    percentiles,
    predicted,
    statistic,
)
from solver.simulate.requests import Arrival, ServedRequest
from solver.simulate.site import Site, stay_s
from solver.simulate.traffic import DAY_S, Stochastic, recorded
from solver.workload import SLO
from solver.workload.measures import MEASURES

if TYPE_CHECKING:
    import simpy

    from solver.traces import Reading

#: Stays of a request that pass before figures count, and for which traffic goes on afterwards.
WARM_UP_STAYS, COOL_DOWN_STAYS = 3.0, 1.0
#: Looks at the pools in a run.
SAMPLES = 240
#: Requests between two calls of ``progress``, and of ``stop``.
PROGRESS_EVERY, STOP_EVERY = 500, 1000


@dataclass(frozen=True)
class Run:
    """What to replay.

    Attributes
    ----------
    requests: arrivals to record; seconds: recorded instead, where given.
    rate: multiple of the planned traffic.
    trace, reading: a trace instead of drawn traffic, and how it is read.
    day, period_s: relative swing of the rate over a day, and its length [s].
    progress: called with requests so far and in all.
    stop: asked now and then with how many requests were recorded so far and what they saw; True ends the recording of
        drawn traffic there.
    """

    requests: int = 20_000
    seconds: float | None = None
    seed: int = 0
    rate: float = 1.0
    failures: tuple[Failure, ...] = ()
    trace: Path | None = None
    reading: Reading | None = None
    day: float = 0.0
    period_s: float = DAY_S
    progress: Callable[[int, int], None] | None = None
    stop: Callable[[int, Sequence[PromiseVerdict]], bool] | None = None

    def __post_init__(self) -> None:
        if not 0 < self.rate <= 1000:
            raise BadInput(f"a rate of x{self.rate:g} is not between x0 and x1000 of the planned traffic")
        if not 1 <= self.requests <= 100_000_000:
            raise BadInput(f"{self.requests:,} requests: simulate between 1 and 100,000,000")
        if self.seconds is not None and not 0 < self.seconds <= 1e8:
            raise BadInput(f"{self.seconds:g} s: simulate between 0 and 1e8 s")
        if not 0 <= self.day < 1:
            raise BadInput(f"a daily swing of {self.day:g} is not from 0 to below 1")


def unrecorded_s(plan: Plan) -> float:
    """How long drawn traffic comes before and after what is recorded [s]."""
    return (WARM_UP_STAYS + COOL_DOWN_STAYS) * stay_s(plan)


def replay(plan: Plan, run: Run | None = None, instance: Instance | None = None) -> ReplayReport:
    """Serve requests one by one with the pools of a plan.

    Parameters
    ----------
    instance: the plan's scenario with its names looked up, where that was done already.

    Raises
    ------
    BadInput: a trace that cannot be read, a failure of something that the cluster does not have.
    """
    import simpy

    return _Replay(plan, run or Run(), instance or Instance.of(plan.scenario), simpy.Environment()).report()


class _Replay:
    """One run."""

    def __init__(self, plan: Plan, run: Run, instance: Instance, env: simpy.Environment) -> None:
        self._plan, self._run, self._env = plan, run, env
        self._site = Site(env, plan, instance, run.seed, self._ended)
        self._limits: dict[str, SLO] = {
            c.name: slo for group in instance.groups for slo, c in zip(group.slos, group.classes, strict=True)
        }
        self._by_request = {name: _by_request(slo) for name, slo in self._limits.items()}
        self._meters: dict[str, ClassMeter] = {name: ClassMeter() for name in self._limits}
        self._served: dict[str, list[int]] = defaultdict(lambda: [0, 0])
        self._samples = Samples()
        self._rates = {name: run.rate * plan.prediction.classes[name].requests_per_s for name in self._limits}
        total = math.fsum(self._rates.values())
        drawn = run.trace is None
        stay = stay_s(plan)
        self._from_s = WARM_UP_STAYS * stay if drawn else 0.0
        self._until_s = self._from_s + (run.seconds or run.requests / total) if drawn else math.inf
        self._stop_s = self._until_s + COOL_DOWN_STAYS * stay
        self._expected = round(total * self._stop_s) if drawn else run.requests
        for failure in run.failures:
            replicas_hit(plan, instance.cluster, failure.vertex)

    def report(self) -> ReplayReport:
        """Run to the last request, and tell."""
        env, run = self._env, self._run
        env.process(self._arrivals())
        env.process(self._look())
        for failure in run.failures:
            env.process(self._failure(failure))
        self._record(self._from_s == 0.0)
        env.run()
        return self._told()

    def _arrivals(self) -> Generator[Any, Any, None]:
        env, progress, stop = self._env, self._run.progress, self._run.stop
        for number, arrival in enumerate(self._traffic()):
            if arrival.time_s > env.now:
                yield env.timeout(arrival.time_s - env.now)
            self._site.arrive(arrival)
            if progress is not None and number % PROGRESS_EVERY == 0:
                progress(number, max(self._expected, number))
            if stop is not None and number % STOP_EVERY == 0 and env.now < self._until_s < math.inf:
                recorded_so_far = sum(len(meter.ttft) for meter in self._meters.values())
                if stop(recorded_so_far, tuple(self._verdicts(list(self._limits)))):
                    self._end()
        if math.isinf(self._until_s):
            self._until_s = env.now
            self._record(False)

    def _end(self) -> None:
        """Record nothing more; traffic goes on until what was recorded has left."""
        self._record(False)
        self._stop_s -= self._until_s - self._env.now
        self._until_s = self._env.now

    def _traffic(self) -> Iterable[Arrival]:
        run, classes = self._run, self._plan.scenario.traffic.classes
        if run.trace is None:
            drawn = Stochastic(classes, self._rates, run.seed, run.day, run.period_s)
            return takewhile(lambda arrival: arrival.time_s < self._stop_s, drawn)
        from solver.traces import Reading

        read = recorded(run.trace, run.reading or Reading(), classes, run.seed, run.rate)
        limit = run.seconds or math.inf
        return islice(takewhile(lambda arrival: arrival.time_s < limit, read), run.requests)

    def _look(self) -> Generator[Any, Any, None]:
        """Look at the pools now and then, and start and stop recording."""
        env, samples = self._env, self._samples
        end = self._stop_s if math.isfinite(self._stop_s) else (self._run.seconds or 3600.0)
        every = max(end / SAMPLES, 1e-3)
        if self._from_s:
            env.process(self._window())
        for _ in range(SAMPLES):
            yield env.timeout(every)
            samples.time_s.append(env.now)
            for name, pool in self._site.pools.items():
                samples.waiting[name].append(pool.waiting + len(pool.parked))
                samples.running[name].append(pool.running)
                samples.stored[name].append(pool.stored)

    def _window(self) -> Generator[Any, Any, None]:
        yield self._env.timeout(self._from_s)
        if self._until_s <= self._from_s:
            return
        self._record(True)
        yield self._env.timeout(self._until_s - self._from_s)
        self._record(False)

    def _record(self, on: bool) -> None:
        for pool in self._site.pools.values():
            pool.meter.recording = on

    def _failure(self, failure: Failure) -> Generator[Any, Any, None]:
        yield self._env.timeout(failure.at_s)
        self._site.fail(failure.vertex, failure.recover_s)

    def _ended(self, request: ServedRequest) -> None:
        name, arrival = request.arrival.class_name, request.arrival
        if self._from_s <= self._env.now <= self._until_s:
            served = self._served[name]
            served[0] += 1
            served[1] += arrival.output_tokens
        if self._from_s <= arrival.time_s <= self._until_s:
            self._meters[name].finished(request, *self._by_request[name])

    def _told(self) -> ReplayReport:
        site, run, plan = self._site, self._run, self._plan
        ledger = site.ledger
        seconds = max(self._until_s - self._from_s, 1e-9)
        names = [c.name for c in plan.scenario.traffic.classes]
        whole = ClassMeter()
        for name in names:
            meter = self._meters[name]
            whole.ttft.extend(meter.ttft)
            whole.wait.extend(meter.wait)
            whole.tpot.extend(meter.tpot)
            whole.e2e.extend(meter.e2e)
            whole.kept += meter.kept
        served = [sum(self._served[name][i] for name in names) for i in (0, 1)]
        return ReplayReport(
            seed=run.seed,
            rate=run.rate,
            seconds=seconds,
            warm_up_s=self._from_s,
            arrived=ledger.arrived,
            finished=ledger.finished,
            refused=ledger.refused,
            under_way=ledger.under_way,
            requeued=ledger.requeued,
            tiers=dict(ledger.tiers),
            overall=self._figures(whole, served, seconds, self._decoding(names)),
            classes={
                name: self._figures(self._meters[name], self._served[name], seconds, self._decoding([name]))
                for name in names
            },
            pools=tuple(self._pool(name, seconds) for name in site.pools),
            verdicts=tuple(self._verdicts(names)),
            predicted=predicted(plan.prediction, plan.prediction.classes),
            samples=self._samples,
            distributions={
                name: {"ttft": percentiles(self._meters[name].ttft), "tpot": percentiles(self._meters[name].tpot)}
                for name in names
            },
        )

    def _decoding(self, names: Iterable[str]) -> list[PoolMeter]:
        """The meters of the pools that decode for some classes."""
        routes = (self._plan.routing[name] for name in names)
        pools = {pool for route in routes for pool in route.get("decode") or route.get("unified") or {}}
        return [self._site.pools[pool].meter for pool in sorted(pools)]

    def _figures(self, meter: ClassMeter, served: list[int], seconds: float, decoding: list[PoolMeter]) -> Figures:
        tokens = served[1] / seconds
        values = {"ttft": meter.ttft, "tpot": meter.tpot, "e2e": meter.e2e}
        return Figures(
            requests=len(meter.ttft),
            **{
                m.field: gap(decoding, m.share) if m.quantity == "itl" else statistic(values[m.quantity], m.share)
                for m in MEASURES
            },
            **{f"wait_p{q}_s": statistic(meter.wait, q / 100) for q in (50, 95)},
            output_tokens_per_s=tokens,
            output_tokens_per_s_per_device=tokens / self._plan.devices,
            requests_per_s=served[0] / seconds,
            goodput_requests_per_s=meter.kept / seconds,
        )

    def _pool(self, name: str, seconds: float) -> PoolFigures:
        pool = self._site.pools[name]
        meter = pool.meter
        busy = max(meter.busy_s, 1e-12)
        return PoolFigures(
            name=name,
            role=pool.pool.role,
            utilisation=meter.busy_s / (seconds * len(pool.trains)),
            batches={size: time / busy for size, time in sorted(meter.batches.items())},
            itl_p95_s=gap([meter], 0.95) if pool.pool.role != "prefill" else 0.0,
            kv_fullest=meter.fullest_bytes / pool.room.bytes,
            preempted=meter.preempted,
        )

    def _verdicts(self, names: list[str]) -> Iterable[PromiseVerdict]:
        for name in names:
            meter = self._meters[name]
            for measure, limit in self._limits[name].promised:
                if measure.quantity == "itl":
                    yield PromiseVerdict(name, measure, limit, gap(self._decoding([name]), measure.share), 0.0)
                    continue
                values = {"ttft": meter.ttft, "tpot": meter.tpot, "e2e": meter.e2e}[measure.quantity]
                if len(values):
                    seen, half = statistic(values, measure.share), margin(values, measure.share)
                    yield PromiseVerdict(name, measure, limit, seen, half)


def _by_request(slo: SLO) -> tuple[float, float, float]:
    """What TTFT, TPOT and end-to-end latency of a single request may be if it is to count as kept: the loosest limit on any
    statistic of each [s]; infinite where nothing was promised."""
    first, each, whole = (
        max((limit for measure, limit in slo.promised if measure.quantity == quantity), default=math.inf)
        for quantity in ("ttft", "tpot", "e2e")
    )
    return first, each, whole
