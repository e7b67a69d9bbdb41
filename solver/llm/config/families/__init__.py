"""The table of architectures: names in a ``config.json`` to the rules that read it."""

from __future__ import annotations

import re

from solver.llm.config.families.dense import DENSE
from solver.llm.config.families.experts import EXPERTS
from solver.llm.config.families.family import Family
from solver.llm.config.families.hybrid import HYBRID
from solver.llm.config.families.latent import LATENT

FAMILIES: dict[str, Family] = dict(sorted((DENSE | EXPERTS | LATENT | HYBRID).items()))
"""Rules by the name of a family, which is the ``model_type`` of its language part."""

_ENDINGS = re.compile(
    r"(forcausallm|forconditionalgeneration|forsequenceclassification|forblockdiffusion|lmheadmodel|chatmodel"
    r"|modelforcausallm|forcausallmv|model|config)$"
)


def plain(name: str) -> str:
    """Return a name without case, separators and the ending of a class.

    >>> plain("DeepseekV4ForCausalLM"), plain("deepseek_v4")
    ('deepseekv4', 'deepseekv4')
    """
    letters = re.sub(r"[^a-z0-9]", "", name[:200].lower())
    return _ENDINGS.sub("", letters) or letters


_BY_NAME = {plain(name): family for family, rules in FAMILIES.items() for name in rules.names}
_BY_NAME |= {plain(family): family for family in FAMILIES}


def family_of(name: str) -> str | None:
    """Return the family that a ``model_type`` or a class name means; None where none is known."""
    letters = plain(name)
    return next((_BY_NAME[n] for n in (letters, letters.removesuffix("text")) if n in _BY_NAME), None)


__all__ = ["FAMILIES", "Family", "family_of", "plain"]
