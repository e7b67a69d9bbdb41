"""Closed loops over a prefill and a decode pool: so many requests are always in flight in the whole deployment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from solver.cost.steps.replicas import Replicas

_ROUNDS = 30


@dataclass(frozen=True)
class DisaggregatedLoop:
    """Mean latencies of a deployment.

    Attributes
    ----------
    tpot_s: time per output token after the first; tpot_p95_s: of the slowest twentieth; ttft_s: time to the first token.
    prefill_busy: share of the time that prefill ranks are busy.
    """

    tpot_s: float
    tpot_p95_s: float
    ttft_s: float
    prefill_busy: float


def disaggregated_loop(
    prefill: Replicas,
    decode: Replicas,
    replicas: tuple[int, int],
    concurrency: float,
    prompt: float,
    output: float,
) -> DisaggregatedLoop:
    """Latencies of pools that always have ``concurrency`` requests in flight together.

    A prefill rank takes as many prompts into one step as fit into its chunk and wait; a share of the others
    (``clumping``) is ahead of each. Where prefill is the bottleneck the queue there takes what decode does not hold; where
    the KV cache of decode ranks is, requests wait for room.

    Parameters
    ----------
    prefill, decode: one row each.
    replicas: of prefill and of decode.
    prompt, output: tokens of a request.
    """
    feeders = replicas[0] * float(prefill.work.dp[0])
    ranks = replicas[1] * float(decode.work.dp[0])
    context = prompt + output / 2
    fit = max(float(prefill.chunk_tokens[0]) // prompt, 1.0)
    alone, occupied, _ = prefill.prompt_s(prompt, 0.0)
    transfer = float(prefill.transfer_s(prompt)[0])
    speeds = prefill.speeds
    ahead = float(speeds.clumping[0]) * max(concurrency / feeders - 1, 0.0)
    together = min(fit, 1 + ahead)
    batch_s = float(prefill.prompt_s(prompt, 0.0, prompts_per_step=together)[1][0])
    waiting = float(speeds.first_token[0] * alone[0]) + ahead / together * batch_s
    base = float(speeds.admission_s[0]) + waiting + transfer
    most = fit * feeders / float(prefill.prompt_s(prompt, 0.0, prompts_per_step=fit)[1][0])
    # What decode has no room for waits, with its prompt done.
    room = ranks * max(float(decode.ledger.requests(np.array([context]))[0]), 1.0)
    ttft, running = base, min(concurrency, room)
    for _ in range(_ROUNDS):
        tpot = float(decode.decode_s(np.array([max(running / ranks, 1.0)]), context)[0])
        stay = output * tpot
        ttft = max(base, concurrency / most - stay, concurrency * stay / room - stay)
        running = (running + min(concurrency * stay / (stay + ttft), room)) / 2
    crowd = running / ranks + 1.645 * np.sqrt(running / ranks / ranks)
    slow = float(decode.decode_s(np.array([max(crowd, 1.0)]), context)[0])
    return DisaggregatedLoop(tpot, slow, ttft, min(concurrency / (stay + ttft) / feeders * float(occupied[0]), 1.0))
