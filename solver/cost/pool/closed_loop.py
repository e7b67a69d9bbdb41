"""Closed loops: so many requests are always in flight, as load generators and benchmarks keep them.

By Little's law concurrency, latency and rate determine each other: a request that ends makes room for the next, whose
prompt costs every running sequence a stall.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.pool.queueing import crowdedness
from solver.cost.steps.timing import Timing

Floats = NDArray[np.float64]

#: Rounds of the fixed point between batch and latency; six change no figure by more than 0.1 %.
ROUNDS = 6
#: Sequences of the largest batch that engines capture as a graph unless told otherwise.
LARGEST_CAPTURED = 512


def padded(batch: Floats) -> Floats:
    """The captured size that runs a batch: 1, 2, 4, multiples of 8 to 256 and of 16 to 512; larger ones run as they are.

    vLLM, SGLang and TensorRT-LLM capture these and a few between (vllm/config/compilation.py; SGLang's model runner).

    >>> padded(np.array([1.0, 3, 9, 300, 700])).tolist()
    [1.0, 4.0, 16.0, 304.0, 700.0]
    """
    small = np.exp2(np.ceil(np.log2(np.maximum(batch, 1.0))))
    return np.select(
        [batch <= 8, batch <= 256, batch <= LARGEST_CAPTURED], [small, np.ceil(batch / 8) * 8, np.ceil(batch / 16) * 16], batch
    )


@dataclass(frozen=True)
class ClosedLoop:
    """Mean latencies of every row (R,).

    Attributes
    ----------
    tpot_s: time per output token after the first; ttft_s: time to the first token, the wait for room included.
    ttft_p50_s: its median, for a request that finds no others ahead but those without room.
    batch: running sequences of a rank.
    step_s: one step without a prompt in it.
    waiting: requests of a rank that find no room.
    """

    tpot_s: Floats
    ttft_s: Floats
    ttft_p50_s: Floats
    batch: Floats
    step_s: Floats
    waiting: Floats

    def output_tokens_per_s(self, concurrency: Floats, output: Floats) -> Floats:
        """Output tokens/s of the replica by Little's law: concurrency / (TPOT + TTFT / output)."""
        return concurrency / (self.tpot_s + self.ttft_s / output)


def closed_loop(
    pool: Timing,
    concurrency: Floats,
    prompt: Floats,
    output: Floats,
    burst: Floats | float = 0.0,
    rounds: int = ROUNDS,
    *,
    most: Floats | float = math.inf,
    poll_steps: Floats | float = 1.0,
) -> ClosedLoop:
    """Latencies of a unified replica that always has ``concurrency`` requests in flight.

    TPOT = t + (c - 1) w / output with c requests on a rank and w what a prompt costs the others; the batch is the share of
    the requests that are past their prefill. Prompts that come within a step, or until the scheduler next looks for new ones,
    share one, as far as the chunk has room.
    Requests of equal length that were started together end together, so that a prompt finds a share of the others
    (``clumping``) ahead of it in the queue, in chunks that they fill. What a rank has no room for waits until others have
    ended.

    Parameters
    ----------
    concurrency: requests in flight on the replica (R,).
    prompt, output: tokens of a request (R,).
    burst: 1 where all requests were started at once and none replaced those that ended.
    most: requests that a rank may hold, by its KV cache and the engine's limit (R,).
    poll_steps: decode steps from one look for new requests to the next (SGLang's ``--scheduler-recv-interval``) (R,).
    """
    cal = pool.speeds
    per_rank = concurrency / pool.work.dp
    held = np.minimum(per_rank, most)
    context = prompt + output / 2
    batch, together, unseen = held, np.ones_like(per_rank), np.zeros_like(per_rank)
    for _ in range(rounds):
        running = np.maximum(batch, 1.0)
        # Every micro-batch of a pipeline is padded to the next captured size.
        step = pool.decode_s(padded(running / pool.work.pp) * pool.work.pp, context)
        latency, occupied, chunks = pool.prompt_s(prompt, 0.0, running, context, prompts_per_step=together)
        # w: what a prompt takes beyond the steps that would have run anyway, shared by those in them.
        beyond = np.maximum(occupied - chunks * pool.hidden_s(step), 0.0)
        stall = cal.prefill_share * beyond / together
        others = np.clip(held - 1, 0.0, None) * pool.work.dp**cal.lockstep
        tpot = step + others * stall / output
        # Of a request's life, output x TPOT is decode and the rest prefill; the batch is that share of those held.
        stay = output * tpot + latency
        batch = held * output * tpot / stay
        # Prompts that come while a step with prompts runs, or before the scheduler looks again, board the next one together.
        unseen = (np.asarray(poll_steps, float) - 1) * tpot * pool.accepted
        together = np.clip(held / stay * (occupied + unseen), 1.0, np.maximum(pool.chunk_tokens / prompt, 1.0))
    clumping = np.where(np.asarray(burst) > 0, cal.burst_clumping, cal.clumping)
    # Half of what passes until the prompt is seen and may board, then its own prefill after those of the prompts ahead of it.
    # Pipelines are not kept full by them: two stages under vLLM serve 0.70 of what two shards do (gpustack, gpt-oss-120b).
    each = np.where(pool.work.pp > 1, latency / together, pool.packed_s(prompt, 0.0)[1])
    ahead = clumping * np.maximum(held - 1, 0.0) * each
    others = np.maximum(held * pool.work.dp - 1, 0.0)
    felt = crowdedness(others)
    boarded = cal.server_s + np.minimum(others, 1.0) * (step + unseen) / 2 + cal.admission_steps * felt * step
    own = (1 + (cal.first_token - 1) * felt) * latency
    # The mean holds the crowd at the start of a run, a tenth of the requests of most benchmarks; the median does not.
    ttft = boarded + cal.admission_s * felt + own + ahead
    middle = np.where(np.asarray(burst) > 0, ttft, boarded + own)
    # Little's law outside the door: those without room over the rate at which room becomes free.
    waiting = per_rank - held
    wait = waiting / held * (output * tpot + ttft)
    return ClosedLoop(tpot, ttft + wait, middle + wait, batch, step, waiting)


@dataclass(frozen=True)
class PrefillLoop:
    """Figures of every row (R,).

    Attributes
    ----------
    ttft_s: from arrival to the first token, the wait included.
    prompts_per_s: of the replica. step_s: one packed step. batch: prompts in a step of a rank that has any.
    busy: share of the time that a rank prefills. waiting: prompts of a rank that find no room.
    """

    ttft_s: Floats
    prompts_per_s: Floats
    step_s: Floats
    batch: Floats
    busy: Floats
    waiting: Floats


def prefill_loop(
    pool: Timing, concurrency: Floats, prompt: Floats, *, most: Floats | float = math.inf
) -> PrefillLoop:
    """Throughput and first tokens of a prefill replica that always has ``concurrency`` prompts in flight.

    A step of a rank takes as many of its prompts as the chunk has room for, k. The rate of a rank is bounded by its
    slowest stage, k / occupied, and by Little's law, prompts in flight over the time of one.

    Parameters
    ----------
    concurrency: prompts in flight on the replica (R,). prompt: tokens of each (R,). most: as :func:`closed_loop` has it.
    """
    cal = pool.speeds
    # Fewer prompts than attention ranks leave some ranks without; their steps are short, but taken all the same.
    ranks = np.minimum(pool.work.dp, np.maximum(concurrency, 1.0))
    company = np.where(pool.work.dp > 1, (ranks - 1) / np.maximum(pool.work.dp - 1, 1), 0.0)
    per_rank = concurrency / ranks
    held = np.minimum(per_rank, most)
    # A pipeline divides what is in flight over its stages' micro-batches.
    together = np.clip(held / pool.work.pp, 1.0, np.maximum(np.floor(pool.chunk_tokens / prompt), 1.0))
    latency, occupied, steps = pool.prompt_s(prompt, 0.0, company=company, prompts_per_step=together)
    own = cal.admitted_s() + cal.first_token * latency
    rate = np.minimum(held / own, together / occupied)
    return PrefillLoop(
        ttft_s=np.maximum(per_rank / rate, own),
        prompts_per_s=rate * ranks,
        step_s=occupied / np.maximum(steps, 1.0),
        batch=together,
        busy=np.minimum(rate * occupied / together, 1.0),
        waiting=per_rank - held,
    )
