"""No rule of an engine is broken by what exports write; each rule of files is broken by a file that forgets it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from engine_conditions import Files, broken, pod_files, script_files
from packaged_plans import SCENARIOS, solved

from solver.export import export

#: What may be: it is priced or only said.
HARMLESS = {"info", "silently_slow"}
OTHERS = [("deepseek-v3-32xh200", "vllm"), ("deepseek-v3-32xh200", "trtllm"), ("deepseek-v3-2xnvl72", "vllm")]
OTHERS += [("qwen3-235b-16xh200", "sglang"), ("llama-70b-16xh100", "trtllm")]
CASES: list[tuple[str, str | None]] = [(name, None) for name in SCENARIOS] + OTHERS


@pytest.fixture(scope="session")
def rules(shared_data: Path) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = json.loads((shared_data / "engines" / "engine_rules.json").read_text())["records"]
    return found


def exported(name: str, engine: str | None, target: str, folder: Path) -> Files:
    found = solved(name, engine)
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


#: What a file may forget, by rule: its name, the part of it that is taken out, and what stands there instead.
FORGOTTEN = {
    "V14": ("*.sh", "--enable-eplb ", ""),
    "V22": ("prefill*.sh", "export VLLM_PP_LAYER_PARTITION", "export NOTHING"),
    "V28": ("*.sh", "--headless", ""),
    "V36": ("*.sh", "--max-num-batched-tokens ", "--max-num-batched-tokens 1 --x "),
    "V40": ("*.sh", "MooncakeConnector", "NixlConnector"),
    "V44": ("decode.sh", "MooncakeConnector", "NixlConnector"),
    "V58": ("decode.sh", "kv_consumer", "kv_both"),
    "V63": ("hosts.json", '"PORT": "80', '"PORT": "8000", "OLD": "'),
    "V64": ("*.sh", r"\$SIDE_CHANNEL_PORT", "5600"),
    "V65": ("*.sh", r"_CHANNEL_HOST:-\$ADDRESS", "_CHANNEL_HOST:-localhost"),
    "V66": ("prefill*.sh", "export VLLM_MOONCAKE_BOOTSTRAP_PORT", "export NOTHING"),
    "V67": ("router*.sh", "--vllm-pd-disaggregation", ""),
    "S08": ("*.sh", "--moe-dense-tp-size 1", ""),
    "S09": ("*.sh", "--moe-a2a-backend deepep|export SGLANG_SHARED_EXPERT_TP1", "export NOTHING"),
    "S18": ("*.sh", "--max-running-requests", "--max-running-requests 99999 --x"),
    "S26": ("prefill*.sh", "export SGLANG_PP_LAYER_PARTITION", "export NOTHING"),
    "S27": ("*.sh", "--nnodes (3|10|8|4)", "--nnodes 7"),
    "S48": ("hosts.json", '"PORT": "80', '"PORT": "8000", "OLD": "'),
    "S51": ("router*.sh", "--pd-disaggregation", ""),
    "T09": ("*.sh", r"launch=\(mpirun\)", "exec trtllm-serve m --config decode.yaml"),
    "T13": ("*.yaml", "backend: CUTLASS", "backend: WIDEEP"),
    "T23": ("*.yaml", r"max_tokens_in_buffer: \d+", "max_tokens_in_buffer: 32"),
    "T24": ("*.yaml", r"(max_tokens_in_buffer: \d+)\d", r"\g<1>1"),
    "T30": ("unified.yaml", "free_gpu_memory_fraction: 0.9", "free_gpu_memory_fraction: 1.0"),
}
ENGINE_OF = {"V": "vllm", "S": "sglang", "T": "trtllm"}


@pytest.mark.parametrize("rule", FORGOTTEN)
def test_what_a_file_forgets_is_noticed(rule: str, rules: list[Mapping[str, Any]], tmp_path: Path) -> None:
    """In some export of the engine: not every plan has what the rule is about."""
    pattern, part, other = FORGOTTEN[rule]
    wanted, noticed = ENGINE_OF[rule[0]], []
    for number, (name, engine) in enumerate(CASES):
        found = solved(name, engine)
        if found.pools[0].engine != wanted:
            continue
        folder = tmp_path / str(number)
        export(found, wanted).save(folder)
        before = {path: path.read_text() for path in folder.glob(pattern)}
        for path, text in before.items():
            path.write_text(re.sub(part, other, text))
        if any(path.read_text() != text for path, text in before.items()):
            noticed += [rule for each in broken(rules, script_files(found, wanted, folder)) if each[0] == rule]
        if noticed:
            break
    assert noticed


def test_pods_on_an_nvlink_rack_claim_a_channel(rules: list[Mapping[str, Any]], tmp_path: Path) -> None:
    files = exported("deepseek-v3-2xnvl72", None, "lws", tmp_path)
    without = tuple(d for d in files.documents if d["kind"] != "ComputeDomain")
    assert "C01" not in {each[0] for each in broken(rules, files)}
    assert "C01" in {each[0] for each in broken(rules, replace(files, documents=without))}
