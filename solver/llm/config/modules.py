"""Names of the linear modules of a checkpoint, and the patterns with which quantisation files mean some of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

from solver.errors import BadInput

MAX_PATTERN = 300
MAX_STARS = 6
"""Most ``*`` and ``+`` in one pattern: matching time grows with their number, and real files use two."""

ATTENTION = {
    "mla": (("q_a_proj", "q_proj"), ("q_b_proj", "q_proj"), ("kv_a_proj_with_mqa",), ("kv_b_proj",)),
    "linear": (("in_proj_qkv", "in_proj_qkvz", "q_proj"), ("in_proj_z", "in_proj_qkvz", "v_proj")),
    "compressed": (("wq_a", "q_a_proj"), ("wq_b", "q_b_proj"), ("wkv", "kv_proj")),
}
GROUPED = (("q_proj", "qkv_proj"), ("k_proj", "qkv_proj"), ("v_proj", "qkv_proj"))
OUTPUT = (("o_proj", "out_proj", "wo_b"),)
MIXERS = ("self_attn", "attn", "attention")
FFN = {
    "dense": ("mlp", "feed_forward"),
    "shared": (
        "mlp.shared_experts",
        "mlp.shared_expert",
        "block_sparse_moe.shared_experts",
        "feed_forward.shared_expert",
        "ffn.shared_experts",
    ),
    "experts": (
        "mlp.experts.0",
        "mlp.experts",
        "block_sparse_moe.experts.0",
        "block_sparse_moe.experts",
        "feed_forward.experts.0",
        "feed_forward.experts",
        "ffn.experts.0",
    ),
}
MATRICES = (("gate_proj", "gate_up_proj", "w1"), ("up_proj", "gate_up_proj", "w3"), ("down_proj", "w2"))


def names(part: str, prefix: str, kind: str, linear_room: str) -> list[list[str]]:
    """Return the matrices of a part in a layer, each by all names that checkpoints use for it.

    Parameters
    ----------
    part: ``attention``, ``attention_output``, ``dense``, ``shared`` or ``experts``.
    prefix: name of the layer.
    kind: kind of attention in this layer.
    linear_room: module that holds linear attention: ``self_attn`` (Kimi) or ``linear_attn`` (Qwen).
    """
    if part in ("attention", "attention_output"):
        matrices = OUTPUT if part == "attention_output" else ATTENTION.get(kind, GROUPED)
        rooms: tuple[str, ...] = (linear_room,) if kind == "linear" else MIXERS
    else:
        matrices, rooms = MATRICES, FFN[part]
    return [[f"{prefix}.{room}.{name}" for room in rooms for name in matrix] for matrix in matrices]


class Patterns:
    """A list of module names, prefixes, globs and ``re:`` expressions.

    A name is meant by a pattern that equals it, is a dotted part of it (``lm_head``, ``self_attn``,
    ``model.layers.0.self_attn``), or matches such a part with ``*``; ``re:`` expressions match from the start.
    """

    def __init__(self, patterns: Iterable[str], where: str) -> None:
        self.plain: set[str] = set()
        expressions: list[str] = []
        for text in dict.fromkeys(patterns):
            if text.startswith("re:"):
                expressions.append(f"(?:{_expression(text[3:].replace('language_model.', ''), text, where)})")
                continue
            cleaned = text.replace("language_model.", "").replace("model.model.", "model.")
            if "*" not in cleaned:
                self.plain.add(cleaned)
                continue
            _bounded(cleaned, text, where)
            parts = [re.escape(part) for part in re.split(r"\*+", cleaned)]
            expressions.append(rf"(?:.*\.)?{'.*'.join(parts)}(?:\..*)?$")
        self.any = re.compile("|".join(expressions)) if expressions else None

    def means(self, name: str) -> bool:
        """Whether one of the patterns means this module."""
        words = name.split(".")
        parts = (".".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))
        return any(part in self.plain for part in parts) or bool(self.any and self.any.match(name))


def _bounded(pattern: str, text: str, where: str) -> None:
    if len(pattern) > MAX_PATTERN or sum(pattern.count(star) for star in "*+") > MAX_STARS:
        raise BadInput(f"{where}: module pattern {text[:40]!r} is too long or has more than {MAX_STARS} wildcards")


def _expression(pattern: str, text: str, where: str) -> str:
    """Check that an expression compiles and that nothing in it repeats a group, which could match forever."""
    _bounded(pattern, text, where)
    if re.search(r"\)[*+?{]|\\\d|\(\?", pattern):
        raise BadInput(f"{where}: module pattern {text[:40]!r} repeats a group; only simple expressions are read")
    try:
        re.compile(pattern)
    except (re.error, OverflowError, RecursionError):
        raise BadInput(f"{where}: module pattern {text[:40]!r} is not a regular expression") from None
    return pattern
