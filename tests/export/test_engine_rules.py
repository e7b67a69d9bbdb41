"""No rule of an engine is broken by what exports write; each rule of files is broken by a file that forgets it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import deployments
import pytest
from deployments import plan
from engine_conditions import Files, broken, pod_files, script_files

from solver.export import export

#: What may be: it is priced or only said.
HARMLESS = {"info", "silently_slow"}
OTHERS = [("deepseek-v3-32xh200", "vllm"), ("deepseek-v3-32xh200", "trtllm"), ("deepseek-v3-2xnvl72", "vllm")]
OTHERS += [("qwen3-235b-16xh200", "sglang"), ("llama-70b-16xh100", "trtllm")]
CASES: list[tuple[str, str | None]] = [(name, None) for name in deployments.SCENARIOS] + OTHERS


@pytest.fixture(scope="session")
def rules(shared_data: Path) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = json.loads((shared_data / "engines" / "engine_rules.json").read_text())["records"]
    return found


def exported(name: str, engine: str | None, target: str, folder: Path) -> Files:
    found = plan(name, engine)
    own = found.pools[0].engine
    bundle = export(found, own if target == "shell" else target)
    bundle.save(folder)
    if target == "shell":
        return script_files(found, own, folder)
    return pod_files(found, own, bundle.files, folder, target)


@pytest.mark.parametrize("target", ["shell", "lws", "dynamo"])
@pytest.mark.parametrize(("name", "engine"), CASES)
def test_no_rule_is_broken(
    name: str, engine: str | None, target: str, rules: list[Mapping[str, Any]], tmp_path: Path
) -> None:
    found = broken(rules, exported(name, engine, target, tmp_path))
    assert [each for each in found if each[1] not in HARMLESS] == []
    # Dynamo's frontend knows no shares; cuts between unequal tp and a push connector are priced.
    slow = {"S36", "V12", "V43"} | ({"D01", "V68", "S52"} if target == "dynamo" else set())
    assert {each[0] for each in found if each[1] == "silently_slow"} <= slow


#: What a file may forget, by rule: the part of it that is taken out, and where.
FORGOTTEN = {
    "V22": ("deepseek-v3-2xnvl72", "vllm", "prefill.sh", "export VLLM_PP_LAYER_PARTITION", "export NOTHING"),
    "V28": ("deepseek-v3-32xh200", "vllm", "decode.sh", "--headless", ""),
    "V14": ("deepseek-v3-32xh200", "vllm", "decode.sh", "--enable-eplb ", ""),
    "V58": ("llama-70b-16xh100", None, "decode.sh", "kv_consumer", "kv_both"),
    "V63": ("qwen3-32b-mixed-h100-h200", None, "hosts.json", '"PORT": "80', '"PORT": "8000", "OLD": "'),
    "V64": ("qwen3-32b-mixed-h100-h200", None, "prefill.sh", '"${VLLM_NIXL_SIDE_CHANNEL_PORT:-$SIDE_CHANNEL_PORT}"', "5600"),
    "V65": ("qwen3-32b-mixed-h100-h200", None, "prefill.sh", '"${VLLM_NIXL_SIDE_CHANNEL_HOST:-$ADDRESS}"', "localhost"),
    "V66": ("llama-70b-16xh100", None, "prefill.sh", "export VLLM_MOONCAKE_BOOTSTRAP_PORT", "export NOTHING"),
    "V67": ("llama-70b-16xh100", None, "router-prefill-decode.sh", "--vllm-pd-disaggregation", ""),
    "V36": ("llama-70b-16xh100", None, "decode.sh", "--max-num-batched-tokens 3", "--max-num-batched-tokens 1 --x 3"),
    "V40": ("llama-70b-16xh100", None, "*.sh", "MooncakeConnector", "NixlConnector"),
    "V44": ("llama-70b-16xh100", None, "decode.sh", "MooncakeConnector", "NixlConnector"),
    "S08": ("deepseek-v3-2xnvl72", None, "decode.sh", "--moe-dense-tp-size 1", ""),
    "S09": ("deepseek-v3-2xnvl72", None, "decode.sh", "export SGLANG_SHARED_EXPERT_TP1", "export NOTHING"),
    "S18": ("deepseek-v3-32xh200", None, "decode.sh", "--max-running-requests", "--max-running-requests 99999 --x"),
    "S26": ("deepseek-v3-2xnvl72", None, "prefill.sh", "export SGLANG_PP_LAYER_PARTITION", "export NOTHING"),
    "S27": ("deepseek-v3-32xh200", None, "decode.sh", "--nnodes 3", "--nnodes 5"),
    "S48": ("qwen3-235b-16xh200", "sglang", "hosts.json", '"PORT": "80', '"PORT": "8000", "OLD": "'),
    "S51": ("deepseek-v3-2xnvl72", None, "router-prefill-decode.sh", "--pd-disaggregation", ""),
    "T09": ("deepseek-v3-32xh200", "trtllm", "decode.sh", "launch=(mpirun)", "exec trtllm-serve m --config decode.yaml"),
    "T13": ("deepseek-v3-32xh200", "trtllm", "decode.yaml", "backend: CUTLASS", "backend: WIDEEP"),
    "T23": ("deepseek-v3-32xh200", "trtllm", "*.yaml", "max_tokens_in_buffer: 5120", "max_tokens_in_buffer: 4096"),
    "T24": ("deepseek-v3-32xh200", "trtllm", "*.yaml", "max_tokens_in_buffer: 5120", "max_tokens_in_buffer: 5121"),
    "T30": ("gpt-oss-120b-8xb200", None, "unified.yaml", "free_gpu_memory_fraction: 0.9", "free_gpu_memory_fraction: 1.0"),
}  # fmt: skip


@pytest.mark.parametrize("rule", FORGOTTEN)
def test_what_a_file_forgets_is_noticed(rule: str, rules: list[Mapping[str, Any]], tmp_path: Path) -> None:
    name, engine, pattern, part, other = FORGOTTEN[rule]
    found = plan(name, engine)
    export(found, found.pools[0].engine).save(tmp_path)
    touched = [path for path in tmp_path.glob(pattern) if part in path.read_text()]
    assert touched, "the plan has changed: nothing to forget"
    for path in touched:
        path.write_text(path.read_text().replace(part, other))
    assert rule in {each[0] for each in broken(rules, script_files(found, found.pools[0].engine, tmp_path))}


def test_pods_on_an_nvlink_rack_claim_a_channel(rules: list[Mapping[str, Any]], tmp_path: Path) -> None:
    files = exported("deepseek-v3-2xnvl72", None, "lws", tmp_path)
    without = tuple(d for d in files.documents if d["kind"] != "ComputeDomain")
    assert "C01" not in {each[0] for each in broken(rules, files)}
    assert "C01" in {each[0] for each in broken(rules, replace(files, documents=without))}
