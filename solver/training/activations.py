"""Bytes that a transformer layer keeps for its backward pass, under each activation policy.

For sequence s, micro-batch b, width h and a heads, in fp16 with one-byte dropout masks and scores kept in memory:

===========  ======================================  =================================  ====================
policy       tensor parallel                         tensor and sequence parallel       FLOP of a step
===========  ======================================  =================================  ====================
store        sbh (10 + 24/t + 5as/(ht))              sbh/t (34 + 5as/h)                 1
selective    sbh (10 + 24/t)                         34 sbh/t                           1 + s / (3 (6h + s))
full         2 sbh                                   2 sbh/t                            4/3
reversible   4 sbh for all layers of a stage         4 sbh/t for all layers of a stage  4/3
===========  ======================================  =================================  ====================

Full and reversible recomputation also need one layer's activations while they run. FlashAttention makes `store` cost
what `selective` does; the reversible policy is legal for reversible networks only.

Source: Korthikanti et al., arXiv:2205.05198, equations 1 to 6 and Table 2; Gomez et al., arXiv:1707.04585 (RevNet);
Kitaev et al., arXiv:2001.04451 (Reformer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Policy = Literal["store", "selective", "full", "reversible"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


@dataclass(frozen=True)
class Layer:
    """One layer and what passes through it at once.

    Attributes
    ----------
    width: h. heads: a. sequence: s [tokens]. micro_batch: b [sequences].
    linear: bytes per element of the stream that tensor parallelism divides: queries, keys, values, attention's output and
    the FFN's inner activations. 24 for GPT; more with gates or several experts a token.
    flash: scores are never kept, so that `store` is `selective` and nothing is recomputed for it.

    >>> Layer(12288, 96, 2048, 1).attention_coefficient
    80.0
    """

    width: int
    heads: int
    sequence: int
    micro_batch: int
    linear: float = 24.0
    flash: bool = False

    @property
    def elements(self) -> float:
        """sbh: elements of the residual stream."""
        return float(self.sequence * self.micro_batch * self.width)

    @property
    def attention_coefficient(self) -> float:
        """5as/h: bytes of scores, their softmax and its dropout per element of the stream."""
        return 0.0 if self.flash else 5 * self.heads * self.sequence / self.width

    def stored_bytes(self, policy: Policy, tp: int = 1, sequence_parallel: bool = True) -> float:
        """Bytes that one rank keeps of one layer; 0 for the reversible policy, which keeps none per layer."""
        shared = tp if sequence_parallel else 1
        scores = self.attention_coefficient / tp
        per_element = {
            "store": 10 / shared + self.linear / tp + scores,
            "selective": 10 / shared + self.linear / tp,
            "full": 2 / shared,
            "reversible": 0.0,
        }
        return self.elements * per_element[policy]

    def boundary_bytes(self, tp: int = 1, sequence_parallel: bool = True) -> float:
        """Bytes that a rank keeps of a whole run of reversible layers: both streams at its end."""
        return 2 * self.stored_bytes("full", tp, sequence_parallel)

    def working_bytes(self, policy: Policy, tp: int = 1, sequence_parallel: bool = True) -> float:
        """Bytes needed once, while a layer is recomputed."""
        return self.stored_bytes("store", tp, sequence_parallel) if policy in ("full", "reversible") else 0.0


def stack_bytes(layer: Layer, layers: int, policy: Policy, tp: int = 1, sequence_parallel: bool = True) -> float:
    """Bytes that one rank keeps of a whole stack for one micro-batch."""
    kept = layers * layer.stored_bytes(policy, tp, sequence_parallel)
    boundary = layer.boundary_bytes(tp, sequence_parallel) if policy == "reversible" else 0.0
    return kept + boundary + layer.working_bytes(policy, tp, sequence_parallel)


def flop_ratio(layer: Layer, policy: Policy) -> float:
    """FLOP of a step over those of one that stores everything."""
    if policy == "store":
        return 1.0
    if policy == "selective":
        return 1 + layer.sequence / (3 * (6 * layer.width + layer.sequence))
    return 4 / 3


def layers_in_flight(layers: int, stages: int, stage: int) -> float:
    """Layers' worth of activations on a stage of 1F1B: ``L/p (p - stage)``, all L on the first for any p."""
    return layers / stages * (stages - stage)


def interleaving_factor(stages: int, chunks: int) -> float:
    """How much more the first stage keeps when each device holds several chunks: ``1 + (p-1) / (p v)``."""
    return 1 + (stages - 1) / (stages * chunks)
