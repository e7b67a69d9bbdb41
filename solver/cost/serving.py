"""From steps to promises: what a pool of replicas serves, and how fast, in each role.

A pool is ``replicas`` copies (R,) of each row's shape behind one router. Each ``*_at`` function prices one operating
point; each ``most_*`` function finds the largest one that keeps a promise. Latencies are per class (R, C).

Decode and unified pools are trains: a step leaves when the last one has arrived, and carries everybody who is ready.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.mix import Mix
from solver.cost.queueing import (
    AVERAGED,
    FULL,
    mean_for_occupancy,
    normal_quantile,
    occupancy_quantile,
    residual_quantile,
    wait,
)
from solver.cost.replicas import Replicas
from solver.cost.search import largest

Floats = NDArray[np.float64]

#: Below this utilisation a promise is treated as broken: nobody rents a replica to serve so little.
LEAST_UTILISATION = 1e-3
#: A queue this full has no stable wait worth promising.
MOST_UTILISATION = 0.98


@dataclass(frozen=True)
class Promise:
    """Limits on the 95th percentile [s]; infinite where nothing was promised. Scalars."""

    ttft: float = np.inf
    tpot: float = np.inf
    itl: float = np.inf
    e2e: float = np.inf


@dataclass(frozen=True)
class Service:
    """One operating point of every row.

    Attributes
    ----------
    requests_per_s: what one replica serves (R,).
    batch: mean running sequences (decode, unified) or prompts in service (prefill) on a rank (R,).
    full_batch: sequences on a rank that are exceeded 1 % of the time (R,).
    step_s: mean step (R,).
    utilisation: share of the time that the bottleneck is busy (R,).
    ttft_p50, ttft_p95, tpot_p50, tpot_p95, itl_p95: latencies per class (R, C) [s]; 0 where the role has no part in
    them.
    """

    requests_per_s: Floats
    batch: Floats
    full_batch: Floats
    step_s: Floats
    utilisation: Floats
    ttft_p50: Floats
    ttft_p95: Floats
    tpot_p50: Floats
    tpot_p95: Floats
    itl_p95: Floats

    def rows(self, index: Any) -> Service:
        """Some of the rows."""
        return Service(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    def excess(self, promise: Promise, mix: Mix) -> Floats:
        """How far the worst class overshoots the tightest promise: latency / limit - 1, at most 0 if all are kept (R,)."""
        e2e = self.ttft_p95 + np.maximum(mix.output - 1, 0) * self.tpot_p95
        pairs = (
            (self.ttft_p95, promise.ttft),
            (self.tpot_p95, promise.tpot),
            (self.itl_p95, promise.itl),
            (e2e, promise.e2e),
        )
        worst = np.full(len(self.batch), -1.0)
        for latency, limit in pairs:
            if np.isfinite(limit):
                worst = np.maximum(worst, latency.max(axis=1) / limit - 1)
        return worst


def decode_at(pool: Replicas, replicas: Floats, mix: Mix, batch: Floats) -> Service:
    """Decode pool whose ranks run ``batch`` sequences on average.

    TPOT is the step at the batch a request feels: the pool's total fluctuates as a Poisson number, averaged over its
    stay.
    """
    ranks = replicas * pool.work.dp
    felt = _felt(pool, batch)
    typical = pool.decode_s(felt, mix.context)
    slow = typical + _crowding(pool, ranks, mix, batch, felt, typical, 0.95)
    zero = np.zeros((len(pool), len(mix.share)))
    return Service(
        requests_per_s=batch * pool.work.dp / (mix.mean_output * typical),
        batch=batch,
        full_batch=occupancy_quantile(batch, ranks, FULL),
        step_s=typical,
        utilisation=np.minimum(batch, 1.0),
        ttft_p50=zero,
        ttft_p95=zero,
        tpot_p50=zero + typical[:, None],
        tpot_p95=zero + slow[:, None],
        itl_p95=zero + pool.decode_s(np.maximum(occupancy_quantile(batch, ranks, 0.95), 1.0), mix.context)[:, None],
    )


def prefill_at(
    pool: Replicas, replicas: Floats, mix: Mix, utilisation: Floats, together: Floats | float = 1.0
) -> Service:
    """Prefill pool whose ranks are busy for a share ``utilisation`` of the time.

    One queue in front of all ranks; each prefills ``together`` prompts at a time. Data-parallel ranks step together, so
    a prompt also waits for the step that the others are in. The first token is out when the KV cache has reached a
    decode replica.
    """
    latency, occupied, steps = _per_class(pool, mix, company=utilisation, together=together)
    transfer = np.stack([pool.transfer_s(float(tokens)) for tokens in mix.prompt + mix.cached], axis=1)
    service = mix.mean(occupied)
    squared = mix.mean(occupied**2 * (1 + mix.prompt_cv2))
    servers = replicas * pool.work.dp
    batches = utilisation * servers / service
    shared = np.where(pool.work.dp > 1, 1 - (1 - utilisation) ** pool.work.dp, 0.0)
    headway = mix.mean(occupied / np.maximum(steps, 1))

    queue = wait(servers, batches, service, squared, mix.burstiness)

    def ttft(quantile: float) -> Floats:
        waited = queue.behind_router(quantile) + residual_quantile(headway, shared, quantile)
        return _first_token(pool, mix, latency, quantile) + waited[:, None] + transfer

    zero = np.zeros_like(latency)
    return Service(
        requests_per_s=batches * together / replicas,
        batch=utilisation * together,
        full_batch=np.ones_like(utilisation),
        step_s=headway,
        utilisation=utilisation,
        ttft_p50=ttft(0.5),
        ttft_p95=ttft(0.95),
        tpot_p50=zero,
        tpot_p95=zero,
        itl_p95=zero,
    )


def unified_at(pool: Replicas, replicas: Floats, mix: Mix, batch: Floats) -> Service:
    """Unified pool whose ranks run ``batch`` sequences on average, prompts chunked in between.

    Every prompt costs all running sequences w = chunks x (step with the chunk - step without). With arrivals lambda per rank
    a request of ``out`` tokens takes ``out TPOT = out t + lambda out TPOT w``, and ``batch = lambda out TPOT`` by Little, so
    TPOT = t + batch w / out.
    """
    speeds, dp = pool.speeds, pool.work.dp
    felt = _felt(pool, batch)
    step = pool.decode_s(felt, mix.context)
    round_s = step * pool.accepted
    queue_share = np.zeros_like(batch)
    for _ in range(2):
        latency, occupied, steps = _per_class(pool, mix, felt, company=queue_share)
        stalls = (
            speeds.prefill_share[:, None]
            * np.maximum(occupied - steps * (round_s / pool.work.pp)[:, None], 0.0)
            * dp[:, None] ** speeds.lockstep[:, None]
        )
        tpot = step + batch * mix.mean(stalls) / mix.mean_output
        arrivals = batch / (mix.mean_output * tpot)
        queue_share = np.minimum(arrivals * mix.mean(occupied), 1.0)
    service, squared = mix.mean(occupied), mix.mean(occupied**2 * (1 + mix.prompt_cv2))
    ranks = replicas * dp

    def tpot_quantile(quantile: float) -> Floats:
        crowd = _crowding(pool, ranks, mix, batch, felt, step, quantile)
        admitted = (arrivals * dp**speeds.lockstep)[:, None] * mix.output * tpot[:, None]
        scatter: Floats = np.sqrt(admitted * mix.mean(stalls**2)[:, None]) / mix.output
        above: Floats = np.hypot(crowd[:, None], normal_quantile(quantile) * scatter) * (quantile > 0.5)
        return tpot[:, None] + above

    queue = wait(ranks, arrivals * ranks, service, squared, mix.burstiness)

    def ttft(quantile: float) -> Floats:
        waited = queue.behind_router(quantile) + residual_quantile(step, np.minimum(batch * dp, 1.0), quantile)
        boarding = waited + speeds.admission_steps * step
        return _first_token(pool, mix, latency, quantile) + boarding[:, None]

    chunked = (queue_share * dp > 0.05)[:, None]
    return Service(
        requests_per_s=arrivals * dp,
        batch=batch,
        full_batch=occupancy_quantile(batch, ranks, FULL),
        step_s=step,
        utilisation=queue_share,
        ttft_p50=ttft(0.5),
        ttft_p95=ttft(0.95),
        tpot_p50=tpot_quantile(0.5),
        tpot_p95=tpot_quantile(0.95),
        itl_p95=np.where(chunked, occupied / np.maximum(steps, 1), step[:, None]),
    )


def most_decode(pool: Replicas, replicas: Floats, mix: Mix, promise: Promise, limit: Floats) -> Service:
    """Largest decode batch that keeps the promise while ``limit`` sequences fit on a rank; batch 0 where none does."""
    top = mean_for_occupancy(limit, replicas * pool.work.dp, FULL)
    batch = largest(lambda b: decode_at(pool, replicas, mix, b).excess(promise, mix), _least_batch(pool), top)
    return decode_at(pool, replicas, mix, batch)


def most_prefill(
    pool: Replicas, replicas: Floats, mix: Mix, promise: Promise, together: Floats | float = 1.0
) -> Service:
    """Highest prefill utilisation that keeps the promise; 0 where none does."""
    least = np.full(len(pool), LEAST_UTILISATION)
    top = np.full(len(pool), MOST_UTILISATION)
    busy = largest(lambda u: prefill_at(pool, replicas, mix, u, together).excess(promise, mix), least, top)
    return prefill_at(pool, replicas, mix, busy, together)


def most_unified(pool: Replicas, replicas: Floats, mix: Mix, promise: Promise, limit: Floats) -> Service:
    """Largest unified batch that keeps the promise while ``limit`` sequences fit on a rank; 0 where none does."""
    top = mean_for_occupancy(limit, replicas * pool.work.dp, FULL)

    def excess(batch: Floats) -> Floats:
        service = unified_at(pool, replicas, mix, batch)
        return np.maximum(service.excess(promise, mix), service.utilisation / MOST_UTILISATION - 1)

    return unified_at(pool, replicas, mix, largest(excess, _least_batch(pool), top))


def sequences_that_fit(pool: Replicas, mix: Mix) -> Floats:
    """Most sequences of the mix that a rank's KV cache holds 99 % of the time (R,)."""
    mean = pool.ledger.kv_bytes(np.full(len(pool), mix.context))
    spread = pool.ledger.kv_bytes(np.full(len(pool), mix.context + mix.context_deviation)) - mean
    return pool.ledger.sequences(mean, spread, normal_quantile(FULL))


def _felt(pool: Replicas, batch: Floats) -> Floats:
    """Sequences on the fullest rank of a replica, which sets its pace: whole sequences cannot be levelled exactly."""
    return np.maximum(batch + 0.5 * (1 - 1 / pool.work.dp), 1.0)


def _crowding(
    pool: Replicas, ranks: Floats, mix: Mix, batch: Floats, felt: Floats, typical: Floats, quantile: float
) -> Floats:
    """How much longer than typical a step takes when the pool is as crowded as that quantile says (R,) [s].

    A slower step keeps sequences longer, which fills the batch further: where the step grows as batch^e, the variance of
    the batch is that of independent stays over 1 - e (birth and death, linearised). Bursts multiply it.
    """
    crowd = np.maximum(occupancy_quantile(batch, ranks, quantile, AVERAGED * np.sqrt(mix.burstiness)), 1.0)
    slow = pool.decode_s(crowd, mix.context)
    growth = np.log(np.maximum(slow / typical, 1.0)) / np.log(np.maximum(crowd / felt, 1 + 1e-9))
    return (slow - typical) / np.sqrt(1 - np.clip(growth, 0.0, 0.9))


def _least_batch(pool: Replicas) -> Floats:
    """The smallest batch worth asking about: one sequence on the whole replica, a thousandth of the time."""
    return LEAST_UTILISATION / pool.work.dp


def _first_token(pool: Replicas, mix: Mix, latency: Floats, quantile: float) -> Floats:
    """From admission to the first token of a prompt that waits for nobody, at that quantile of its length (R, C)."""
    longer = 1 + normal_quantile(quantile) * np.sqrt(mix.prompt_cv2) if quantile > 0.5 else np.ones_like(mix.share)
    speeds = pool.speeds
    return speeds.admission_s[:, None] + speeds.first_token[:, None] * latency * longer


def _per_class(
    pool: Replicas, mix: Mix, batch: Floats | float = 0.0, company: Floats | float = 1.0, together: Floats | float = 1.0
) -> tuple[Floats, Floats, Floats]:
    """Prefill latency, occupied time and number of steps of each class (R, C)."""
    columns = [
        pool.prompt_s(p, c, batch, mix.context, company, together) for p, c in zip(mix.prompt, mix.cached, strict=True)
    ]
    latency, occupied, steps = (np.stack(part, axis=1) for part in zip(*columns, strict=True))
    return latency, occupied, steps
