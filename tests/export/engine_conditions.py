"""A second statement of the engines' rules: trees of ``engine_rules.json`` over facts read from exported files.

Nothing here reads ``solver.engines``: words of commands, variables, configuration files and manifests are all it knows,
beside the LLM's shape.
"""

from __future__ import annotations

import json
import operator
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from deployments import Started, run_script

from solver.cost.instance import Instance
from solver.llm import LLM
from solver.plan import Plan

Facts = Mapping[str, Any]
COMPARE = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
    "in": lambda value, listed: value in listed, "not in": lambda value, listed: value not in listed,
}  # fmt: skip
ARITHMETIC = {"+": operator.add, "*": operator.mul, "//": operator.floordiv, "%": operator.mod}


def holds(tree: Any, facts: Facts) -> bool:
    """Whether a condition holds; KeyError for a fact that nothing gave."""
    if isinstance(tree, dict):
        [(kind, parts)] = tree.items()
        if kind == "not":
            return not holds(parts, facts)
        return (all if kind == "all" else any)(holds(part, facts) for part in parts)
    left, sign, right = tree
    return bool(COMPARE[sign](value(left, facts), value(right, facts)))


def value(tree: Any, facts: Facts) -> Any:
    """A side of a comparison."""
    if isinstance(tree, dict):
        [(kind, parts)] = tree.items()
        if kind in ("text", "list"):
            return parts
        return ARITHMETIC[kind](*(value(part, facts) for part in parts))
    return facts[tree] if isinstance(tree, str) else tree


def llm_facts(llm: LLM) -> dict[str, Any]:
    """What rules ask of an LLM."""
    attentions = [layer.attention for layer in llm.layers if layer.attention.heads]
    cached = [a for a in attentions if a.kind not in ("linear", "none")]
    ffns = [layer.ffn for layer in llm.layers]
    latent = any(a.kind == "mla" for a in attentions)
    state = any(a.state_bytes for a in attentions)
    kinds = {(a.kind, a.kv_heads, a.kv_elements_per_token, a.window) for a in attentions}
    width = max(a.output_parameters // llm.hidden for a in attentions)
    dense, experts = llm.precision.dense, llm.precision.experts
    deepseek = "deepseek" in llm.name or "kimi-k2" in llm.name
    swa = any(a.kind in ("sliding", "chunked") for a in attentions)
    return {
        "heads": max(a.heads for a in attentions),
        "kv_heads": 1 if latent else min((a.kv_heads for a in cached), default=1),
        "is_mla": latent, "has_swa": swa, "hybrid": len(kinds) > 1, "has_state": state,
        "packed_kv": any(a.kind == "compressed" for a in attentions) or llm.precision.kv_cache.name == "fp8_ds_mla",
        "layers": len(llm.layers), "hidden": llm.hidden, "vocab": llm.vocab, "experts": llm.experts, "top_k": llm.top_k,
        "dense_width": max(f.width for f in ffns), "shared_width": max(f.shared_width for f in ffns),
        "expert_width": max(f.expert_width for f in ffns),
        "block": 128 if "fp8_block" in (dense.name, experts.name) else 1,
        "fp8_block": dense.name == "fp8_block", "fp8_block_experts": experts.name == "fp8_block" and llm.experts > 0,
        "nvfp4": dense.name == "nvfp4", "q_width": width, "o_width": width,
        "kv_width": max((a.kv_elements_per_token // 2 for a in cached), default=0),
        "supports_pp": True, "dsv4": "deepseek-v4" in llm.name, "deepseek": deepseek, "sparse_gqa": False,
        "replicated_state": state, "sharded_draft": False, "dense_gqa": not latent and not state,
        "has_indexer": any(a.indexer_flop_per_key > 0 for a in attentions),
        "unequal_kv_heads_by_layer": len({a.kv_heads for a in cached}) > 1,
    }  # fmt: skip


@dataclass(frozen=True)
class Worker:
    """One host of one replica: what it starts, and where."""

    pool: str
    replica: int
    host: str
    devices: int
    started: Started
    role: str
    files: Mapping[str, str] = field(default_factory=dict)

    def text(self, flag: str, default: str = "") -> str:
        """Value of a flag."""
        return (self.started.flags().get(flag) or [default])[0]

    def port(self, flag: str) -> int:
        """Port that a flag gives."""
        return int(self.text(flag, "0").rpartition(":")[2])


@dataclass(frozen=True)
class Files:
    """An export as files say it."""

    plan: Plan
    engine: str
    workers: tuple[Worker, ...]
    routers: Mapping[str, Started]
    front: str
    kubernetes: str = ""
    documents: tuple[Mapping[str, Any], ...] = ()

    def of(self, pool: str, replica: int = 0) -> list[Worker]:
        """Workers of a replica, its first host first."""
        return [w for w in self.workers if (w.pool, w.replica) == (pool, replica)]


def script_files(found: Plan, engine: str, folder: Path) -> Files:
    """A folder of scripts."""
    hosts = json.loads((folder / "hosts.json").read_text())
    roles = {pool.name: pool.role for pool in found.pools}
    texts = {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}
    workers = tuple(
        Worker(
            e["pool"], e["replica"], e["host"], len(e["devices"]), run_script(folder, e["script"], e["environment"]),
            roles[e["pool"]], texts,
        )
        for e in hosts["start"]
    )  # fmt: skip
    routers = {r["name"]: run_script(folder, r["script"], {}) for r in hosts["routers"]}
    front = (folder / "front.conf").read_text() if "front.sh" in texts else ""
    return Files(found, engine, workers, routers, front)


def pod_files(found: Plan, engine: str, files: Mapping[str, str], folder: Path, kind: str) -> Files:
    """Manifests: containers run as their pods would run them."""
    documents = tuple(d for name, text in files.items() if name.endswith(".yaml") for d in yaml.safe_load_all(text))
    maps = {d["metadata"]["name"]: d["data"] for d in documents if d["kind"] == "ConfigMap"}
    graph = next((d for d in documents if d["kind"] == "DynamoGraphDeployment"), None)
    workers: list[Worker] = []
    for pool in found.pools:
        if graph:
            [component] = [c for c in graph["spec"]["components"] if c["name"] == pool.name]
            size = component.get("multinode", {"nodeCount": 1})["nodeCount"]
            specs = [component["podTemplate"]["spec"]] * size
        else:
            [group] = [d for d in documents if d["kind"] == "LeaderWorkerSet" and d["metadata"]["name"] == pool.name]
            template = group["spec"]["leaderWorkerTemplate"]
            leader, worker = (template[f"{which}Template"]["spec"] for which in ("leader", "worker"))
            specs = [leader] + [worker] * (template["size"] - 1)
        for replica in range(pool.replicas):
            for number, spec in enumerate(specs):
                [container] = spec["containers"]
                given = maps.get(f"{pool.name}-plan", {})
                host = f"{pool.name}-{replica}-{number}"
                started = _pod(container, folder, number, host)
                count = int(container["resources"]["limits"]["nvidia.com/gpu"])
                workers.append(Worker(pool.name, replica, host, count, started, pool.role, given))
    routers = {
        d["metadata"]["name"]: _pod(d["spec"]["template"]["spec"]["containers"][0], folder, 0, "router")
        for d in documents
        if d["kind"] == "Deployment"
    }
    if graph:
        [front] = [c for c in graph["spec"]["components"] if c["type"] == "frontend"]
        routers["frontend"] = _pod(front["podTemplate"]["spec"]["containers"][0], folder, 0, "router")
    conf = next((data["front.conf"] for data in maps.values() if "front.conf" in data), "")
    return Files(found, engine, tuple(workers), routers, conf, kind, documents)


def _pod(container: Mapping[str, Any], folder: Path, number: int, host: str) -> Started:
    """What a container starts, with the variables that Kubernetes and LeaderWorkerSet give."""
    given = {"LWS_LEADER_ADDRESS": "leader", "LWS_WORKER_INDEX": str(number)}
    for entry in container.get("env", ()):
        text = entry.get("value", host)
        for name, known in given.items():
            text = text.replace(f"$({name})", known)
        given[entry["name"]] = text
    words = [*container["command"], *container.get("args", ())]
    for name, known in given.items():
        words = [word.replace(f"$({name})", known) for word in words]
    script = folder / "container.sh"
    script.write_text('exec "${words[@]}"\n')
    quoted = " ".join("'" + word.replace("'", "'\\''") + "'" for word in words)
    script.write_text(f'words=({quoted})\nexec "${{words[@]}}"\n')
    return run_script(folder, script.name, given)


def pool_facts(files: Files, pool_name: str) -> dict[str, Any]:
    """Facts of a pool's replicas."""
    pool = files.plan.pool(pool_name)
    llm = Instance.of(files.plan.scenario).llm
    workers = files.of(pool_name)
    first = workers[0]
    counts = {worker.devices for worker in workers}
    common = {
        **llm_facts(llm), "role": pool.role, "device": pool.device, "pcp": 1, "moe_dp": 1, "cp_type": "",
        "dcp": 1, "cp": 1, "hosts": len(workers), "nnodes": 1, "equal_hosts": len(counts) == 1, "drafts": 0, "spec": "none",
        "redundant": 0, "dbo": False, "a2a": "none", "a2a_mode": "", "all2all": "", "lb": "", "dp_local": 1,
        "connector": "none", "disaggregated": pool.role != "unified", "attention_backend": "default",
        "block_size": 16, "page_size": 1, "tokens_per_block": 32, "kv_layout": "NHD", "chunked_prefill": True,
        "kv_dtype": "", "mixed_memory_kv": "OffloadingConnector" in first.text("--kv-transfer-config"),
        "moe_backend": "", "deepep_cap": 128, "shared_fused": False, "kubernetes": bool(files.kubernetes),
        "max_len": pool.limits.max_length, "kv_tokens_per_rank": kv_tokens(files.plan, llm, pool_name),
        "expandable_segments": "expandable_segments" in first.started.environment.get("PYTORCH_CUDA_ALLOC_CONF", ""),
        "router_sequential": True, "exports_dynamo_connector_flag": "--connector" in first.started.flags(),
        "exports_mpi_launch": first.started.words[0] == "mpirun" or files.kubernetes == "dynamo",
        "exports_prefill_complete": False, "exports_overlap_schedule": False, "exports_dp_replicas": False,
        "exports_ssm_layout": first.started.environment.get("VLLM_SSM_CONV_STATE_LAYOUT") == "DS",
    }  # fmt: skip
    read = {"vllm": vllm_facts, "sglang": sglang_facts, "trtllm": trtllm_facts}[files.engine]
    facts = common | read(files, workers)
    default = default_cut(files.engine, len(llm.layers), facts["pp"])
    facts["cuts_differ_from_default"] = [b - a + 1 for a, b in (s.layers for s in pool.stages)] != default
    facts["stage"] = facts["tp"] * facts["dp"]
    facts["world"] = facts["stage"] * facts["pp"]
    return facts


def kv_tokens(plan: Plan, llm: LLM, name: str) -> int:
    """Tokens of one sequence that a rank's KV room holds."""
    pool = plan.pool(name)
    memory, degrees = pool.memory, pool.parallelism
    parts = memory.weights_bytes + memory.activation_bytes + memory.buffer_bytes + memory.reserve_bytes
    shards = 1 if llm_facts(llm)["is_mla"] else degrees.tp
    return int((memory.capacity_bytes - parts) / (llm.kv_bytes_per_token / degrees.pp / shards))


def default_cut(engine: str, layers: int, stages: int) -> list[int]:
    """The engine's own pipeline cut: vLLM gives spare layers to the stages before the last, SGLang to the last, TensorRT-LLM
    to the first."""
    each, spare = divmod(layers, stages)
    counts = [each] * stages
    places = {
        "vllm": [stages - 2 - n for n in range(spare)] if stages > 1 else [],
        "sglang": [stages - 1 - n for n in range(spare)],
        "trtllm": list(range(spare)),
    }[engine]
    for place in places:
        counts[place] += 1
    return counts


def vllm_facts(files: Files, workers: list[Worker]) -> dict[str, Any]:
    """From ``vllm serve``'s words and variables."""
    first, flags = workers[0], workers[0].started.flags()
    number = first.started.number
    tp, dp = number("--tensor-parallel-size"), number("--data-parallel-size")
    expert_parallel = "--enable-expert-parallel" in flags
    transfer = json.loads(first.text("--kv-transfer-config", "{}"))
    connectors = [transfer, *transfer.get("kv_connector_extra_config", {}).get("connectors", ())]
    handing = next((c for c in connectors if c.get("kv_connector", "").startswith(("Nixl", "Mooncake"))), {})
    eplb = json.loads(first.text("--eplb-config", "{}"))
    drafts = json.loads(first.text("--speculative-config", "{}"))
    environment = first.started.environment
    balancing = "hybrid" if {"--data-parallel-hybrid-lb", "--data-parallel-start-rank"} & set(flags) else "internal"
    dynamo = files.kubernetes == "dynamo"
    headless = dynamo or all("--headless" in w.started.flags() for w in workers[1:])
    starts = [w.started.number("--data-parallel-start-rank", 0) for w in workers]
    local = number("--data-parallel-size-local", dp)
    in_order = dp == 1 or len(workers) == 1 or dynamo or starts == [n * local for n in range(len(workers))]
    cut = environment.get("VLLM_PP_LAYER_PARTITION", "")
    return {
        "tp": tp, "dp": dp, "pp": number("--pipeline-parallel-size"), "ep": tp * dp if expert_parallel else 1,
        "moe_tp": 1 if expert_parallel else tp * dp, "dcp": number("--decode-context-parallel-size"),
        "nnodes": len(workers) if dynamo and dp == 1 else number("--nnodes"), "lb": balancing if dp > 1 else "",
        "dp_local": local, "max_seqs": number("--max-num-seqs"), "max_tokens": number("--max-num-batched-tokens"),
        "chunk": number("--max-num-batched-tokens"), "all2all": first.text("--all2all-backend"),
        "dbo": "--enable-dbo" in flags, "redundant": eplb.get("num_redundant_experts", 0),
        "drafts": drafts.get("num_speculative_tokens", 0), "spec": drafts.get("method", "none"),
        "kv_dtype": first.text("--kv-cache-dtype"), "connector": handing.get("kv_connector", "none"),
        "exports_eplb": "--enable-eplb" in flags, "exports_connector": bool(handing),
        "exports_kv_both": handing.get("kv_role") == "kv_both", "exports_headless": headless and in_order,
        "exports_nnodes": dynamo or "--nnodes" in flags or dp > 1,
        "exports_layer_partition": [int(n) for n in cut.split(",") if n] == [
            s.layers[1] - s.layers[0] + 1 for s in files.plan.pool(first.pool).stages
        ],
        "exports_mooncake_bootstrap": first.role == "decode" or "VLLM_MOONCAKE_BOOTSTRAP_PORT" in environment,
        "exports_every_host_to_router": balancing == "internal",
    }  # fmt: skip


def sglang_facts(files: Files, workers: list[Worker]) -> dict[str, Any]:
    """From ``sglang.launch_server``'s words and variables."""
    first, flags = workers[0], workers[0].started.flags()
    number, environment = first.started.number, first.started.environment
    ranks, dp = number("--tp-size"), number("--attn-dp-size")
    exchange = first.text("--moe-a2a-backend", "none")
    ep = ranks if exchange != "none" else number("--ep-size")
    dbo = "--enable-two-batch-overlap" in flags
    drafts = number("--speculative-num-steps", 0)
    running = number("--max-running-requests")
    llm = Instance.of(files.plan.scenario).llm
    cut = environment.get("SGLANG_PP_LAYER_PARTITION", "")
    return {
        "tp": ranks // dp, "dp": dp, "pp": number("--pp-size"), "ep": ep, "moe_tp": ranks // ep, "cp": 1,
        "dcp": number("--dcp-size"), "nnodes": len(workers) if files.kubernetes == "dynamo" else number("--nnodes"),
        "a2a": exchange, "a2a_mode": first.text("--deepep-mode"), "max_seqs": running // dp, "dbo": dbo,
        "max_tokens": number("--max-prefill-tokens"), "chunk": number("--chunked-prefill-size") // dp,
        "redundant": number("--ep-num-redundant-experts", 0), "drafts": drafts,
        "spec": first.text("--speculative-algorithm", "none").lower(), "kv_dtype": first.text("--kv-cache-dtype"),
        "connector": first.text("--disaggregation-transfer-backend", "none"),
        "deepep_cap": int(environment.get("SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK", 128)),
        "shared_fused": llm_facts(llm)["deepseek"] and ep == 1 and exchange == "none" and not dbo,
        "exports_moe_dense_tp_1": first.text("--moe-dense-tp-size") == "1",
        "exports_shared_expert_tp1": environment.get("SGLANG_SHARED_EXPERT_TP1") == "1",
        "exports_dp_replicas": "--dp-size" in flags, "exports_connector": "--disaggregation-mode" in flags,
        "exports_layer_partition": [int(n) for n in cut.split(",") if n] == [
            s.layers[1] - s.layers[0] + 1 for s in files.plan.pool(first.pool).stages
        ],
    }  # fmt: skip


def trtllm_facts(files: Files, workers: list[Worker]) -> dict[str, Any]:
    """From TensorRT-LLM's configuration file."""
    first = workers[0]
    words = first.started.words
    flag = "--config" if "--config" in words else "--extra-engine-args"
    content = yaml.safe_load(first.files[Path(words[words.index(flag) + 1]).name])
    stage, pp = content["tensor_parallel_size"], content["pipeline_parallel_size"]
    dp = stage if content["enable_attention_dp"] else 1
    cache, handing = content["kv_cache_config"], content.get("cache_transceiver_config", {})
    return {
        "tp": stage // dp, "dp": dp, "pp": pp, "ep": content.get("moe_expert_parallel_size", 1),
        "moe_tp": content.get("moe_tensor_parallel_size", 1), "cp": content.get("context_parallel_size", 1),
        "cp_type": content.get("cp_config", {}).get("cp_type", ""), "max_seqs": content["max_batch_size"],
        "max_tokens": content["max_num_tokens"], "chunk": content["max_num_tokens"],
        "chunked_prefill": content["enable_chunked_prefill"], "moe_backend": content.get("moe_config", {}).get("backend", ""),
        "drafts": content.get("speculative_config", {}).get("num_nextn_predict_layers", 0),
        "spec": content.get("speculative_config", {}).get("decoding_type", "none").lower(), "kv_dtype": cache["dtype"],
        "tokens_per_block": cache["tokens_per_block"], "connector": handing.get("backend", "none"),
        "redundant": files.plan.pool(first.pool).redundant_experts, "exports_connector": bool(handing),
        "exports_free_gpu_memory_fraction": cache["free_gpu_memory_fraction"],
        "exports_max_tokens_in_buffer": handing.get("max_tokens_in_buffer", 0),
        "exports_disable_overlap_scheduler": content.get("disable_overlap_scheduler", False),
        "exports_layer_partition": content.get("pp_partition", []) == [
            s.layers[1] - s.layers[0] + 1 for s in files.plan.pool(first.pool).stages
        ],
    }  # fmt: skip


def host_facts(files: Files, host: str) -> dict[str, Any]:
    """Facts of the workers on one host."""
    here = [w for w in files.workers if w.host == host]
    heads = [w for w in here if files.of(w.pool, w.replica)[0] == w]
    ports = [w.started.environment["PORT"] for w in here if w.started.words]
    # Only who hands over binds a side channel.
    handing = [w for w in here if w.text("--kv-transfer-config")]
    sides = [int(w.started.environment.get("VLLM_NIXL_SIDE_CHANNEL_PORT", 5600)) for w in handing]
    handshakes = [
        p for w, p in zip(handing, sides, strict=True) for p in range(p, p + w.started.number("--data-parallel-size"))
    ]
    booted = [w.text("--disaggregation-bootstrap-port", "8998") for w in heads if w.role == "prefill"]
    meets = sorted(w.port("--dist-init-addr") for w in heads)
    return {
        "workers_on_host": len(here), "heads_on_host": len(heads),
        "prefill_heads_on_host": sum(w.role == "prefill" for w in heads),
        "exports_port_per_worker": len(set(ports)) == len(ports),
        "exports_connector": any("NixlConnector" in w.text("--kv-transfer-config") for w in here),
        "exports_side_channel_port": len(set(handshakes)) == len(handshakes),
        "exports_bootstrap_port": len(set(booted)) == len(booted),
        "dist_init_gap": min((b - a for a, b in pairwise(meets)), default=100),
    }  # fmt: skip


def plan_facts(files: Files) -> dict[str, Any]:
    """Facts of a whole deployment."""
    plan = files.plan
    prefill = [pool for pool in plan.pools if pool.role == "prefill"]
    uneven = False
    for roles in plan.routing.values():
        for shares in roles.values():
            total = sum(plan.pool(name).replicas for name in shares)
            uneven |= any(abs(s - plan.pool(n).replicas / total) > 0.01 for n, s in shares.items())
    handing = [w for w in files.workers if "Nixl" in w.text("--kv-transfer-config")]
    hosts = [w.started.environment.get("VLLM_NIXL_SIDE_CHANNEL_HOST", "localhost") for w in handing]
    cluster = Instance.of(plan.scenario).cluster
    domains: dict[str, set[str]] = {}
    for place in plan.placement:
        node = cluster.nodes[place.device]
        domains.setdefault(str(node.get("domain")), set()).add(str(node.get("host")))
    nvlink = any(len(found) > 1 for found in domains.values())
    containers = [c for d in files.documents for c in _containers(d)]
    workers = [c for c in containers if "nvidia.com/gpu" in c.get("resources", {}).get("limits", {})]
    buffers = (
        [pool_facts(files, pool.name)["exports_max_tokens_in_buffer"] for pool in prefill]
        if files.engine == "trtllm"
        else [0]
    )
    pd = ("--vllm-pd-disaggregation", "--pd-disaggregation", "disaggregated", "dynamo.frontend")
    labels = {label for document in files.documents for label in _labels(document)}
    return {
        "disaggregated": bool(prefill), "hosts_of_plan": len(labels or {w.host for w in files.workers}),
        "heterogeneous_weights": uneven, "exports_router_weights": "split_clients" in files.front,
        "exports_router": any(word in pd for router in files.routers.values() for word in router.words),
        "exports_side_channel_host": all(h not in ("localhost", "127.0.0.1", "") for h in hosts),
        "exports_max_tokens_in_buffer": min(buffers, default=0), "tokens_per_block": 32,
        "max_prompt": max((pool.limits.max_length for pool in prefill), default=0),
        "mnnvl_between_pods": bool(files.kubernetes) and nvlink, "kubernetes": bool(files.kubernetes),
        "exports_compute_domain": any(d["kind"] == "ComputeDomain" for d in files.documents)
        and all(c["resources"].get("claims") for c in workers),
        "exports_rdma_resources": all("rdma/ib" in c["resources"]["limits"] for c in workers),
    }  # fmt: skip


def _labels(tree: Any) -> Iterator[str]:
    """Hosts that node affinities name."""
    if isinstance(tree, Mapping):
        if tree.get("key") == "rackplan/host":
            yield from tree["values"]
        for part in tree.values():
            yield from _labels(part)
    elif isinstance(tree, list):
        for part in tree:
            yield from _labels(part)


def _containers(tree: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(tree, Mapping):
        yield from tree.get("containers", ())
        for part in tree.values():
            yield from _containers(part)
    elif isinstance(tree, list):
        for part in tree:
            yield from _containers(part)


def broken(rules: list[Mapping[str, Any]], files: Files) -> list[tuple[str, str, str]]:
    """Rules that a deployment breaks: id, consequence, and who breaks it."""
    found = []
    engines = {
        files.engine,
        *(["common"] if files.kubernetes else []),
        *(["dynamo"] if files.kubernetes == "dynamo" else []),
    }
    pools = {pool.name: pool_facts(files, pool.name) for pool in files.plan.pools}
    hosts = sorted({w.host for w in files.workers})
    sides = {role: [p.name for p in files.plan.pools if p.role == role] for role in ("prefill", "decode")}
    pairs = [(p, d) for p in sides["prefill"] for d in sides["decode"]]
    for rule in rules:
        if rule["kind"] != "must" or rule["engine"] not in engines:
            continue
        tree = rule["violated_when"]
        if rule["scope"] == "pool":
            # Dynamo's own rules of pools are about the connectors of vLLM's workers.
            asked = pools if rule["engine"] != "dynamo" else {n: f for n, f in pools.items() if _hands_over(files, f)}
            guilty = [name for name, facts in asked.items() if holds(tree, facts)]
        elif rule["scope"] == "host":
            guilty = [host for host in hosts if holds(tree, host_facts(files, host))]
        elif rule["scope"] == "plan":
            guilty = ["plan"] if holds(tree, plan_facts(files)) else []
        else:
            guilty = [f"{p}->{d}" for p, d in pairs if holds(tree, paired(pools[p], pools[d]))]
        found += [(rule["id"], rule["consequence"], each) for each in guilty]
    return found


def _hands_over(files: Files, facts: Facts) -> bool:
    return files.engine == "vllm" and bool(facts["exports_connector"])


def paired(prefill: Facts, decode: Facts) -> dict[str, Any]:
    """Facts of a prefill and a decode pool that meet."""
    both = {f"p.{name}": value for name, value in prefill.items()} | {
        f"d.{name}": value for name, value in decode.items()
    }
    return both | {"connector": prefill["connector"], "is_mla": prefill["is_mla"]}
