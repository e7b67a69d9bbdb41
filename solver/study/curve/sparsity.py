"""LLMs derived from one, with more or fewer experts and the same quality by a published law.

What changes is the number of routed experts and, so that the loss stays, the width of all FFNs: more experts are worth
more dense parameters (Clark et al., arXiv:2202.01169), so each token may meet fewer. Attention and depth stay.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

from solver.economics.scaling.equal_quality import parameters_for
from solver.economics.scaling.routed import S_BASE, RoutedLaw
from solver.errors import BadInput
from solver.llm import FFN, LLM

#: Widths are multiples of this, as tensor cores and shards like them.
WIDTH_STEP = 64


@dataclass(frozen=True)
class Derived:
    """An LLM with another number of experts.

    Attributes
    ----------
    wanted: parameters that a token meets at equal quality by the law; ``llm`` has so many as whole widths allow.
    """

    llm: LLM
    experts: int
    wanted: float


def derived(llm: LLM, experts: int, law: RoutedLaw = S_BASE) -> Derived:
    """An LLM of the same quality with so many routed experts in every layer that has some.

    The law counts expansion: routed over active experts.

    Raises
    ------
    BadInput: a dense LLM, fewer experts than a token visits, or a size beyond the law.
    """
    if not llm.experts:
        raise BadInput(f"curve: {llm.name} has no experts to vary; name an LLM that has, such as deepseek-v3")
    if experts < llm.top_k:
        raise BadInput(f"curve: a token of {llm.name} visits {llm.top_k} experts; {experts} are too few")
    active = float(llm.active_parameters())
    worth = law.effective_parameters(active, llm.experts / llm.top_k)
    wanted = parameters_for(law, worth, experts / llm.top_k)
    ffn = sum(number * layer.ffn.active_parameters for layer, number in llm.layer_kinds)
    scale = 1 + (wanted - active) / ffn
    if scale <= 0:
        raise BadInput(f"curve: {experts} experts would leave nothing of {llm.name}'s FFNs at equal quality")
    layers = tuple(replace(layer, ffn=_resized(layer.ffn, experts, scale)) for layer in llm.layers)
    return Derived(replace(llm, name=f"{llm.name}-{experts}e", title="", layers=layers), experts, wanted)


def _resized(ffn: FFN, experts: int, scale: float) -> FFN:
    def width(own: int) -> int:
        return max(WIDTH_STEP, round(own * scale / WIDTH_STEP) * WIDTH_STEP) if own else 0

    own: dict[str, Any] = {name: width(getattr(ffn, name)) for name in ("width", "expert_width", "shared_width")}
    return replace(ffn, **own, experts=experts if ffn.experts else 0)


def expert_counts(llm: LLM, least: int = 32, most: int = 512) -> list[int]:
    """Powers of two between which an LLM's number of experts is varied."""
    low = max(least, 1 << math.ceil(math.log2(max(llm.top_k, 1))))
    return [1 << power for power in range(round(math.log2(low)), round(math.log2(most)) + 1)]
