"""How an engine lets requests in: what shares a step with what, and for how much of its cache a request is kept room.

Mixed: the chunks of prompts share steps with the sequences that run (vLLM, TensorRT-LLM's in-flight batching). Prompts first:
they have steps of their own, for which the running sequences wait (SGLang without ``--enable-mixed-chunk``).

Room is kept for all that a request may still generate, so that nobody is ever put out (TensorRT-LLM, GUARANTEED_NO_EVICT),
for a share of it (SGLang's new-token ratio), or for nothing (vLLM, and TensorRT-LLM's MAX_UTILIZATION): who finds the cache
full is then computed again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from solver.replica import Role, Setup


@dataclass(frozen=True)
class EngineScheduler:
    """The scheduler of some versions of an engine, as it is where nothing is told to it.

    Attributes
    ----------
    mixed: whether prompts share steps with running sequences.
    kept_output: of the tokens that a sequence has still to generate, the share for which room is kept when another is let in.
    kept_output_dp: the same under attention data parallelism.
    kept_tokens: tokens for which room is kept beyond what a running sequence has, by role; instead of a share of its output.
    """

    mixed: bool
    kept_output: float
    kept_output_dp: float
    kept_tokens: Mapping[Role, int]
    source: str

    @classmethod
    def read(cls, content: Mapping[str, Any]) -> EngineScheduler:
        """The record of an engine's file."""
        share = content["kept_output"]
        return cls(
            content["mixed"], share, content.get("kept_output_dp", share), content.get("kept_tokens", {}), content["source"]
        )

    def kept(self, setup: Setup) -> tuple[float, float]:
        """Share of a sequence's further output, and tokens besides, for which a replica keeps room; a prompt only passes."""
        if setup.role == "prefill":
            return 0.0, 0.0
        if setup.role in self.kept_tokens:
            return 0.0, float(self.kept_tokens[setup.role])
        return self.kept_output_dp if setup.parallelism.dp > 1 else self.kept_output, 0.0
