"""Names of the linear modules of a checkpoint, and the patterns with which quantisation files mean some of them.

A module is called ``layers.3.mlp.experts.0.up_proj`` here, whatever stands before it in a checkpoint
(``model.language_model.``, ``backbone.``); lists of layers under other names (``h``, ``blocks``) are called ``layers``.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from solver.errors import BadInput
from solver.llm.config.expressions import NamePattern

Spelled = dict[str, tuple[str, ...]]

MATRICES: Spelled = {
    **{name: (f"{name}_proj", "qkv_proj") for name in ("q", "k", "v")},
    "g": ("g_proj", "gate_proj"),
    "q_a": ("q_a_proj", "fused_qkv_a_proj"),
    "kv_a": ("kv_a_proj_with_mqa", "fused_qkv_a_proj"),
    "q_b": ("q_b_proj",),
    "kv_b": ("kv_b_proj",),
    "kv": ("kv_proj",),
    "index_q": ("indexer.wq_b", "index_q_proj"),
    "index_k": ("indexer.wk", "index_k_proj"),
    "linear_qkv": ("in_proj_qkv", "in_proj_qkvz"),
    "linear_z": ("in_proj_z", "in_proj_qkvz"),
    "linear_gates": ("in_proj_ba", "in_proj_b", "f_b_proj", "g_b_proj"),
    "in": ("in_proj",),
    "x": ("x_proj",),
    "dt": ("dt_proj",),
    "o": ("o_proj", "out_proj"),
    "gate": ("gate_proj", "gate_up_proj"),
    "up": ("up_proj", "gate_up_proj"),
    "down": ("down_proj",),
}
"""Names in checkpoints and engines of the matrices that :attr:`solver.llm.attention.Attention.projections` lists, of the
output projection and of an FFN."""
NUMBERED: Spelled = {"gate": ("w1", "w13"), "up": ("w3", "w13"), "down": ("w2",)}
FUSED_GPT: Spelled = {
    **dict.fromkeys(("q", "k", "v"), ("c_attn", "qkv_proj", "query_key_value", "Wqkv", "W_pack", "wqkv")),
    "o": ("c_proj", "out_proj", "dense", "wo"),
    "up": ("c_fc", "fc1", "fc_in", "dense_h_to_4h", "up_proj", "w1"),
    "gate": ("w2", "w1", "gate_up_proj", "dense_h_to_4h"),
    "down": ("c_proj", "fc2", "fc_out", "dense_4h_to_h", "down_proj", "w2"),
}


@dataclass(frozen=True)
class Rooms:
    """Modules of a layer that hold its matrices, and how they are called where it is not the usual way.

    ``{e}`` stands for the number of an expert.
    """

    attention: tuple[str, ...] = ("self_attn", "attn")
    linear: tuple[str, ...] = ("self_attn", "linear_attn")
    dense: tuple[str, ...] = ("mlp",)
    shared: tuple[str, ...] = ("mlp.shared_experts", "mlp.shared_expert")
    experts: tuple[str, ...] = ("mlp.experts.{e}", "mlp.experts")
    spelled: Spelled = field(default_factory=dict)

    def names(self, rooms: Sequence[str], matrix: str, layer: str, expert: int = 0) -> list[str]:
        """Return the names that a matrix in one of these rooms of a layer may have."""
        words = dict.fromkeys((*self.spelled.get(matrix, ()), *MATRICES[matrix]))
        return [
            ".".join(part for part in (layer, room.format(e=expert), word) if part) for room in rooms for word in words
        ]


MLP = Rooms()
KIMI = replace(
    MLP,
    dense=("mlp", "feed_forward"),
    shared=("mlp.shared_experts", "block_sparse_moe.shared_experts"),
    experts=("mlp.experts.{e}", "mlp.experts", "block_sparse_moe.experts.{e}", "block_sparse_moe.experts"),
    spelled=NUMBERED,
)
QWEN_LINEAR = replace(MLP, linear=("linear_attn",), spelled={"g": ("q_proj", "qkv_proj")})
BLOCK_SPARSE = Rooms(
    shared=("block_sparse_moe.shared_experts", "mlp.shared_experts"),
    experts=("block_sparse_moe.experts.{e}", "block_sparse_moe.experts", "mlp.experts.{e}", "mlp.experts"),
    spelled=NUMBERED,
)
FEED_FORWARD = Rooms(
    dense=("feed_forward",),
    shared=("feed_forward.shared_expert",),
    experts=("feed_forward.experts.{e}", "feed_forward.experts"),
)
JAMBA = replace(FEED_FORWARD, linear=("mamba",))
LFM2 = replace(FEED_FORWARD, linear=("conv",), spelled=NUMBERED)
GEMMA4 = Rooms(shared=("mlp",), experts=("experts.{e}", "experts", "moe.experts.{e}", "moe.experts", "moe"))
GRANITE = Rooms(
    linear=("mamba",),
    dense=("shared_mlp", "mlp"),
    shared=("shared_mlp",),
    experts=("block_sparse_moe", "block_sparse_moe.experts.{e}", "block_sparse_moe.experts"),
    spelled={"gate": ("input_linear",), "up": ("input_linear",), "down": ("output_linear",)},
)
GPT = Rooms(
    attention=("attn", "self_attn", "attention", "self_attention"), dense=("mlp", "feed_forward"), spelled=FUSED_GPT
)
DBRX_ROOMS = Rooms(
    attention=("norm_attn_norm.attn",), experts=("ffn.experts.mlp", "ffn.experts"), spelled={**FUSED_GPT, **NUMBERED}
)
STEP = Rooms(shared=("share_expert", "moe.share_expert"), experts=("moe", "moe.experts.{e}", "moe.experts"))
MIXER = Rooms(
    attention=("mixer",),
    linear=("mixer",),
    dense=("mixer",),
    shared=("mixer.shared_experts",),
    experts=("mixer.experts.{e}", "mixer.experts"),
)
DEEPSEEK_V4_ROOMS = Rooms(
    attention=("attn", "self_attn"),
    dense=("ffn", "mlp"),
    shared=("ffn.shared_experts", "mlp.shared_experts"),
    experts=("ffn.experts.{e}", "ffn.experts", "mlp.experts.{e}", "mlp.experts"),
    spelled={
        **NUMBERED,
        "q_a": ("wq_a",),
        "q_b": ("wq_b",),
        "kv": ("wkv",),
        "o": ("wo_b", "wo_a"),
    },
)
LONGCAT = Rooms(
    attention=("self_attn.0", "self_attn.1", "self_attn"), dense=("mlps.1", "mlps"), shared=("mlps.0", "mlps")
)

_WRAPPED = r"(?:(?:model|language_model|text_model|llm|backbone|transformer|decoder|encoder|thinker|gpt_neox|module)\.)"
_LAYERS = re.compile(rf"^{_WRAPPED}*(?:layers|h|blocks)\.(?=[\d*\[?])")
_START = re.compile(rf"^{_WRAPPED}+(?=[\w*])")
PREFIXES = (
    "",
    "model.",
    "model.language_model.",
    "language_model.model.",
    "language_model.",
    "backbone.",
    "transformer.",
)
"""What may stand before a module's name in a checkpoint, for expressions that match from the start of a name."""
MAX_PATTERN, MAX_GLOBS, MAX_EXPRESSIONS = 4000, 4096, 256


def short(name: str) -> str:
    """Return a module's name or a glob without what stands before the list of layers.

    >>> short("model.language_model.layers.3.mlp*"), short("language_model.lm_head"), short("transformer.h.0.attn")
    ('layers.3.mlp*', 'lm_head', 'layers.0.attn')
    """
    found = _LAYERS.match(name)
    return f"layers.{name[found.end() :]}" if found else _START.sub("", name)


class Patterns:
    """Whether a list of module names, globs and ``re:`` expressions means a module.

    A name is meant by a pattern that equals it or a dotted part of it (``lm_head``, ``self_attn``,
    ``model.layers.0.self_attn``), by a glob that matches it or a module that it is in, or by an expression that matches
    from its start (compressed-tensors) as it may be called in a checkpoint.
    """

    def __init__(self, patterns: Iterable[str], where: str) -> None:
        self.plain: set[str] = set()
        self._near: dict[str, list[re.Pattern[str]]] = {}
        globs: dict[str, None] = {}
        expressions: dict[str, None] = {}
        for text in patterns:
            if len(text) > MAX_PATTERN:
                raise BadInput(f"{where}: module pattern {text[:40]!r}... is longer than {MAX_PATTERN} characters")
            if text.startswith("re:"):
                expressions[text[3:]] = None
            elif "*" in text or "?" in text:
                globs[short(text)] = None
            else:
                self.plain.add(short(text))
        if len(globs) > MAX_GLOBS or len(expressions) > MAX_EXPRESSIONS:
            raise BadInput(
                f"{where}: more than {MAX_GLOBS} module patterns with wildcards, or {MAX_EXPRESSIONS} expressions"
            )
        self.globs = [_glob(glob) for glob in globs]
        self.expressions = [(e := NamePattern(text, where), _before(e)) for text in expressions]

    def means(self, name: str) -> bool:
        """Whether one of the patterns means this module."""
        if self.plain and any(part in self.plain for part in _parts(name)):
            return True
        if any(glob.match(name) for glob in self._for(name)):
            return True
        return any(e.matches(prefix + name) for e, prefixes in self.expressions for prefix in prefixes)

    def _for(self, name: str) -> list[re.Pattern[str]]:
        """Return the globs that could match in this layer, found once per layer."""
        layer = ".".join(name.split(".")[:2])
        if layer not in self._near:
            self._near[layer] = [
                compiled for start, compiled in self.globs if f"{layer}.".startswith(start) or start.startswith(layer)
            ]
        return self._near[layer]


def _before(expression: NamePattern) -> tuple[str, ...]:
    """What may stand before a name that this expression matches."""
    if expression.anywhere:
        return ("model.",)
    return tuple(p for p in PREFIXES if p.startswith(expression.start) or expression.start.startswith(p))


def _glob(text: str) -> tuple[str, re.Pattern[str]]:
    """Return the literal start of a glob, and what matches it and everything inside it.

    A glob that starts with a name may start at any dot; runs of stars are one.
    """
    start = re.split(r"[*?\[]", text)[0]
    anywhere = not start.startswith("layers.")
    inner = re.sub(r"\)\\[Zz]$", "", fnmatch.translate(text).removeprefix("(?s:"))
    head = r"(?:.*\.)?" if anywhere and start else ""
    return "" if anywhere else start, re.compile(rf"(?s:{head}{inner}(?:\..*)?)\Z")


def _parts(name: str) -> Iterator[str]:
    """Every run of dotted words of a name; a layer of an MTP module is no layer of the network."""
    words = name.split(".")
    for first in range(len(words)):
        if first and words[0] == "mtp" and words[first] == "layers":
            continue
        for last in range(first + 1, len(words) + 1):
            yield ".".join(words[first:last])
