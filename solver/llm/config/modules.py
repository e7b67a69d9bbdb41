"""Names of the linear modules of a checkpoint, and the patterns with which quantisation files mean some of them."""

from __future__ import annotations

from collections.abc import Iterable

from solver.llm.config import globs

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
    """Whether a list of module names, globs and ``re:`` expressions means a module.

    A name is meant by a pattern that equals it or a dotted part of it (``lm_head``, ``self_attn``,
    ``model.layers.0.self_attn``), or by a glob or expression that matches it (see :mod:`solver.llm.config.globs`).
    """

    def __init__(self, patterns: Iterable[str], where: str) -> None:
        found = [text.replace("language_model.", "").replace("model.model.", "model.") for text in patterns]
        self.plain = {text for text in found if "*" not in text and not text.startswith("re:")}
        self.globs = globs.read([text for text in found if text not in self.plain], where)
        self._near: dict[str, list[globs.Glob]] = {}

    def means(self, name: str) -> bool:
        """Whether one of the patterns means this module."""
        if not self.plain and not self.globs:
            return False
        words = name.split(".")
        parts = (".".join(words[i:j]) for i in range(len(words)) for j in range(i + 1, len(words) + 1))
        return any(part in self.plain for part in parts) or any(globs.matches(glob, name) for glob in self._for(words))

    def _for(self, words: list[str]) -> list[globs.Glob]:
        """Return the globs that could match in this layer, found once per layer."""
        prefix = ".".join(words[:3])
        if prefix not in self._near:
            self._near[prefix] = [g for g in self.globs if prefix.startswith(g[0]) or g[0].startswith(prefix)]
        return self._near[prefix]
