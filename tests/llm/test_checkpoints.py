"""Precision that quantisation configs declare, and sizes of the checkpoints that follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from solver.errors import BadInput
from solver.llm import LLM

TINY: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("tiny_configs.json").read_text())

GROUP32 = {"num_bits": 4, "type": "int", "group_size": 32, "strategy": "group"}
FLOAT8 = {"num_bits": 8, "type": "float", "strategy": "channel"}
KIMI_IGNORE = ["lm_head", "re:.*self_attn.*", "re:.*shared_experts.*", r"re:.*mlp\.(gate|up|gate_up|down)_proj.*"]
FP8_KV = {"num_bits": 8, "type": "float"}

ALL = ("attention", "attention_output", "dense", "shared", "experts", "mtp")
BF16 = dict.fromkeys((*ALL, "head", "embedding"), "bf16")
CASES: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "fp8 by blocks": (
        "deepseek_v32",
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        dict.fromkeys(ALL, "fp8_block"),
    ),
    "fp8 per tensor": ("llama", {"quant_method": "fp8"}, dict.fromkeys(ALL, "fp8")),
    "gate is not gate_proj": (
        "minimax_m2",
        {"quant_method": "fp8", "modules_to_not_convert": ["gate", "lm_head", "model.layers.0.mlp.gate"]},
        dict.fromkeys(ALL, "fp8"),
    ),
    "mxfp4 is for experts": ("gpt_oss", {"quant_method": "mxfp4"}, {"experts": "mxfp4"}),
    "fp4 experts in an fp8 checkpoint": (
        "deepseek_v4",
        {"quant_method": "fp8", "weight_block_size": [128, 128]},
        dict.fromkeys(ALL, "fp8_block") | {"experts": "mxfp4", "mtp": "mxfp4", "kv_cache": "fp8_ds_mla"},
    ),
    "int4 experts only": (
        "deepseek_v32",
        {
            "quant_method": "compressed-tensors",
            "ignore": KIMI_IGNORE,
            "config_groups": {"group_0": {"targets": ["Linear"], "weights": GROUP32}},
        },
        {"experts": "int4_g32", "mtp": "int4_g32"},
    ),
    "groups by target": (
        "qwen3_moe",
        {
            "quant_method": "compressed-tensors",
            "ignore": ["lm_head"],
            "kv_cache_scheme": FP8_KV,
            "config_groups": {
                "a": {"targets": ["re:.*mlp.experts.*"], "weights": {"num_bits": 4, "type": "float", "group_size": 16}},
                "b": {"targets": ["Linear"], "weights": FLOAT8},
            },
        },
        dict.fromkeys(ALL, "fp8") | {"experts": "nvfp4", "mtp": "nvfp4", "kv_cache": "fp8"},
    ),
    "ModelOpt in the config": (
        "qwen3_moe",
        {"quant_method": "modelopt", "quant_algo": "NVFP4", "ignore": ["lm_head", "model.layers.*.self_attn*"]},
        dict.fromkeys(ALL, "nvfp4") | {"attention": "bf16", "attention_output": "bf16"},
    ),
    "ModelOpt mixed": (
        "llama",
        {
            "quant_algo": "MIXED_PRECISION",
            "kv_cache_quant_algo": "FP8",
            "quantized_layers": {
                **{
                    f"model.layers.{i}.mlp.{m}_proj": {"quant_algo": "NVFP4"}
                    for i in (0, 1)
                    for m in ("gate", "up", "down")
                },
                **{f"model.layers.{i}.self_attn.o_proj": {"quant_algo": "FP8"} for i in (0, 1)},
            },
        },
        {"dense": "nvfp4", "attention_output": "fp8", "kv_cache": "fp8"},
    ),
    "KV cache only": (
        "llama",
        {"quant_method": "modelopt", "quant_algo": None, "kv_cache_quant_algo": "FP8"},
        {"kv_cache": "fp8"},
    ),
    "linear attention left alone, which is most layers": (
        "qwen3_5_moe",
        {
            "quant_method": "modelopt",
            "quant_algo": "FP8",
            "exclude_modules": ["model.language_model.layers.*.linear_attn*"],
        },
        dict.fromkeys(ALL, "fp8") | {"attention": "bf16", "attention_output": "bf16"},
    ),
    "awq": ("llama", {"quant_method": "awq", "bits": 4, "group_size": 64}, dict.fromkeys(ALL, "int4_g64")),
    "gptq by channel": (
        "llama",
        {"quant_method": "gptq", "bits": 4, "group_size": -1},
        dict.fromkeys(ALL, "int4_channel"),
    ),
}


def with_quantization(family: str, quantization: dict[str, Any]) -> dict[str, Any]:
    return TINY[family] | {"quantization_config": quantization}


@pytest.mark.parametrize("case", CASES)
def test_parts_have_the_declared_format(case: str) -> None:
    family, quantization, expected = CASES[case]
    found = LLM.from_config(with_quantization(family, quantization)).precision.names()
    assert found == BF16 | {"kv_cache": "bf16"} | expected


def test_a_few_layers_left_alone_do_not_change_a_part() -> None:
    quantization = {"quant_method": "fp8", "modules_to_not_convert": ["model.layers.0", "model.layers.5.*"]}
    found = LLM.from_config(TINY["llama"] | {"num_hidden_layers": 12, "quantization_config": quantization})
    assert found.precision.names()["dense"] == "fp8"


def test_quantization_file_beside_the_config(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(TINY["deepseek_v32"]))
    excluded = [f"model.layers.{i}.self_attn.{m}" for i in range(3) for m in ("q_a_proj", "q_b_proj", "kv_b_proj")]
    rules = {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8", "exclude_modules": [*excluded, "model.layers.3*"]}
    quantization = {"producer": {"name": "modelopt"}, "quantization": rules}
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(quantization))
    expected = dict.fromkeys(ALL, "nvfp4") | {"attention": "bf16", "mtp": "bf16", "kv_cache": "fp8"}
    for path in (tmp_path, tmp_path / "config.json", str(tmp_path)):
        assert LLM.from_config(path).precision.names() == BF16 | expected


def test_prefixed_files_go_together(tmp_path: Path) -> None:
    (tmp_path / "me--Tiny_config.json").write_text(json.dumps(TINY["llama"]))
    (tmp_path / "me--Tiny_hf_quant_config.json").write_text(json.dumps({"quantization": {"quant_algo": "FP8"}}))
    (tmp_path / "other_config.json").write_text(json.dumps(TINY["llama"]))
    tiny = LLM.from_config(tmp_path / "me--Tiny_config.json")
    assert (tiny.name, tiny.precision.names()["dense"]) == ("tiny", "fp8")
    assert LLM.from_config(tmp_path / "other_config.json").precision.names()["dense"] == "bf16"


@pytest.mark.parametrize(
    ("quantization", "message"),
    [
        ({"quant_method": "magic"}, "quantization_config.quant_method is 'magic'; known: mxfp4, fp8"),
        ({}, "quant_method"),
        ({"quant_algo": "FP5"}, "quant_algo is 'FP5'; known: FP8"),
        ({"quant_method": "fp8", "weight_block_size": [7, 7]}, "weight_block_size is"),
        ({"quant_method": "fp8", "modules_to_not_convert": "lm_head"}, "must be a list"),
        ({"quant_method": "fp8", "modules_to_not_convert": [1]}, "known strings"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:(a+"]}, "not understood"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:a{2}{3}"]}, "not understood"),
        ({"quant_method": "fp8", "modules_to_not_convert": ["re:[a"]}, "not understood"),
        ({"quant_method": "gptq", "bits": 3}, "bits is 3"),
        ({"quant_method": "fp8", "kv_cache_quant_algo": "FP3"}, "kv_cache_quant_algo is 'FP3'"),
        ({"quant_method": "compressed-tensors", "config_groups": {"g": {"weights": {"num_bits": 2}}}}, "num_bits is 2"),
    ],
)
def test_quantization_that_makes_no_sense_is_refused(quantization: dict[str, Any], message: str) -> None:
    with pytest.raises(BadInput, match=message.replace("(", r"\(")):
        LLM.from_config(with_quantization("llama", quantization))


# name: (size in bytes, whether the checkpoint holds the MTP layer with copies of embedding and head, source)
SIZES = {
    "deepseek-v3": (688.6e9, True, "total_size in model.safetensors.index.json of deepseek-ai/DeepSeek-V3"),
    "deepseek-v4-pro": (865e9, True, "deepseek-ai/DeepSeek-V4-Pro on the hub"),
    "gpt-oss-120b": (60.8 * 2**30, False, "arXiv:2508.10925 table 1"),
    "gpt-oss-20b": (12.8 * 2**30, False, "arXiv:2508.10925 table 1"),
    "kimi-k2.5": (595e9, False, "moonshotai/Kimi-K2-Thinking on the hub"),
    "qwen3-235b-a22b-fp8": (236e9, False, "Qwen/Qwen3-235B-A22B-FP8 on the hub"),
}


@pytest.mark.parametrize("name", SIZES)
def test_checkpoint_sizes(name: str) -> None:
    size, mtp, source = SIZES[name]
    llm = LLM.from_config(name)
    computed = llm.weight_bytes
    if mtp:
        computed += llm.mtp_weight_bytes + llm.embedding_bytes + llm.head_bytes
    assert computed == pytest.approx(size, rel=0.005), source
