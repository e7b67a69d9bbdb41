"""From steps to promises: what a pool of replicas serves, and how fast, in each role.

A pool is ``replicas`` copies (R,) of each row's shape behind one router. Each ``*_at`` function prices one operating
point; :mod:`solver.cost.pool.most` finds the best one that keeps a promise. Latencies are per class (R, C).

Decode and unified pools are trains: a step leaves when the last one has arrived, and carries everybody who is ready.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.chunks import ChunkedPrompts
from solver.cost.pool.crowd import Crowd, DecodePace, lognormal_statistic
from solver.cost.pool.latency import RequestLatency, nothing
from solver.cost.pool.lockstep import RankGroup
from solver.cost.pool.mix import Mix
from solver.cost.pool.promise import Promise
from solver.cost.pool.prompts import FirstToken
from solver.cost.pool.queueing import FULL, crowdedness, normal_quantile, occupancy_quantile
from solver.cost.pool.waiting import Moments, clump, gather, overflow, wait
from solver.cost.steps.replicas import Replicas

Floats = NDArray[np.float64]

#: Rounds in which load, batch and pace settle on each other.
_ROUNDS = 6
#: Secants along which prefill batches, and how much longer they take for it, settle on each other.
_SECANTS = 3
#: Prompts of mean size that fit into a chunk beside the longer ones, from which on a step takes all that wait; below, they
#: queue. Set in sight of simulated chunks of 1,024 to 8,192 tokens for prompts of 1,000 (coefficient of variation 1).
MANY = 5.0
#: Least share of a rank's time that is left between prompts, for the number that queues.
LEAST_IDLE = 1e-3


@dataclass(frozen=True)
class Stretch:
    """How much longer than predicted pools are taken to be (R,).

    Attributes
    ----------
    time: everything takes so many times as long. first: first tokens so many times as long again.
    """

    time: Floats
    first: Floats

    def rows(self, index: Any) -> Stretch:
        """Some of the rows, by index or mask."""
        return Stretch(self.time[index], self.first[index])


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
    latency: statistics of what requests take, by entry of the mix (R, C) [s].
    first: what the time to first token is made of; None where the role has no part in it, or it was stretched.
    step_tokens: prompt tokens in a step of a rank that has any, on average (prefill) (R,); None for other roles.
    """

    requests_per_s: Floats
    batch: Floats
    full_batch: Floats
    step_s: Floats
    utilisation: Floats
    latency: RequestLatency
    first: FirstToken | None = None
    step_tokens: Floats | None = None

    def stretched(self, by: Stretch) -> Service:
        """The same batches where everything takes longer: time has no other scale in a pool."""
        return replace(
            self,
            requests_per_s=self.requests_per_s / by.time,
            step_s=self.step_s * by.time,
            latency=self.latency.stretched(by.time, by.first),
            first=None,
        )

    def excess(self, promise: Promise, mix: Mix) -> Floats:
        """How far any class overshoots its promise: the largest latency / limit - 1, at most 0 if all are kept (R,)."""
        worst = np.full(len(self.batch), -1.0)
        for measure, limit in promise.limits.items():
            # A limit of each class is one of each of its entries; what has none may take for ever.
            of_entries = np.asarray(limit, float)[list(mix.member)] if np.ndim(limit) else np.asarray(limit, float)
            limited = np.isfinite(of_entries)
            share = np.where(limited, self.latency(measure), 0.0) / np.where(limited, of_entries, 1.0)
            worst = np.maximum(worst, share.max(axis=1) - 1)
        return worst


def decode_at(pool: Replicas, replicas: Floats, mix: Mix, batch: Floats) -> Service:
    """Decode pool whose ranks run ``batch`` sequences on average.

    TPOT is the step at the batch a request feels: the pool's total fluctuates as a Poisson number, averaged over its
    stay.
    """
    ranks = replicas * pool.work.dp
    pace = DecodePace.of(pool, mix, batch)
    typical = pace.step_s
    crowd = Crowd.of(ranks, mix, batch, pace, typical)
    variance = crowd.variance(mix.output, mix.output_cv2, typical)
    entries = len(mix.share)

    def later(share: float | None) -> Floats:
        return lognormal_statistic(typical[:, None], variance, share)

    def gap(share: float | None) -> Floats:
        if share is None:
            return later(None)
        most = occupancy_quantile(batch, ranks / crowd.swings, share)
        return np.repeat(pool.decode_s(np.maximum(most, 1.0), mix.context)[:, None], entries, axis=1)

    return Service(
        requests_per_s=batch * pool.work.dp / (mix.mean_output * typical),
        batch=batch,
        full_batch=occupancy_quantile(batch, ranks / crowd.swings, FULL),
        step_s=typical,
        utilisation=np.minimum(batch, 1.0),
        latency=RequestLatency(nothing(len(pool), entries), later, gap, mix.later_tokens),
    )


def prefill_at(
    pool: Replicas, group: RankGroup, full: Moments, replicas: Floats, mix: Mix, utilisation: Floats
) -> Service:
    """Prefill pool that gets a share ``utilisation`` of the most that it can serve.

    Data-parallel ranks step together, as slowly as the slowest of them: they are one server, which takes a batch, and who comes
    meanwhile boards the next. The first token is out when the KV cache has reached a decode replica.

    Parameters
    ----------
    group: the ranks of every row's replicas, with their prompts priced. full: their services when all take what they can.
    """
    ranks, batch = group.ranks, group.batch
    # Arrivals at a rank: the share of what it serves when every step is full.
    arrivals = utilisation * group.together / full.mean
    servers, beside = replicas * ranks / group.joined, group.beside(utilisation)
    one = np.ones_like(ranks)
    lone = group.lockstep(one, beside)
    first = group.service(lone, one, beside)
    # What each further prompt adds to the results of those in its step.
    other = group.full.moments(group.full.latency - lone.prompts.latency)
    other = other.times(pool.speeds.first_token / np.maximum(batch - 1, 1.0))
    taken = batch
    for _ in range(_SECANTS):
        # Each further prompt lengthens the slowest rank's step less than the one before it: on average over those taken.
        service = group.service(group.lockstep(taken, beside), taken, beside)
        more = (service.mean - first.mean) / np.maximum(taken - 1, 1e-9)
        spread = service.square - service.mean**2
        gathered = gather(
            arrivals * group.joined,
            servers,
            alone=Moments(first.mean, first.mean**2 + spread, first.cube),
            more=more,
            other=other,
            together=batch,
            burstiness=mix.burstiness,
            counted=True,
            near=taken,
        )
        # Half the way: longer secants are less steep, and the next batches smaller.
        taken = (taken + np.clip(gathered.taken, np.minimum(1.01, batch), batch)) / 2
    rarer = overflow(servers, utilisation, batch, full.square / full.mean**2 - 1)
    # Some find their own rank full while others are not: a geometric number of steps more.
    behind = (1 - rarer) * group.left_behind(gathered.taken)
    gathered = replace(
        gathered,
        longer=gathered.longer + behind * gathered.service.mean,
        varied=gathered.varied + behind * (1 + behind) * gathered.service.mean**2,
    )
    # Of those who wait, some wait for whole services after the one under way, and these are full ones.
    whole = full.mean * rarer / (1 - rarer)
    rest = gathered.service.square / (2 * gathered.service.mean)
    queue = wait(
        servers,
        utilisation,
        gathered,
        burstiness=mix.burstiness,
        together=batch,
        # Routers look at ranks: who finds a free one in a replica that is busy boards its next step.
        step=gathered.service.mean / group.steps,
        boards=np.where(ranks > 1, gathered.busy, 0.0),
        reserved=pool.speeds.admitted_s(),
        full=np.where(batch > 1, whole / (rest + whole), np.nan),
    )
    # Passes take as long as those of their slowest rank, on every stage.
    slowed = lone.ranked(group.active(gathered.taken) - 1 + beside) / lone.prompts.occupied
    # The first token is out when the cache has landed: transfers grow with the prompt as prefills do.
    sent = np.stack([pool.landing_s(float(tokens)) for tokens in mix.prompt + mix.cached], axis=1)
    own = _first_token(pool, lone.prompts.latency * slowed) + sent[..., None] * mix.lengths
    first_token = FirstToken(lambda share: own, lone.prompts.share, queue)
    none = nothing(*sent.shape)
    on_a_rank = gathered.taken / group.joined
    return Service(
        requests_per_s=arrivals * ranks,
        batch=gathered.busy * on_a_rank,
        full_batch=np.ones_like(utilisation),
        step_s=gathered.service.mean / group.steps,
        utilisation=utilisation,
        latency=RequestLatency(first_token.each, none, none, mix.later_tokens),
        first=first_token,
        step_tokens=np.maximum(on_a_rank, 1.0) * mix.mean(mix.prompt) / group.steps,
    )


def unified_at(pool: Replicas, replicas: Floats, mix: Mix, batch: Floats) -> Service:
    """Unified pool whose ranks run ``batch`` sequences on average, prompts chunked in between.

    Every prompt costs all running sequences w = chunks x (step with the chunk - step without), more of it in shared
    chunks, where less hides behind the decode step. With arrivals lambda per rank a request of ``out`` tokens takes
    ``out TPOT = out t + lambda out TPOT w``, and ``batch = lambda out TPOT`` by Little, so TPOT = t + batch w / out.
    """
    speeds, dp, pp = pool.speeds, pool.work.dp, pool.work.pp
    ranks = replicas * dp
    pace = DecodePace.of(pool, mix, batch)
    step = pace.step_s
    prompts = ChunkedPrompts.of(pool, mix, pace.felt, step)
    # Ranks in lockstep all wait for the slowest.
    lockstep = dp**speeds.lockstep
    # Prompts that a step takes at once. Where few fit it is a queue whose prompts follow each other through packed chunks.
    most = pool.chunk_tokens * pp / float(mix.mean(mix.prompt))
    fit = pool.chunk_tokens * pp * float(mix.mean(mix.prompt)) / mix.mean_square_prompt
    several = np.clip((fit - 1) / (MANY - 1), 0.0, 1.0)
    together = 1 + np.maximum(most - 1, 0.0) * several
    # The first token comes out of the prompt's last pass; only the others take steps.
    later_tokens = max(mix.mean_output - 1, 1.0)
    company = shared = np.zeros_like(batch)
    taken = np.ones_like(batch)
    # Fixed point of TPOT, arrivals (Little), how often the other ranks prefill in the same step, and how often prompts
    # share chunks.
    for _ in range(_ROUNDS):
        chunks = prompts.at(company)
        tpot = step + batch * lockstep * chunks.mean_stall(shared) / later_tokens
        arrivals = batch / (later_tokens * tpot)
        company = _company(arrivals * chunks.alone.mean(chunks.alone.occupied), replicas, dp, mix.burstiness)
        # Who finds the rank idle takes longer than who queues (Welch 1964).
        lone, queued = chunks.lone(pool.mixed * step, pp), chunks.queued(pool.mixed * step, pp)
        # rho: what arrives over what is served when every chunk is full.
        load = arrivals * queued.mean
        busy = arrivals * lone.mean / (np.maximum(1 - load, 0.0) + arrivals * lone.mean)
        behind = (1 - several) * busy
        more = chunks.alone.moments(chunks.shared_stall)
        gathered = gather(
            arrivals,
            ranks,
            alone=lone.towards(queued, behind),
            more=more.mean,
            other=more.times(speeds.first_token),
            together=together,
            burstiness=mix.burstiness,
            near=taken,
        )
        taken = gathered.taken
        shared = several * (1 - 1 / gathered.taken) + behind

    boarding = speeds.admission_steps * step
    typical = crowdedness(batch * dp)
    reserved = speeds.admitted_s(typical) + boarding * typical
    queue = wait(
        ranks,
        load,
        gathered,
        burstiness=mix.burstiness,
        together=together,
        step=step,
        boards=1 - np.exp(-batch),
        reserved=reserved,
    )
    # The rest of a service under way, and those of the others before it.
    queues = gathered.service.square / (2 * gathered.service.mean) / np.maximum(1 - load, LEAST_IDLE)

    def own(share: float | None) -> Floats:
        # On average it meets what it meets in the middle.
        quantile = 0.5 if share is None else share
        crowd = company + normal_quantile(quantile) * _scatter(company, dp, mix.burstiness)
        latency = prompts.at(np.clip(crowd, 0.0, 1.0)).latency(behind, arrivals, queues)
        felt = crowdedness(np.maximum(occupancy_quantile(batch, ranks / mix.burstiness, quantile), 0.0) * dp)
        return _first_token(pool, latency, felt) + (felt * boarding)[:, None, None]

    first = FirstToken(cache(own), chunks.alone.share, queue)
    crowd = Crowd.of(ranks, mix, batch, pace, tpot, more)
    tpot = tpot * crowd.longer
    arrivals = batch / (later_tokens * tpot)
    variance = crowd.variance(mix.output, mix.output_cv2, tpot)

    # Where running sequences wait, they wait for all prompts that come meanwhile, too.
    met = gathered.taken / np.where(pool.mixed > 0, 1.0, np.maximum(1 - load, LEAST_IDLE))
    # Chunks that come while one token is made, on any of the ranks: the share of the gaps that have one in them.
    stalled = np.minimum(tpot * arrivals * dp * chunks.alone.mean(chunks.gaps) / met, 1.0)

    def later(share: float | None) -> Floats:
        return lognormal_statistic(tpot[:, None], variance, share)

    def gap(share: float | None) -> Floats:
        if share is None:
            return later(None)
        most = occupancy_quantile(batch, ranks / crowd.swings, share)
        plain = pool.decode_s(np.maximum(most, 1.0), mix.context)
        # Of the gaps that a chunk lengthens the longest are asked for, where there are enough of them.
        rare = (1 - share) / np.maximum(stalled, 1e-12)
        most_met = np.where(pool.mixed > 0, together, np.inf)
        longest = chunks.longest(np.minimum(rare, 1.0), met, most_met) + (1 - pool.mixed) * plain
        longest = np.where(rare < 1, longest, plain)
        return np.repeat(np.maximum(longest, plain)[:, None], len(mix.share), axis=1)

    return Service(
        requests_per_s=arrivals * dp,
        batch=batch,
        full_batch=occupancy_quantile(batch, ranks / crowd.swings, FULL),
        step_s=step,
        utilisation=np.minimum(load, 1.0),
        latency=RequestLatency(first.each, later, gap, mix.later_tokens),
        first=first,
    )


def sequences_that_fit(pool: Replicas, mix: Mix) -> Floats:
    """Most sequences of the mix that a rank's KV cache holds 99 % of the time, as its engine lets them in (R,)."""
    return pool.ledger.sequences(*room_of_sequence(pool, mix), normal_quantile(FULL))


def room_of_sequence(pool: Replicas, mix: Mix) -> tuple[Floats, Floats]:
    """Mean and standard deviation of the KV cache that one sequence of the mix takes from others on each stage (R, S)."""
    context, deviation = mix.held(pool.kept_output)
    mean = pool.ledger.kv_bytes(context + pool.kept_tokens)
    return mean, pool.ledger.kv_bytes(context + deviation + pool.kept_tokens) - mean


def _first_token(pool: Replicas, latency: Floats, felt: Floats | float = 1.0) -> Floats:
    """From admission to the first token of a prompt that waits for nobody (R, C, N).

    Parameters
    ----------
    felt: share of what company costs (:func:`solver.cost.pool.queueing.crowdedness`).
    """
    speeds = pool.speeds
    longer = 1 + (speeds.first_token - 1) * felt
    return np.broadcast_to(speeds.admitted_s(felt), longer.shape)[:, None, None] + longer[:, None, None] * latency


def _company(load: Floats, replicas: Floats, dp: Floats, burstiness: float) -> Floats:
    """Share of the other data-parallel ranks that prefill beside a prompt (R,).

    The router sent it to a rank that was free, so all that are busy are others. Bursts bring (v - 1) / 2 more prompts, as
    far as they come while one is prefilled.

    Parameters
    ----------
    load: share of the time that a rank prefills.
    """
    others = np.maximum(dp - 1, 1)
    burst = clump(load * dp * replicas, burstiness) / replicas
    return np.where(dp > 1, np.clip((load * dp + burst) / others, 0.0, 1.0), 0.0)


def _scatter(company: Floats, dp: Floats, burstiness: float) -> Floats:
    """Standard deviation of :func:`_company`: the ranks that prefill are a Poisson number, or a burst's (R,)."""
    return np.sqrt(company * burstiness / np.maximum(dp - 1, 1))
