"""Closed loops: so many requests are always in flight, as load generators and benchmarks keep them.

By Little's law concurrency, latency and rate determine each other: a request that ends makes room for the next, whose
prompt costs every running sequence a stall.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.steps.timing import Timing

Floats = NDArray[np.float64]

#: Rounds of the fixed point between batch and latency; six change no figure by more than 0.1 %.
ROUNDS = 6


@dataclass(frozen=True)
class ClosedLoop:
    """Mean latencies of every row (R,).

    Attributes
    ----------
    tpot_s: time per output token after the first; ttft_s: time to the first token.
    batch: running sequences of a rank.
    step_s: one step without a prompt in it.
    """

    tpot_s: Floats
    ttft_s: Floats
    batch: Floats
    step_s: Floats

    def output_tokens_per_s(self, concurrency: Floats, output: Floats) -> Floats:
        """Output tokens/s of the replica by Little's law: concurrency / (TPOT + TTFT / output)."""
        return concurrency / (self.tpot_s + self.ttft_s / output)


def closed_loop(
    pool: Timing, concurrency: Floats, prompt: Floats, output: Floats, burst: Floats | float = 0.0, rounds: int = ROUNDS
) -> ClosedLoop:
    """Latencies of a unified replica that always has ``concurrency`` requests in flight.

    TPOT = t + (c - 1) w / output with c requests on a rank and w what a prompt costs the others; the batch is the share of
    the requests that are past their prefill. Requests of equal length that were started together end together, so that a
    prompt finds a share of the others (``clumping``) ahead of it in the queue.

    Parameters
    ----------
    concurrency: requests in flight on the replica (R,).
    prompt, output: tokens of a request (R,).
    burst: 1 where all requests were started at once and none replaced those that ended.
    """
    cal = pool.speeds
    per_rank = concurrency / pool.work.dp
    context = prompt + output / 2
    batch = per_rank
    for _ in range(rounds):
        running = np.maximum(batch, 1.0)
        step = pool.decode_s(running, context)
        latency, occupied, chunks = pool.prompt_s(prompt, 0.0, running, context)
        # w: what a prompt takes beyond the steps that would have run anyway.
        stall = cal.prefill_share * np.maximum(occupied - chunks * step * pool.accepted / pool.work.pp, 0.0)
        others = np.clip(per_rank - 1, 0.0, None) * pool.work.dp**cal.lockstep
        tpot = step + others * stall / output
        # Of a request's life, output x TPOT is decode and the rest prefill; the batch is that share of those in flight.
        batch = per_rank * output * tpot / (output * tpot + latency)
    clumping = np.where(np.asarray(burst) > 0, cal.burst_clumping, cal.clumping)
    # Half a step until the prompt may board, then its own prefill and those of the prompts ahead of it.
    ahead = 1 + clumping * np.maximum(per_rank - 1, 0.0)
    ttft = cal.admission_s + (0.5 + cal.admission_steps) * step + cal.first_token * latency * ahead
    return ClosedLoop(tpot, ttft, batch, step)
