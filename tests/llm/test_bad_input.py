"""Whatever a config holds, the loader answers with an LLM or with one line that a person can act on."""

from __future__ import annotations

import copy
import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solver.errors import BadFile, BadInput, RackplanError, UnknownArchitecture, UnknownName
from solver.llm import FFN, LLM, Layer, grouped_query

TINY: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("tiny_configs.json").read_text())
LLAMA = TINY["llama"]

JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(10**400), 10**400),
    st.floats(),
    st.text(max_size=20),
    st.lists(st.integers(-2, 200) | st.text(max_size=5), max_size=6),
    st.dictionaries(st.text(max_size=8), st.integers() | st.text(max_size=5), max_size=3),
    st.sampled_from(
        ["re:(a|b", "re:[", "re:.*", "*", "NVFP4", "fp8", "full_attention", "sliding_attention", 4096, 1 << 24]
    ),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """All paths to a value inside a config, outermost first."""
    found = [path] if path else []
    if isinstance(value, dict):
        found += [place for key, inner in value.items() for place in places(inner, (*path, key))]
    elif isinstance(value, list):
        found += [place for index, inner in enumerate(value) for place in places(inner, (*path, index))]
    return found


@st.composite
def mutated_configs(draw: st.DrawFn) -> dict[str, Any]:
    config = copy.deepcopy(TINY[draw(st.sampled_from(sorted(TINY)))])
    if draw(st.booleans()):
        config["quantization_config"] = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "quant_method": st.sampled_from(["fp8", "awq", "gptq", "compressed-tensors", "modelopt", "mxfp4"])
                    | JUNK,
                    "quant_algo": st.sampled_from(["NVFP4", "MIXED_PRECISION"]) | JUNK,
                    "modules_to_not_convert": st.lists(st.text(max_size=12), max_size=4) | JUNK,
                    "ignore": st.lists(st.from_regex(r"re:[.*a-z()|+\\]{0,12}"), max_size=3) | JUNK,
                    "config_groups": st.dictionaries(st.text(max_size=3), JUNK, max_size=3) | JUNK,
                    "quantized_layers": JUNK,
                    "kv_cache_scheme": JUNK,
                    "bits": JUNK,
                    "weight_block_size": JUNK,
                },
            )
        )
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(places(config)))
        holder: Any = config
        for key in above:
            holder = holder[key]
        if draw(st.booleans()) and isinstance(holder, dict):
            del holder[last]
        else:
            holder[last] = draw(JUNK)
        if not config:
            break
    return config


def answer(source: Any) -> None:
    """Load, use, and accept only an LLM that adds up or a one-line error."""
    message = ""
    try:
        llm = LLM.from_config(source)
    except RackplanError as problem:
        message = str(problem) or "nothing\nsaid"
    if message:
        assert message.isprintable()
        assert len(message) < 700
        return
    assert llm.parameters >= llm.active_parameters(embedding=True) > 0
    assert math.isfinite(llm.weight_bytes)
    assert llm.weight_bytes > 0
    assert llm.kv_bytes(1000) >= 0


@given(mutated_configs())
@settings(max_examples=400, deadline=None)
def test_mutated_configs_never_crash(config: dict[str, Any]) -> None:
    answer(config)


@given(st.recursive(JUNK, lambda inner: st.dictionaries(st.text(max_size=6), inner, max_size=4), max_leaves=8))
@settings(max_examples=100, deadline=None)
def test_anything_as_a_source_never_crashes(source: Any) -> None:
    answer(source)


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_in_a_file_never_crash(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes_config.json"
    path.write_bytes(content)
    answer(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hidden_size": -1}, "hidden_size must be between 1 and"),
        ({"hidden_size": 0}, "hidden_size must be between 1 and"),
        ({"hidden_size": "4096"}, "hidden_size must be an integer, not '4096'"),
        ({"hidden_size": True}, "hidden_size must be an integer, not True"),
        ({"hidden_size": 1e300}, "hidden_size must be an integer, not 1e\\+300"),
        ({"hidden_size": math.nan}, "hidden_size must be an integer, not nan"),
        ({"hidden_size": 10**5000}, "not an integer of 16610 bits"),
        ({"hidden_size": [32]}, "hidden_size must be an integer, not a list"),
        ({"hidden_size": 33}, "hidden_size 33 is not a multiple of num_attention_heads, 4"),
        ({"num_hidden_layers": 10**9}, "num_hidden_layers must be between 1 and 4096"),
        ({"num_key_value_heads": 3}, "num_key_value_heads 3 does not divide num_attention_heads, 4"),
        ({"tie_word_embeddings": "no"}, "tie_word_embeddings must be true or false, not 'no'"),
        ({"text_config": 3}, "text_config must be an object, not 3"),
        ({"model_type": 3}, "model_type must be a string, not 3"),
        ({"quantization_config": "fp8"}, "quantization_config must be an object"),
    ],
)
def test_absurd_values_are_named(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        LLM.from_config(LLAMA | changes)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("gpt_oss", {"layer_types": ["full_attention"]}, "layer_types must have 2 entries, one per layer, not 1"),
        ("gpt_oss", {"layer_types": ["full_attention", "wide"]}, r"layer_types\[1\] is 'wide'; known: full_attention"),
        ("deepseek_v4", {"compress_ratios": [4]}, "compress_ratios must have 4 entries"),
        ("minimax_m3", {"moe_layer_freq": [0]}, "moe_layer_freq must have 2 entries"),
        (
            "minimax_m3",
            {"moe_layer_freq": [0, 7]},
            r"moe_layer_freq\[1\] must be one of the integers from 0 to 1, not 7",
        ),
        ("mixtral", {"num_experts_per_tok": 9}, "num_experts_per_tok must be between 1 and 4, not 9"),
    ],
)
def test_lists_and_limits_are_checked(family: str, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message):
        LLM.from_config(TINY[family] | changes)


def test_missing_keys_are_all_named() -> None:
    config = {key: value for key, value in TINY["mixtral"].items() if key not in ("vocab_size", "num_local_experts")}
    with pytest.raises(UnknownArchitecture, match="cannot be told without vocab_size, num_local_experts; add them"):
        LLM.from_config(config)


def test_absent_is_not_null_where_null_means_something() -> None:
    config = TINY["deepseek_v2"]
    assert LLM.from_config(config).layers[0].attention.kind == "mla"
    with pytest.raises(UnknownArchitecture, match="q_lora_rank"):
        LLM.from_config({key: value for key, value in config.items() if key != "q_lora_rank"})


def test_unknown_architectures_name_the_nearest() -> None:
    with pytest.raises(
        UnknownArchitecture, match="model_type 'qwen3_moo' is not a known architecture; nearest known: qwen3"
    ):
        LLM.from_config(LLAMA | {"model_type": "qwen3_moo"})
    with pytest.raises(UnknownArchitecture, match="model_type is missing"):
        LLM.from_config({"hidden_size": 3})
    with pytest.raises(UnknownArchitecture, match=r"text_config\.model_type 'new'"):
        LLM.from_config({"text_config": {"model_type": "new"}})


def test_unknown_names_give_three_and_say_that_a_path_works() -> None:
    with pytest.raises(UnknownName, match="a path to a Hugging Face") as caught:
        LLM.from_config("lama-3.1-70b")
    assert caught.value.nearest[0] == "llama-3.1-70b"
    assert len(caught.value.nearest) == 3


@pytest.mark.parametrize("source", [None, 7, "", "  ", 2.5, ["llama-3.1-8b"]])
def test_other_sources_are_refused(source: Any) -> None:
    with pytest.raises(BadInput, match="an LLM is a catalog name, a path"):
        LLM.from_config(source)


def test_names_and_aliases_in_any_case() -> None:
    assert LLM.from_config("DeepSeek-V3") == LLM.from_config(" deepseek-v3 ")
    assert LLM.from_config("DEEPSEEK-AI/deepseek-v3") == LLM.from_config("deepseek-v3")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is not JSON: .* at line 1, column 1"),
        ("{", "is not JSON"),
        ("[1, 2]", "must hold a JSON object, not list"),
        ('"llama"', "must hold a JSON object, not str"),
        ("[" * 200_000, "nested too deeply|is not JSON"),
        ('{"model_type": "llama", "hidden_size": ' + "1" * 6000 + "}", r"config\.json: "),
        (json.dumps(LLAMA | {"vocab_size": 0}), "config.json: vocab_size must be between"),
    ],
)
def test_files_that_are_no_configs(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "config.json"
    path.write_text(content)
    with pytest.raises(BadFile, match=message) as caught:
        LLM.from_config(path)
    assert "config.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "config.json", str(tmp_path / "x.json"), tmp_path / ("n" * 300), Path("\0")):
        with pytest.raises(BadFile):
            LLM.from_config(path)


def test_bad_quantization_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(LLAMA))
    (tmp_path / "hf_quant_config.json").write_text('{"quantization": {"quant_algo": "FP1"}}')
    with pytest.raises(BadFile, match=r"hf_quant_config.json: quantization\.quant_algo is 'FP1'"):
        LLM.from_config(tmp_path)


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadFile, match="is not UTF-8 text"):
        LLM.from_config(tmp_path)


@pytest.mark.parametrize(
    "quantization",
    [
        {"quant_method": "fp8", "modules_to_not_convert": [f"model.layers.{i}.mlp.gate" for i in range(40_000)]},
        {"quant_method": "fp8", "modules_to_not_convert": [f"model.layers.{i}.self_attn.q*" for i in range(1000)]},
        {"quant_method": "fp8", "modules_to_not_convert": [f"*a*b*{i}" for i in range(250)]},
        {
            "quant_method": "compressed-tensors",
            "ignore": ["re:" + ".*" * 100 + "x"],
            "config_groups": {str(i): {"targets": ["re:.*.*.*.*y"], "weights": {"num_bits": 4}} for i in range(30)},
        },
    ],
)
def test_large_configs_are_read_in_seconds(quantization: dict[str, Any]) -> None:
    config = TINY["deepseek_v32"] | {"num_hidden_layers": 4096, "quantization_config": quantization}
    started = time.perf_counter()
    assert len(LLM.from_config(config).layers) == 4096
    assert time.perf_counter() - started < 10


def test_shapes_by_hand_are_checked() -> None:
    for build in (
        lambda: FFN(64),
        lambda: FFN(64, width=1, experts=1, top_k=1),
        lambda: FFN(64, experts=4, top_k=5, expert_width=8),
        lambda: LLM("empty", hidden=64, vocab=10, layers=()),
        lambda: LLM("no-words", hidden=64, vocab=0, layers=(tiny_layer(),)),
    ):
        with pytest.raises(BadInput):
            build()


def tiny_layer() -> Layer:
    return Layer(grouped_query(hidden=64, heads=4, kv_heads=2, head_dim=16), FFN(64, width=256))


def test_odd_paths_stay_on_one_line() -> None:
    answer("./no\nsuch\nfolder/config.json")
    answer("./" + "x" * 5000 + ".json")
    groups = {"a\nb": {"weights": {"num_bits": 2}}, "c" * 5000: {"weights": 3}}
    answer(LLAMA | {"quantization_config": {"quant_method": "compressed-tensors", "config_groups": groups}})
