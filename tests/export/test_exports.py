"""Exports, read back from the files by an independent table of what engines mean."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from command_line import rackplan
from deployments import Deployed
from packaged_plans import SCENARIOS, solved

from solver import BadInput
from solver.export import TARGETS, export
from solver.export.layout import safe
from solver.plan import KVTier, Plan

ENGINES = Path(__file__).parents[3] / "shared" / "data" / "engines"
FLAGS = {"vllm": "vllm-0.33.0.flags.json", "sglang": "sglang-0.5.23.flags.json"}
#: Flags of vLLM's launcher, which its engine arguments do not list.
LAUNCHER = {"--host", "--port", "--headless", "--api-server-count", "--no-enable-prefix-caching"}
OTHERS = [("deepseek-v3-32xh200", "vllm"), ("deepseek-v3-32xh200", "trtllm"), ("deepseek-v3-2xnvl72", "vllm")]
OTHERS += [("qwen3-235b-16xh200", "sglang"), ("llama-70b-16xh100", "trtllm")]
CASES: list[tuple[str, str | None]] = [(name, None) for name in SCENARIOS] + OTHERS


def deployed(name: str, engine: str | None, folder: Path) -> Deployed:
    found = solved(name, engine)
    return Deployed(found, found.pools[0].engine, folder)


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_an_export_says_what_the_plan_says(name: str, engine: str | None, tmp_path: Path) -> None:
    ours = deployed(name, engine, tmp_path)
    for pool in ours.plan.pools:
        shape, limits = pool.parallelism, pool.limits
        entries = ours.entries(pool.name, 0)
        counts = [len(entry["devices"]) for entry in entries]
        started = ours.started(entries[0])
        flags, environment = started.flags(), started.environment
        layers = [last - first + 1 for first, last in (stage.layers for stage in pool.stages)]
        assert sum(counts) == shape.shape().devices
        assert {e["replica"] for e in ours.entries(pool.name)} == set(range(pool.replicas))
        assert started.number("--port") == int(entries[0]["environment"]["PORT"])
        if ours.engine == "vllm":
            tp, dp, pp = (started.number(f"--{n}-parallel-size") for n in ("tensor", "data", "pipeline"))
            assert (tp, dp, pp) == (shape.tp, shape.dp, shape.pp)
            assert ("--enable-expert-parallel" in flags) == (shape.ep > 1)
            assert started.number("--max-num-seqs") == limits.max_sequences
            assert started.number("--max-num-batched-tokens") == limits.max_batched_tokens
            assert started.number("--max-model-len") == limits.max_length
            assert environment.get("VLLM_PP_LAYER_PARTITION", "") == (",".join(map(str, layers)) if pp > 1 else "")
            local = started.number("--data-parallel-size-local", shape.dp)
            assert local * len(entries) == shape.dp or len(entries) == 1 or shape.dp == 1
            for number, entry in enumerate(entries):
                on_host = ours.started(entry).flags()
                assert ("--headless" in on_host) == (number > 0)
                if shape.dp > 1 and number:
                    assert on_host["--data-parallel-start-rank"] == [str(number * local)]
            transfer = json.loads(flags["--kv-transfer-config"][0]) if "--kv-transfer-config" in flags else {}
            assert transfer.get("kv_connector") == pool.connector
            kind = {"prefill": "kv_producer", "decode": "kv_consumer", "unified": None}[pool.role]
            assert transfer.get("kv_role") == kind
        elif ours.engine == "sglang":
            assert started.number("--tp-size") == shape.tp * shape.dp
            assert started.number("--attn-dp-size") == shape.dp
            assert started.number("--pp-size") == shape.pp
            assert started.number("--ep-size") == shape.ep
            assert started.number("--nnodes") == len(entries)
            assert started.number("--max-running-requests") == limits.max_sequences * shape.dp
            assert started.number("--speculative-num-steps", 0) == pool.draft_tokens
            assert flags.get("--disaggregation-transfer-backend", [None]) == [pool.connector]
            partition = environment.get("SGLANG_PP_LAYER_PARTITION", "")
            assert partition == (",".join(map(str, layers)) if shape.pp > 1 else "")
        else:
            content = yaml.safe_load((tmp_path / f"{safe(pool.name)}.yaml").read_text())
            assert content["tensor_parallel_size"] == shape.tp * shape.dp
            assert content["pipeline_parallel_size"] == shape.pp
            assert content.get("pp_partition", layers) == layers
            assert content.get("moe_expert_parallel_size", 1) == shape.ep
            assert content["enable_attention_dp"] == (shape.dp > 1)
            assert content["max_batch_size"] == limits.max_sequences
            assert content.get("cache_transceiver_config", {}).get("backend") == pool.connector
            assert started.words[0] == ("mpirun" if len(entries) > 1 else "trtllm-serve")
            if len(entries) > 1:
                ranks = [
                    int(value) for flag, value in zip(started.words, started.words[1:], strict=False) if flag == "-np"
                ]
                assert ranks == counts
    devices = [device for entry in ours.hosts["start"] for device in entry["devices"]]
    assert sorted(devices) == sorted(placed.device for placed in ours.plan.placement)


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_no_two_servers_of_a_host_share_a_port(name: str, engine: str | None, tmp_path: Path) -> None:
    ours = deployed(name, engine, tmp_path)
    widths = {pool.name: pool.parallelism.dp for pool in ours.plan.pools}
    for host in {entry["host"] for entry in ours.hosts["start"]}:
        taken: list[int] = [each["port"] for each in ours.hosts["routers"] if each["host"] == host]
        for entry in (e for e in ours.hosts["start"] if e["host"] == host):
            values = {key: int(entry["environment"][key]) for key in ("PORT", "BOOTSTRAP_PORT", "MEET_PORT")}
            side = int(entry["environment"]["SIDE_CHANNEL_PORT"])
            taken += [values["PORT"], values["BOOTSTRAP_PORT"], *range(values["MEET_PORT"], values["MEET_PORT"] + 14)]
            taken += range(side, side + widths[entry["pool"]])
        assert [port for port, count in Counter(taken).items() if count > 1] == []
        assert max(taken) < 32768, "from there on the kernel hands out ports of its own"


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_routers_reach_every_replica_with_the_plans_shares(name: str, engine: str | None, tmp_path: Path) -> None:
    """Shares of a pool's replicas, from the front's weights and the routers' even spread, are those of the plan."""
    ours = deployed(name, engine, tmp_path)
    address = ours.hosts["addresses"]
    of_url = {
        f"{address[e['host']]}:{e['environment']['PORT']}": e["pool"] for e in ours.hosts["start"] if "health" in e
    }
    routers = ours.routers()
    behind: dict[str, Counter[str]] = {}
    for router, started in routers.items():
        if router == "front":
            continue
        if ours.engine == "trtllm":
            content = yaml.safe_load((tmp_path / f"{router}.yaml").read_text())
            urls = content["context_servers"]["urls"] + content["generation_servers"]["urls"]
        else:
            flags = started.flags()
            values = (v for f in ("--prefill", "--decode", "--worker-urls") for v in flags.get(f, []))
            urls = [value.removeprefix("http://") for value in values if value.startswith("http://")]
        behind[router] = Counter(of_url[url] for url in urls)
    front = (tmp_path / "front.conf").read_text() if "front" in routers else ""
    for request_class, roles in ours.plan.routing.items():
        for role, shares in roles.items():
            found: Counter[str] = Counter()
            for leg in ours.hosts["shares"][request_class]:
                alike = [p for p in behind.get(leg["router"], ()) if ours.plan.pool(p).role == role]
                direct = [p.name for p in ours.plan.pools if p.role == role and p.name in leg["router"]]
                weights = {p: behind[leg["router"]][p] for p in alike} or dict.fromkeys(direct, 1)
                for pool, weight in weights.items():
                    found[pool] += leg["share"] * weight / sum(weights.values())
            assert found == pytest.approx({p: s for p, s in shares.items() if s > 0}, rel=0.02)
        if len(ours.hosts["shares"][request_class]) > 1:
            least = min(leg["share"] for leg in ours.hosts["shares"][request_class])
            assert f"{least:.2%}" in front
    direct = [url for url, pool in of_url.items() if not any(pool in b for b in behind.values())]
    if routers:
        assert all(f"server {url};" in front for url in direct)
    else:
        serve = ours.hosts["serve"]
        assert direct == [f"{address[serve['host']]}:{serve['port']}"]


def test_one_replica_serves_by_itself(tmp_path: Path) -> None:
    found = solved("gpt-oss-120b-8xb200")
    [pool] = found.pools
    placement = tuple(place for place in found.placement if place.replica == 0)
    one = found.model_copy(update={"pools": (pool.model_copy(update={"replicas": 1}),), "placement": placement})
    ours = Deployed(one, "trtllm", tmp_path)
    assert ours.hosts["routers"] == []
    assert ours.hosts["serve"]["port"] == int(ours.hosts["start"][0]["environment"]["PORT"])
    documents = list(yaml.safe_load_all(export(one, "lws").files["serve.yaml"]))
    [service] = [d for d in documents if d["kind"] == "Service"]
    assert service["spec"]["selector"]["leaderworkerset.sigs.k8s.io/name"] == "unified"


def kept(found: Plan, sizes: dict[str, float]) -> Plan:
    """The plan with idle KV of its first pool in tiers [bytes]."""
    first = found.pools[0]
    tier = KVTier.model_validate(
        {
            "class": first.serves[0],
            "pool": first.name,
            "hbm_until_s": 1,
            "dram_until_s": 2,
            "flash_until_s": 3,
            "hit_rate": 0.5,
            "bytes": sizes,
        }
    )
    return found.model_copy(update={"kv_tiers": (tier,)})


def test_idle_kv_is_kept_where_the_plan_keeps_it(tmp_path: Path) -> None:
    """A connector of vLLM beside that of the hand-over, HiCache, and a host cache; a part for every engine or rank."""
    sizes = {"dram": 64e9, "flash": 512e9}
    handed = solved("llama-70b-16xh100")
    vllm = Deployed(kept(handed, sizes), "vllm", tmp_path / "vllm")
    transfer = json.loads(vllm.started(vllm.entries("prefill")[0]).flags()["--kv-transfer-config"][0])
    assert (transfer["kv_connector"], transfer["kv_role"]) == ("MultiConnector", "kv_producer")
    handing, keeping = transfer["kv_connector_extra_config"]["connectors"]
    assert handing["kv_connector"] == handed.pools[0].connector
    assert keeping["kv_connector_extra_config"]["cpu_bytes_to_use"] == 64_000_000_000 // handed.pools[0].replicas
    assert [tier["type"] for tier in keeping["kv_connector_extra_config"]["secondary_tiers"]] == ["fs"]
    found = solved("deepseek-v3-32xh200")
    [prefill, *_] = found.pools
    sglang = Deployed(kept(found, sizes), "sglang", tmp_path / "sglang")
    flags = sglang.started(sglang.entries(prefill.name)[0]).flags()
    ranks = prefill.parallelism.shape().devices * prefill.replicas
    assert int(flags["--hicache-size"][0]) == pytest.approx(64 / ranks, abs=0.5)
    assert flags["--hicache-storage-backend"] == ["file"]
    assert "--disable-radix-cache" not in flags
    found = solved("gpt-oss-120b-8xb200")
    trtllm = export(kept(found, sizes), "trtllm")
    content = yaml.safe_load(trtllm.files["unified.yaml"])
    assert content["kv_cache_config"]["host_cache_size"] == int(64e9 / found.pools[0].devices)
    assert any("DRAM alone" in warning for warning in trtllm.warnings)


@pytest.mark.skipif(not ENGINES.exists(), reason="the engines' flags are not here")
@pytest.mark.parametrize(("name", "engine"), CASES)
def test_every_flag_and_choice_exists(name: str, engine: str | None, tmp_path: Path) -> None:
    ours = deployed(name, engine, tmp_path)
    if ours.engine not in FLAGS:
        pytest.skip("TensorRT-LLM's flags are not recorded")
    known = json.loads((ENGINES / FLAGS[ours.engine]).read_text())
    for entry in ours.hosts["start"]:
        for flag, values in ours.started(entry).flags().items():
            if ours.engine == "vllm" and flag in LAUNCHER:
                continue
            assert flag in known, flag
            if choices := known[flag]["choices"]:
                assert values[0] in choices, (flag, values)


@pytest.mark.parametrize("name", ["deepseek-v3-32xh200", "llama-70b-16xh100"])
def test_scripts_are_shell(name: str, tmp_path: Path) -> None:
    export(solved(name), "sglang").save(tmp_path)
    for script in (*tmp_path.glob("*.sh"), tmp_path / "slurm.sbatch"):
        subprocess.run(["bash", "-n", script], check=True)


def test_the_model_is_a_name_of_hugging_face_or_a_path(tmp_path: Path) -> None:
    ours = deployed("deepseek-v3-32xh200", None, tmp_path)
    entry = ours.hosts["start"][0]
    assert "deepseek-ai/DeepSeek-V3" in ours.started(entry).words
    path = {**entry, "environment": {**entry["environment"], "MODEL": "/models/mine"}}
    assert "/models/mine" in ours.started(path).words


@pytest.mark.skipif(not ENGINES.exists(), reason="the schema of LeaderWorkerSet is not here")
@pytest.mark.parametrize(("name", "engine"), CASES)
def test_leader_worker_sets_keep_their_schema(name: str, engine: str | None) -> None:
    found = solved(name, engine)
    bundle = export(found, "lws")
    for pool in found.pools:
        manifest = next(yaml.safe_load_all(bundle.files[f"{safe(pool.name)}.yaml"]))
        assert [error.message for error in leader_worker_sets().iter_errors(manifest)] == []
        spec = manifest["spec"]
        assert spec["replicas"] == pool.replicas
        pod = spec["leaderWorkerTemplate"]["workerTemplate"]["spec"]
        size = spec["leaderWorkerTemplate"]["size"] * int(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
        assert size == pool.parallelism.shape().devices
        assert allowed_hosts(pod) == hosts_of(found, pool.name)
    services = [d for d in yaml.safe_load_all(bundle.files["serve.yaml"]) if d["kind"] == "Service"]
    assert any(service["metadata"]["name"] == "serve" for service in services)


@cache
def leader_worker_sets() -> jsonschema.protocols.Validator:
    """What a LeaderWorkerSet may say."""
    crd = next(yaml.load_all((ENGINES / "leaderworkerset.crd.yaml").read_text(), yaml.CSafeLoader))
    schema = closed(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    kind = jsonschema.validators.validator_for(schema)
    kind.check_schema(schema)
    return kind(schema)


def closed(schema: Any) -> Any:
    """A schema that refuses keys it does not know."""
    if isinstance(schema, dict):
        inner = {key: closed(value) for key, value in schema.items()}
        if "properties" in schema and "x-kubernetes-preserve-unknown-fields" not in schema:
            inner.setdefault("additionalProperties", False)
        return inner
    return [closed(entry) for entry in schema] if isinstance(schema, list) else schema


def allowed_hosts(pod: dict[str, Any]) -> set[str]:
    """Labels of the nodes that a pod may be on."""
    required = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    [term] = required["nodeSelectorTerms"]
    [expression] = term["matchExpressions"]
    return set(expression["values"])


def hosts_of(found: Plan, pool: str) -> set[str]:
    """Hosts of a pool's devices, by the beginning of their names."""
    return {safe(place.device.rpartition("/")[0]) for place in found.placement if place.pool == pool}


@pytest.mark.parametrize(("name", "engine"), CASES)
def test_a_dynamo_graph_has_a_component_for_every_pool(name: str, engine: str | None) -> None:
    found = solved(name, engine)
    bundle = export(found, "dynamo")
    graph = next(yaml.safe_load_all(bundle.files["dynamo.yaml"]))
    assert (graph["apiVersion"], graph["kind"]) == ("nvidia.com/v1beta1", "DynamoGraphDeployment")
    components = {entry["name"]: entry for entry in graph["spec"]["components"]}
    assert components["Frontend"]["type"] == "frontend"
    for pool in found.pools:
        component = components[safe(pool.name)]
        pod = component["podTemplate"]["spec"]
        nodes = component.get("multinode", {"nodeCount": 1})["nodeCount"]
        assert (
            int(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]) * nodes
            == pool.parallelism.shape().devices
        )
        assert component["replicas"] == pool.replicas
        assert allowed_hosts(pod) == hosts_of(found, pool.name)


def test_what_an_engine_cannot_say_is_said() -> None:
    found = solved("deepseek-v3-32xh200")
    assert any("planned for sglang" in warning for warning in export(found, "vllm").warnings)
    pools = [pool for pool in found.pools if pool.parallelism.ep > 1]
    turned = tuple(m.model_copy(update={"physical_to_logical": m.physical_to_logical[::-1]}) for m in found.experts)
    changed = found.model_copy(update={"experts": turned})
    assert any("no expert map" in warning for warning in export(changed, "vllm").warnings)
    name = f"{safe(pools[0].name)}.experts.json"
    rows = json.loads(export(changed, "sglang").files[name])["physical_to_logical_map"]
    by_layer = {m.layer: list(m.physical_to_logical) for m in turned if m.pool == pools[0].name}
    assert all(rows[layer] == row for layer, row in by_layer.items())
    assert len(rows) == 61


def test_the_command_and_its_errors(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    solved("llama-70b-16xh100").save(path)
    for target in TARGETS:
        ran = rackplan("export", path, "--engine", target, "-o", tmp_path / target)
        assert ran.status == 0, ran.error
        assert list((tmp_path / target).iterdir())
    ran = rackplan("export", path, "--engine", "vlm", "-o", tmp_path)
    assert ran.status == 2
    assert "vllm" in ran.error
    with pytest.raises(BadInput, match="target"):
        export(solved("llama-70b-16xh100"), "ollama")
