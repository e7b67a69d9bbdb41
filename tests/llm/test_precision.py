"""Number formats: sizes, tensor-core rates, precision by part."""

from __future__ import annotations

from dataclasses import replace

import pytest

from solver.errors import BadInput, UnknownName
from solver.llm import LLM, Precision, dtype, kv_dtype

HOPPER, BLACKWELL = {"bf16", "fp8", "int8"}, {"bf16", "fp8", "fp4"}


@pytest.mark.parametrize(
    ("name", "size", "block"),
    [
        ("bf16", 2, 1),
        ("fp8", 1, 1),
        ("fp8_block", 1 + 4 / 16384, 128),
        ("mxfp8", 1 + 1 / 32, 32),
        ("nvfp4", 0.5625, 16),
        ("mxfp4", 0.53125, 32),
        ("int8", 1, 1),
        ("int4_g32", 0.5625, 32),
        ("int4", 0.515625, 128),
        ("int4_g256", 0.5 + 2 / 256, 256),
        ("int4_channel", 0.5, 1),
    ],
)
def test_sizes_and_blocks(name: str, size: float, block: int) -> None:
    assert dtype(name).bytes_per_element == size
    assert dtype(name.upper()).block == block


@pytest.mark.parametrize(
    ("name", "hopper", "blackwell"),
    [
        ("bf16", "bf16", "bf16"),
        ("fp8_block", "fp8", "fp8"),
        ("nvfp4", "bf16", "fp4"),
        ("mxfp4", "bf16", "fp8"),
        ("int4_g32", "bf16", "bf16"),
        ("int8", "int8", "bf16"),
    ],
)
def test_rate_depends_on_what_the_device_has(name: str, hopper: str, blackwell: str) -> None:
    assert (dtype(name).rate(HOPPER), dtype(name).rate(BLACKWELL)) == (hopper, blackwell)


def test_one_dtype_goes_to_all_linear_parts_and_leaves_embedding_and_head() -> None:
    names = Precision().with_weights("fp8").names()
    assert {part for part, name in names.items() if name == "bf16"} == {"head", "embedding", "kv_cache"}


def test_mapping_sets_parts_and_attention_carries_its_output_along() -> None:
    precision = Precision().with_weights({"attention": "fp8", "experts": "nvfp4", "head": "fp8"})
    assert precision.attention_output == dtype("fp8")
    assert precision.names()["experts"] == "nvfp4"
    assert precision.dense == dtype("bf16")
    mixed = Precision().with_weights({"attention": "bf16", "attention_output": "nvfp4"})
    assert mixed.attention_output == dtype("nvfp4")


def test_names_go_there_and_back() -> None:
    for name in ("deepseek-v3.1-nvfp4", "kimi-k2.5", "deepseek-v4-pro", "gpt-oss-20b"):
        precision = LLM.from_config(name).precision
        assert Precision.from_names(precision.names()) == precision


def test_checkpoint_and_auto_change_nothing() -> None:
    llm = LLM.from_config("deepseek-v3.1-nvfp4")
    assert llm.with_precision("checkpoint", kv_cache="auto") == llm
    assert llm.with_precision(kv_cache="bf16") == replace(llm, precision=replace(llm.precision, kv_cache=dtype("bf16")))


@pytest.mark.parametrize(
    ("weights", "kv_cache", "message"),
    [
        ("fp9", "auto", "unknown weight dtype 'fp9'; nearest: fp8"),
        ("int4_g0", "auto", "unknown weight dtype"),
        ("int4_g9999", "auto", "unknown weight dtype"),
        ("checkpoint", "fp4", "unknown KV-cache dtype 'fp4'"),
        ("checkpoint", "int4", "unknown KV-cache dtype"),
        ({"expert": "fp8"}, "auto", "unknown part of an LLM 'expert'; nearest: experts"),
        ({"experts": "fp3"}, "auto", "unknown weight dtype 'fp3'"),
        ({3: "fp8"}, "auto", "unknown part"),
        (7, "auto", "is a name such as"),
        ("checkpoint", None, "is a name such as"),
        ("checkpoint", "fp8_ds_mla", "is for multi-head latent attention"),
    ],
)
def test_what_cannot_be_meant_is_refused(weights: object, kv_cache: object, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        LLM.from_config("llama-3.1-8b", weights=weights, kv_cache=kv_cache)  # type: ignore[arg-type]


def test_weight_formats_are_no_cache_formats() -> None:
    with pytest.raises(UnknownName):
        kv_dtype("mxfp4")
    with pytest.raises(UnknownName):
        dtype("fp8_ds_mla")
