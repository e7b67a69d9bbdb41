"""Expressions of module names against Python's own, and hostile ones against the clock."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.errors import BadInput
from solver.llm.config.expressions import NamePattern
from solver.llm.config.modules import Patterns, short

NAMES = [
    "model.layers.0.self_attn.q_proj",
    "model.layers.10.mlp.gate_proj",
    "model.layers.2.mlp.experts.17.up_proj",
    "model.layers.61.mlp.gate",
    "lm_head",
    "layers.3.ffn.w1",
    "",
]
REAL = [
    r".*self_attn.*",
    r".*mlp\.(gate|up|gate_up|down)_proj.*",
    r"model\.layers\.(?:[3-9]|[1-6][0-9]|7[0-7])\.mlp\.experts\.\d+\.(?:gate_proj|up_proj)$",
    r"^(?!.*lm_head).*$",
    r"(?=.*layers)(?!.*experts).*mlp",
    r".*\.gate$",
    r"model\.layers\.[^0-2]\..*",
    r"model[.]layers[.]\d{1,2}[.]\w+",
    r".*layers\.\d+\.mlp\.experts\.(1[0-9]|[0-9])\.",
    r"(a+)+$",
    r"lm_head|model.layers",
    r"x*model",
    r"(?:model)?.*w[13]",
    r"[\w.]+proj",
    r"model.{3,20}q",
    r"layers\.(\d+\.){1,3}ffn",
]


@pytest.mark.parametrize("text", REAL)
def test_real_expressions_match_as_in_python(text: str) -> None:
    for name in NAMES:
        assert NamePattern(text, "f").matches(name) == bool(re.match(text, name)), name


PIECES = st.recursive(
    st.sampled_from(["a", "b", r"\.", ".", "[ab]", "[^a]", r"\d", "ab", "3"]),
    lambda inner: st.one_of(
        st.builds("(?:{})".format, inner),
        st.builds("({}|{})".format, inner, inner),
        st.builds("(?:{}){}".format, inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "{0,2}"])),
        st.builds("{}{}".format, inner, inner),
    ),
    max_leaves=6,
)


@given(PIECES, st.text(alphabet="ab.3", max_size=8), st.sampled_from(["", "$"]), st.sampled_from(["", "^"]))
@settings(max_examples=600, deadline=None)
def test_drawn_expressions_match_as_in_python(text: str, name: str, end: str, start: str) -> None:
    whole = start + text + end
    assert NamePattern(whole, "f").matches(name) == bool(re.match(whole, name))


@pytest.mark.parametrize("text", ["(a+)+$", "(a|a)*$", "(.*)*x", ".*" * 30 + "x", "(a?){50}a{50}$"])
def test_hostile_expressions_end_soon(text: str) -> None:
    started = time.process_time()
    NamePattern(text, "f").matches("a" * 60 + "b")
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "text", ["(a", "a)", "[a", "a**{", "*a", r"\1", "(?<=a)b", "a{2}{3}", "(a{400}){400}", "(" * 200]
)
def test_what_is_not_understood_is_named(text: str) -> None:
    with pytest.raises(BadInput, match="is not understood at"):
        NamePattern(text, "config.json")


@pytest.mark.parametrize(
    ("patterns", "meant", "spared"),
    [
        (["lm_head"], ["lm_head"], ["layers.0.mlp.gate_proj"]),
        (["model.layers.0.mlp"], ["layers.0.mlp.gate_proj"], ["layers.1.mlp.gate_proj", "layers.0.self_attn.q_proj"]),
        (["model.language_model.layers.3.mlp*"], ["layers.3.mlp.up_proj"], ["layers.3.experts.0", "layers.31.mlp.up_proj"]),
        (["model.language_model.layers.3*"], ["layers.3.mlp.up_proj", "layers.31.mlp.up_proj"], ["layers.4.mlp.up_proj"]),
        (["backbone.layers.4.mixer.in_proj"], ["layers.4.mixer.in_proj"], ["layers.4.mixer.out_proj"]),
        (["transformer.h.1.attn"], ["layers.1.attn.c_attn"], ["layers.2.attn.c_attn"]),
        (["model.visual.blocks.0.attn", "vision_tower.encoder.layers.0.self_attn"], [], ["layers.0.attn.q"]),
        (["mtp.layers.0*", "mtp.layers.0.mlp"], ["mtp.layers.0.mlp.down_proj"], ["layers.0.mlp.down_proj"]),
        (["*.attn.*"], ["layers.0.attn.wq_a"], ["layers.0.attn", "layers.0.ffn.w1"]),
        (["self_attn"], ["layers.7.self_attn.k_proj"], ["layers.7.cross_attn.k_proj"]),
        (["gate"], ["layers.7.mlp.gate"], ["layers.7.mlp.gate_proj"]),
        (["re:model.layers.5.*"], ["layers.5.mlp.up_proj"], ["layers.6.mlp.up_proj"]),
    ],
)  # fmt: skip
def test_patterns_mean_modules(patterns: list[str], meant: list[str], spared: list[str]) -> None:
    read = Patterns(patterns, "config.json")
    assert all(read.means(name) for name in meant)
    assert not any(read.means(name) for name in spared)


def test_names_lose_what_stands_before_the_layers() -> None:
    assert short("language_model.model.layers.10.mlp.gate") == "layers.10.mlp.gate"
    assert short("model.embed_tokens") == "embed_tokens"
    assert short("visual.blocks.0.attn") == "visual.blocks.0.attn"
