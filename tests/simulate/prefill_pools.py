"""Prefill pools by themselves: what ``prefill_at`` predicts, and what the simulation's own router and replicas find."""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import topologies
from solver.cost.calibration import packaged
from solver.cost.network.fleet import fleets
from solver.cost.pool.mix import Mix
from solver.cost.pool.priced import PricedPool
from solver.llm import LLM
from solver.replica import Parallelism, Setup
from solver.simulate.pools import PrefillPool
from solver.simulate.requests import ServedRequest
from solver.simulate.traffic import Stochastic
from solver.workload import RequestClass

#: Requests before figures count, as a share of all.
WARM_UP = 0.1


@cache
def prefill_pool(
    dp: int, pp: int, replicas: int, cv: float, *, chunk: int = 8192, together: int = 1, prompt: int = 2000
) -> tuple[PricedPool, RequestClass]:
    """Replicas of Qwen3-30B-A3B on H100, each of pp stages of dp ranks, and what is sent to them."""
    llm = LLM.from_config("qwen3-30b-a3b-fp8")
    fleet = fleets(topologies.hgx(nodes=max(dp * pp * replicas // 8, 1), device="h100"))[0]
    hosts = max(dp * pp // 8, 1)
    shape = Parallelism(tp=1, dp=dp, ep=dp, pp=pp)
    setup = Setup("prefill", "sglang", shape, hosts, hosts, chunk_tokens=chunk, prompts_per_step=together)
    request = RequestClass("chat", prompt_tokens=prompt, output_tokens=100, requests_per_s=1.0, prompt_cv=cv)
    calibration, _ = packaged("sglang", fleet.device.generation)
    return PricedPool.of(setup, replicas, llm, fleet, calibration, Mix.of([request])), request


def simulated(
    priced: PricedPool, request: RequestClass, requests_per_s: float, count: int, seed: int
) -> tuple[NDArray[np.float64], float]:
    """Times to first token [s] of requests that a pool gets at a rate, and the share of the time that its replicas step."""
    import simpy

    env, setup = simpy.Environment(), priced.setup
    most = int(priced.mix.longest_prompt) + 1
    pool: Any = SimpleNamespace(
        limits=SimpleNamespace(max_sequences=10**9, max_length=most), parallelism=setup.parallelism, name="prefill",
        replicas=priced.count, chunk_tokens=setup.chunk_tokens, prompts_per_step=setup.prompts_per_step,
    )  # fmt: skip
    taken: dict[int, float] = {}
    numbers: dict[ServedRequest, int] = {}
    landing = {tokens: float(priced.replicas.landing_s(float(tokens))[0]) for tokens in range(0, most + 64, 64)}

    def left(pool: PrefillPool, served: ServedRequest, rank: int) -> None:
        taken[numbers[served]] = env.now - served.arrival.time_s + landing[served.compute // 64 * 64]
        pool.release(served, rank)

    work = PrefillPool(env, pool, priced, left)

    def source() -> Any:
        arrivals = iter(Stochastic([request], {request.name: requests_per_s}, seed))
        for number in range(count):
            arrival = next(arrivals)
            yield env.timeout(arrival.time_s - env.now)
            if number == int(WARM_UP * count):
                work.meter.recording, begun[0] = True, env.now
            served = ServedRequest(arrival)
            numbers[served] = number
            work.take(served)
        work.meter.recording, ended[0] = False, env.now

    begun, ended = [0.0], [0.0]
    env.process(source())
    env.run()
    first = np.array([taken[number] for number in range(int(WARM_UP * count), count)])
    return first, work.meter.busy_s / ((ended[0] - begun[0]) * priced.count)
