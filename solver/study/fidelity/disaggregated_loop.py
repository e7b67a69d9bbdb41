"""Closed loops over a prefill and a decode pool: so many requests are always in flight in the whole deployment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from solver.cost.steps.timing import Timing

Floats = NDArray[np.float64]
_ROUNDS = 30
#: Load of prefill above which its queue is taken as long as there: its rate is not known better than to a tenth.
MOST_LOAD = 0.9


@dataclass(frozen=True)
class DisaggregatedLoop:
    """Mean latencies of every deployment (R,).

    Attributes
    ----------
    tpot_s: time per output token after the first; tpot_p95_s: of the slowest twentieth; ttft_s: time to the first token.
    ttft_p50_s: its median: more than half find prefill free, unless it is the bottleneck.
    prefill_busy: share of the time that prefill ranks are busy.
    """

    tpot_s: Floats
    tpot_p95_s: Floats
    ttft_s: Floats
    ttft_p50_s: Floats
    prefill_busy: Floats


def disaggregated_loop(
    prefill: Timing,
    decode: Timing,
    replicas: tuple[Floats, Floats],
    concurrency: Floats,
    prompt: Floats,
    output: Floats,
    *,
    room: Floats,
    kv_bytes: Floats,
    hop_s: Floats,
) -> DisaggregatedLoop:
    """Latencies of pools that always have ``concurrency`` requests in flight together.

    A prefill rank takes as many prompts into one step as fit into its chunk and wait; a share of the others
    (``clumping``) is ahead of each, and on average those that it finds in service. Where prefill is the bottleneck the queue
    there takes what decode does not hold; where the KV cache of decode ranks is, requests wait for room.

    Parameters
    ----------
    replicas: of prefill and of decode (R,).
    prompt, output: tokens of a request (R,).
    room: requests that a decode rank holds (R,).
    kv_bytes: cache of a prompt; hop_s: latency of sending it (R,).
    """
    speeds = prefill.speeds
    feeders, ranks = replicas[0] * prefill.work.dp, replicas[1] * decode.work.dp
    context = prompt + output / 2
    fit = np.maximum(prefill.chunk_tokens // prompt, 1.0)
    # How many of the other data-parallel ranks have a prompt too.
    company = np.clip((concurrency - 1) / np.maximum(feeders - 1, 1.0), 0.0, 1.0)
    alone, occupied, _ = prefill.prompt_s(prompt, 0.0, company=company)
    # All tensor-parallel ranks of all stages send at once.
    transfer = hop_s + kv_bytes / (prefill.work.tp * prefill.work.pp * speeds.scale_out)
    ahead = speeds.clumping * np.maximum(concurrency / feeders - 1, 0.0)
    together = np.minimum(fit, 1 + ahead)
    batch_s = prefill.prompt_s(prompt, 0.0, prompts_per_step=together)[1]
    base = speeds.admitted_s() + speeds.first_token * alone + ahead / together * batch_s + transfer
    most = fit * feeders / prefill.prompt_s(prompt, 0.0, prompts_per_step=fit)[1]
    # What decode has no room for waits, with its prompt done.
    held = ranks * room
    ttft, running = base, np.minimum(concurrency, held)
    tpot = stay = waited = np.zeros_like(base)
    for _ in range(_ROUNDS):
        tpot = decode.decode_s(np.maximum(running / ranks, 1.0), context)
        stay = output * tpot
        # Pollaczek and Khinchine's wait for steps that take what fits, at ranks served in turn; at most that for all others.
        load = np.minimum(concurrency / (stay + ttft) / most, MOST_LOAD)
        queue = np.minimum(load / (2 * (1 - load)), concurrency / feeders / fit) * fit * feeders / most
        waited = np.maximum(concurrency / most, concurrency * stay / held) - stay
        ttft = np.maximum(base + queue, waited)
        running = (running + np.minimum(concurrency * stay / (stay + ttft), held)) / 2
    crowd = running / ranks + 1.645 * np.sqrt(running / ranks / ranks)
    slow = decode.decode_s(np.maximum(crowd, 1.0), context)
    busy = np.minimum(concurrency / (stay + ttft) / feeders * occupied, 1.0)
    return DisaggregatedLoop(tpot, slow, ttft, np.maximum(base, waited), busy)
