"""How long the steps of replica shapes take: between two tokens of a sequence, and through a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from solver.cost.steps.speeds import Speeds
from solver.cost.steps.step import Load, StagePlacement, StepTime, step
from solver.cost.steps.work import Work, stack

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Timing:
    """Rows of replica shapes (R,), each at the speed of its device and calibration.

    Attributes
    ----------
    chunk_tokens: most prompt tokens that a step carries on a rank (R,).
    draft_tokens: tokens drafted and verified per step (R,).
    accepted: tokens that such a step yields per sequence, 1 without drafts (R,).
    pace: times that everything takes of what the calibration's numbers say: what runs of one's own showed (R,).
    mixed: 1 where prompts share steps with running sequences, 0 where these wait for steps of their own (R,).
    """

    work: Work
    speeds: Speeds
    group: StagePlacement
    chunk_tokens: Floats
    draft_tokens: Floats
    accepted: Floats
    pace: Floats
    mixed: Floats

    @classmethod
    def stack(cls, parts: Sequence[Timing]) -> Timing:
        """One table from several, whatever their LLMs, devices and calibrations."""
        groups = [part.group for part in parts]
        return Timing(
            stack([part.work for part in parts]),
            Speeds.stack([part.speeds for part in parts], [len(part) for part in parts]),
            StagePlacement(*(np.concatenate([getattr(g, f.name) for g in groups]) for f in fields(StagePlacement))),
            *(
                np.concatenate([getattr(part, name) for part in parts])
                for name in ("chunk_tokens", "draft_tokens", "accepted", "pace", "mixed")
            ),
        )

    def __len__(self) -> int:
        return len(self.work)

    def step(self, load: Load) -> StepTime:
        """One step in which every rank carries ``load`` (a micro-batch, where there are stages)."""
        found = step(self.work, self.speeds, self.group, load)
        return found if np.all(self.pace == 1) else found.times(self.pace)

    def decode_s(self, batch: Floats, context: Floats | float, bounded: bool = True) -> Floats:
        """Seconds between two tokens of a sequence when each rank runs ``batch`` of them, on average over drafts (R,)."""
        return self.round_s(batch, context, bounded) / self.accepted

    def round_s(self, batch: Floats, context: Floats | float, bounded: bool = True) -> Floats:
        """Seconds of one step of every sequence when each rank runs ``batch`` of them, drafting included (R,).

        A pipeline keeps as many micro-batches in flight as it has stages; the slowest stage or the whole way round
        decides. Every draft is one more pass through a draft layer, the head and the sampler.

        Parameters
        ----------
        bounded: with what the heaviest stage of any cut weighs at least, where replicas are priced for a bound.
        """
        running = batch / self.work.pp
        taken = self.step(Load.of(decode=running, context=context, queries=1 + self.draft_tokens))
        slowest = taken.slowest_s if bounded else taken.stage_s.max(axis=-1)
        verified = np.maximum(taken.latency_s, self.work.pp * slowest)
        if not np.any(self.draft_tokens > 0):
            return verified
        alone = self.step(Load.of(decode=running, context=context))
        present = self.work.layers.sum(axis=1) > 0
        layer: Floats = np.where(present, alone.layer_s, 0.0).max(axis=-1)
        return verified + self.draft_tokens * (layer + alone.head_s + self.speeds.step_s * self.pace)

    def prompt_s(
        self,
        prompt: Floats | float,
        cached: Floats | float,
        batch: Floats | float = 0.0,
        context: Floats | float = 0.0,
        company: Floats | float = 1.0,
        prompts_per_step: Floats | float = 1.0,
    ) -> tuple[Floats, Floats, Floats]:
        """Prefill of one prompt in chunks, beside ``batch`` running sequences where the engine mixes them.

        Parameters
        ----------
        prompts_per_step: prompts that share one step; more than one only where they all fit into a chunk.
        prompt, cached: tokens to compute, and tokens already in the cache before them; of several prompts (..., 1).
        batch, context: running sequences of the rank and their mean context.
        company: share of the other data-parallel ranks that prefill in the same step.

        Returns
        -------
        From the first chunk's start to the last chunk's end; time the replica's slowest stage is taken; number of steps
        (each (..., R)). Chunks follow each other through a pipeline's stages.
        """
        prompt, cached = np.broadcast_arrays(np.asarray(prompt, float), np.asarray(cached, float))
        # Chunks that are full, and the rest in a last one.
        whole = np.floor(prompt / self.chunk_tokens)
        rest = prompt - whole * self.chunk_tokens
        running = self._beside(batch)
        before = occupied = np.zeros(len(self))
        final = before
        if np.any(whole > 0):
            # A full chunk attends, on average, to the cache and half of the full chunks.
            full = self._chunk(self.chunk_tokens, cached + whole * self.chunk_tokens / 2, running, context, company)
            occupied = whole * full.slowest_s
            # Chunks follow at the pace of the slowest stage; only the last one's way through all stages counts whole.
            before = np.where(rest > 0, whole, np.maximum(whole - 1, 0)) * full.slowest_s
            final = np.where(whole > 0, full.latency_s, 0.0)
        if np.any(rest > 0):
            last = self._chunk(rest * prompts_per_step, cached + prompt - rest / 2, running, context, company)
            occupied = occupied + np.where(rest > 0, last.slowest_s, 0.0)
            final = np.where(rest > 0, last.latency_s, final)
        latency, occupied, steps = np.broadcast_arrays(before + final, occupied, whole + (rest > 0))
        return latency, occupied, steps

    def packed_s(
        self,
        prompt: Floats | float,
        cached: Floats | float,
        batch: Floats | float = 0.0,
        context: Floats | float = 0.0,
        company: Floats | float = 1.0,
    ) -> tuple[Floats, Floats, Floats]:
        """Prefill of one prompt of many, where every chunk is filled up with the next one's tokens.

        Parameters and results as :meth:`prompt_s` has them, with a part of a step for what does not fill a whole one. Its
        latency begins where the one before it ends, on average half a step before the next.
        """
        prompt, cached = np.broadcast_arrays(np.asarray(prompt, float), np.asarray(cached, float))
        steps = prompt / self.chunk_tokens
        running = self._beside(batch)
        full = self._chunk(self.chunk_tokens, cached + prompt / 2, running, context, company)
        return (steps - 1.0) * full.slowest_s + full.latency_s, steps * full.slowest_s, steps

    def hidden_s(self, step: Floats) -> Floats:
        """What running sequences would have taken of a pass anyway, whose steps take so long a token (R,)."""
        return np.asarray(self.mixed * step * self.accepted / self.work.pp)

    def _beside(self, batch: Floats | float) -> Floats:
        """Running sequences that share a pass with prompts: divided over a pipeline's micro-batches."""
        return np.asarray(self.mixed * np.asarray(batch, float) / self.work.pp)

    def _chunk(
        self, tokens: Floats, keys: Floats, running: Floats, context: Floats | float, company: Floats | float
    ) -> StepTime:
        return self.step(
            Load.of(
                decode=running,
                context=context,
                queries=1 + self.draft_tokens,
                prefill=tokens,
                prefill_keys=keys,
                others=tokens * np.asarray(company, float),
            )
        )
