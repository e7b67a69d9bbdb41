"""Exports, read back by an independent table of what engines mean: degrees, world size, ranks per host and limits."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from solver import BadInput, Scenario
from solver.export import TARGETS, ExportedFiles, export
from solver.export.layout import safe
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan, Pool
from solver.workload.files import packaged, read_content

ENGINES = Path(__file__).parents[3] / "shared" / "data" / "engines"
FLAGS = {"vllm": "vllm-0.33.0.flags.json", "sglang": "sglang-0.5.23.flags.json"}


@cache
def plan(name: str, engine: str) -> Plan:
    content, _ = read_content(name)
    options = {"speculation": {"acceptance": [0.8, 0.6]}} if name.startswith("deepseek") else {}
    scenario = Scenario.from_mapping({**content, "engine": engine, **options}, name)
    return solve_scenario(scenario, Effort(time_limit_s=20, gap=0.05)).plan


def words_of(bundle: ExportedFiles, pool: Pool) -> list[str]:
    line = next(line for line in bundle.files[f"{safe(pool.name)}.sh"].splitlines() if line.startswith("exec "))
    return shlex.split(line)


def read(words: list[str]) -> dict[str, list[str]]:
    """Flags and their values."""
    found: dict[str, list[str]] = {}
    last = ""
    for word in words:
        if word.startswith("--"):
            last = word
            found[last] = []
        elif last:
            found[last].append(word)
    return found


def number(flags: Mapping[str, list[str]], name: str, default: int = 1) -> int:
    return int(flags[name][0]) if name in flags else default


CASES = [(name, engine) for name in packaged() for engine in ("vllm", "sglang", "trtllm") if "mixed" not in name]


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_an_export_says_what_the_plan_says(name: str, engine: str) -> None:
    found = plan(name, engine)
    bundle = export(found, engine)
    hosts = json.loads(bundle.files["hosts.json"])["start"]
    for pool in found.pools:
        flags = read(words_of(bundle, pool))
        shape, limits = pool.parallelism, pool.limits
        per_host = [len(entry["devices"]) for entry in hosts if entry["pool"] == pool.name and entry["replica"] == 0]
        assert sum(per_host) == shape.shape().devices
        if engine == "vllm":
            tp, dp, pp = (number(flags, f"--{n}-parallel-size") for n in ("tensor", "data", "pipeline"))
            assert (tp, dp, pp) == (shape.tp, shape.dp, shape.pp)
            assert ("--enable-expert-parallel" in flags) == (shape.ep > 1)
            if "--data-parallel-size-local" in flags:
                assert number(flags, "--data-parallel-size-local") * tp == per_host[0]
            assert number(flags, "--max-num-seqs") == limits.max_sequences
            assert number(flags, "--max-num-batched-tokens") == limits.max_batched_tokens
            assert number(flags, "--max-model-len") == limits.max_length
        elif engine == "sglang":
            assert number(flags, "--tp-size") == shape.tp * shape.dp
            assert number(flags, "--attn-dp-size") == shape.dp
            assert number(flags, "--pp-size") == shape.pp
            assert number(flags, "--ep-size") == shape.ep
            assert number(flags, "--nnodes") == len(per_host)
            assert number(flags, "--max-running-requests") == limits.max_sequences * shape.dp
            assert number(flags, "--speculative-num-steps", 0) == pool.draft_tokens
        else:
            content = yaml.safe_load(bundle.files[f"{pool.name}.yaml"])
            assert content["tensor_parallel_size"] == shape.tp * shape.dp
            assert content["pipeline_parallel_size"] == shape.pp
            assert content.get("moe_expert_parallel_size", 1) == shape.ep
            assert content["enable_attention_dp"] == (shape.dp > 1)
            assert content["max_batch_size"] == limits.max_sequences
            assert content.get("speculative_config", {}).get("num_nextn_predict_layers", 0) == pool.draft_tokens
        replicas = {(entry["replica"]) for entry in hosts if entry["pool"] == pool.name}
        assert replicas == set(range(pool.replicas))
    devices = [device for entry in hosts for device in entry["devices"]]
    assert sorted(devices) == sorted(placed.device for placed in found.placement)


@pytest.mark.skipif(not ENGINES.exists(), reason="the engines' flags are not here")
@pytest.mark.parametrize(("name", "engine"), [case for case in CASES if case[1] in FLAGS])
def test_every_flag_and_choice_exists(name: str, engine: str) -> None:
    known = json.loads((ENGINES / FLAGS[engine]).read_text())
    found = plan(name, engine)
    bundle = export(found, engine)
    for pool in found.pools:
        for flag, values in read(words_of(bundle, pool)).items():
            assert flag in known, flag
            choices = known[flag]["choices"]
            if choices:
                assert values[0] in choices, (flag, values)


@pytest.mark.parametrize("name", ["deepseek-v3-32xh200", "llama-70b-16xh100"])
def test_scripts_are_shell(name: str, tmp_path: Path) -> None:
    found = plan(name, "sglang")
    export(found, "sglang").save(tmp_path)
    for script in tmp_path.glob("*.sh"):
        subprocess.run(["bash", "-n", script], check=True)
        fake = "exec() { printf '%s\\n' \"$@\"; }\n" + script.read_text()
        ran = subprocess.run(
            ["bash", "-c", fake], capture_output=True, text=True, check=True, env={"HEAD": "h0", "PATH": "/bin"}
        )
        assert found.scenario.llm.config in ran.stdout.splitlines()  # type: ignore[operator]


@pytest.mark.skipif(not ENGINES.exists(), reason="the schema of LeaderWorkerSet is not here")
@pytest.mark.parametrize("name", ["deepseek-v3-32xh200", "llama-70b-16xh100"])
def test_leader_worker_sets_keep_their_schema(name: str) -> None:
    crd = next(yaml.safe_load_all((ENGINES / "leaderworkerset.crd.yaml").read_text()))
    schema = closed(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    found = plan(name, "sglang")
    for pool in found.pools:
        manifest = next(yaml.safe_load_all(export(found, "lws").files[f"{safe(pool.name)}.yaml"]))
        jsonschema.validate(manifest, schema)
        spec = manifest["spec"]
        assert spec["replicas"] == pool.replicas
        container = spec["leaderWorkerTemplate"]["workerTemplate"]["spec"]["containers"][0]
        size = spec["leaderWorkerTemplate"]["size"] * int(container["resources"]["limits"]["nvidia.com/gpu"])
        assert size == pool.parallelism.shape().devices


def closed(schema: Any) -> Any:
    """A schema that refuses keys it does not know."""
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and "x-kubernetes-preserve-unknown-fields" not in schema:
            inner.setdefault("additionalProperties", False)
        return inner
    return [closed(entry) for entry in schema] if isinstance(schema, list) else schema


@pytest.mark.parametrize("name", ["deepseek-v3-32xh200", "llama-70b-16xh100"])
def test_a_dynamo_graph_has_a_component_for_every_pool(name: str) -> None:
    found = plan(name, "sglang")
    bundle = export(found, "dynamo")
    graph = next(yaml.safe_load_all(bundle.files["dynamo.yaml"]))
    assert (graph["apiVersion"], graph["kind"]) == ("nvidia.com/v1beta1", "DynamoGraphDeployment")
    components = {entry["name"]: entry for entry in graph["spec"]["components"]}
    assert components["Frontend"]["type"] == "frontend"
    for pool in found.pools:
        component = components[safe(pool.name)]
        limits = component["podTemplate"]["spec"]["containers"][0]["resources"]["limits"]
        nodes = component.get("multinode", {"nodeCount": 1})["nodeCount"]
        assert int(limits["nvidia.com/gpu"]) * nodes == pool.parallelism.shape().devices
        assert component["replicas"] == pool.replicas
    assert any("placement" in warning for warning in bundle.warnings)


def test_what_an_engine_cannot_say_is_said() -> None:
    found = plan("deepseek-v3-32xh200", "sglang")
    assert any("planned for sglang" in warning for warning in export(found, "vllm").warnings)
    pools = [pool for pool in found.pools if pool.parallelism.ep > 1]
    turned = tuple(m.model_copy(update={"physical_to_logical": m.physical_to_logical[::-1]}) for m in found.experts)
    changed = found.model_copy(update={"experts": turned})
    assert any("no expert map" in warning for warning in export(changed, "vllm").warnings)
    name = f"{pools[0].name}.experts.json"
    rows = json.loads(export(changed, "sglang").files[name])["physical_to_logical_map"]
    by_layer = {m.layer: list(m.physical_to_logical) for m in turned if m.pool == pools[0].name}
    assert all(rows[layer] == row for layer, row in by_layer.items())
    assert len(rows) == 61


def test_the_command_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan("llama-70b-16xh100", "vllm").save(path)
    rackplan = Path(sys.executable).with_name("rackplan")
    for target in TARGETS:
        words = [rackplan, "export", path, "--engine", target, "-o", tmp_path / target]
        ran = subprocess.run(words, capture_output=True, text=True, check=False)
        assert ran.returncode == 0, ran.stderr
        assert list((tmp_path / target).iterdir())
    ran = subprocess.run(
        [rackplan, "export", path, "--engine", "vlm", "-o", tmp_path], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 2
    assert "vllm" in ran.stderr
    with pytest.raises(BadInput, match="target"):
        export(plan("llama-70b-16xh100", "vllm"), "ollama")
