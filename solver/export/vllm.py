"""``vllm serve`` (0.33)."""

from __future__ import annotations

import json
from typing import Any

from solver.export.command import Command, Words, kv_dtype, transport
from solver.export.layout import Deployment
from solver.plan import Pool
from solver.workload.kv_tiers import FLASH, REMOTE

_KV_DTYPES = {"bf16": "auto", "fp8": "fp8", "fp8_ds_mla": "fp8_ds_mla", "nvfp4": "nvfp4"}
#: Where storage tiers keep blocks: local drives, and what all hosts share.
STORAGE = {FLASH.name: "/var/lib/kv-cache", REMOTE.name: "/mnt/kv-cache"}


def vllm(deployment: Deployment, pool: Pool) -> Command:
    """The command of a pool's replicas."""
    leader, follower = _by_host(deployment, pool)
    return Command(
        ("vllm", "serve"),
        [
            *("$MODEL", "--host", "0.0.0.0", "--port", "$PORT"),
            *_degrees(deployment, pool),
            *_experts(deployment, pool),
            *_limits(deployment, pool),
            *_features(deployment, pool),
        ],
        leader,
        follower,
        _environment(deployment, pool),
        lost=tuple(_lost(deployment, pool)),
    )


def _degrees(deployment: Deployment, pool: Pool) -> Words:
    degrees, hosts = pool.parallelism, pool.hosts_per_replica
    words = ["--tensor-parallel-size", str(degrees.tp), "--pipeline-parallel-size", str(degrees.pp)]
    if degrees.cp > 1:
        words += ["--decode-context-parallel-size", str(degrees.cp)]
    if degrees.dp > 1:
        words += ["--data-parallel-size", str(degrees.dp)]
        if hosts > 1:
            words += ["--data-parallel-size-local", str(degrees.dp // hosts)]
            words += ["--data-parallel-address", "$HEAD", "--data-parallel-rpc-port", "$MEET_PORT"]
    elif hosts > 1:
        words += ["--nnodes", str(hosts), "--node-rank", "$NODE_RANK"]
        words += ["--master-addr", "$HEAD", "--master-port", "$MEET_PORT"]
    return words


def _by_host(deployment: Deployment, pool: Pool) -> tuple[Words, Words]:
    """The first host of a replica serves; the others only compute, data-parallel ranks from their first on."""
    local = max(pool.parallelism.dp // pool.hosts_per_replica, 1)
    leader = ["--api-server-count", str(local)] if pool.parallelism.dp > 1 else []
    if pool.hosts_per_replica == 1:
        return leader, []
    return leader, ["--headless"] + (["--data-parallel-start-rank", "$FIRST_RANK"] if pool.parallelism.dp > 1 else [])


def _experts(deployment: Deployment, pool: Pool) -> Words:
    if pool.parallelism.ep == 1:
        return []
    words = ["--enable-expert-parallel"]
    exchange = deployment.launch(pool).exchange
    if exchange != "none":
        words += ["--all2all-backend", exchange]
    if pool.redundant_experts:
        words += ["--enable-eplb", "--eplb-config", json.dumps({"num_redundant_experts": pool.redundant_experts})]
    return words


def _limits(deployment: Deployment, pool: Pool) -> Words:
    limits = pool.limits
    words = ["--max-num-seqs", str(limits.max_sequences), "--max-num-batched-tokens", str(limits.max_batched_tokens)]
    words += ["--max-model-len", str(limits.max_length), "--gpu-memory-utilization", f"{limits.memory_fraction:g}"]
    if limits.captured_batch_sizes:
        words += ["--cudagraph-capture-sizes", *map(str, limits.captured_batch_sizes)]
    return [*words, "--kv-cache-dtype", kv_dtype(deployment, _KV_DTYPES)]


def _features(deployment: Deployment, pool: Pool) -> Words:
    words = ["--enable-prefix-caching" if deployment.reuses(pool) else "--no-enable-prefix-caching"]
    if pool.overlap:
        words.append("--enable-dbo")
    if pool.draft_tokens:
        words += ["--speculative-config", json.dumps({"method": "mtp", "num_speculative_tokens": pool.draft_tokens})]
    if transfer := _transfer(deployment, pool):
        words += ["--kv-transfer-config", json.dumps(transfer)]
    return words


def _transfer(deployment: Deployment, pool: Pool) -> dict[str, Any]:
    """Connectors of the hand-over and of idle KV; several are one ``MultiConnector``."""
    role = {"prefill": "kv_producer", "decode": "kv_consumer", "unified": "kv_both"}[pool.role]
    connectors: list[dict[str, Any]] = []
    if name := deployment.connector(pool):
        connectors.append({"kv_connector": name, "kv_role": role})
    if kept := deployment.kept_bytes(pool):
        # Each data-parallel rank is an engine with memory of its own.
        extra: dict[str, Any] = {"cpu_bytes_to_use": int(deployment.host_memory_bytes(pool) / pool.parallelism.dp)}
        if stores := [{"type": "fs", "root_dir": STORAGE[tier]} for tier in kept if tier in STORAGE]:
            extra |= {"spec_name": "TieringOffloadingSpec", "secondary_tiers": stores}
        connectors.append(
            {"kv_connector": "OffloadingConnector", "kv_role": "kv_both", "kv_connector_extra_config": extra}
        )
    if len(connectors) < 2:
        return connectors[0] if connectors else {}
    extra = {"connectors": connectors}
    return {"kv_connector": "MultiConnector", "kv_role": role, "kv_connector_extra_config": extra}


def _environment(deployment: Deployment, pool: Pool) -> dict[str, str]:
    found = transport(deployment, pool) | {"VLLM_HOST_IP": "$ADDRESS"}
    if pool.parallelism.pp > 1:
        found["VLLM_PP_LAYER_PARTITION"] = ",".join(map(str, deployment.layer_counts(pool)))
    connector = deployment.connector(pool) or ""
    if connector.startswith("Nixl"):
        found |= {"VLLM_NIXL_SIDE_CHANNEL_HOST": "$ADDRESS", "VLLM_NIXL_SIDE_CHANNEL_PORT": "$SIDE_CHANNEL_PORT"}
    if connector.startswith("Mooncake") and pool.role == "prefill":
        found["VLLM_MOONCAKE_BOOTSTRAP_PORT"] = "$BOOTSTRAP_PORT"
    if connector and any(layer.attention.state_bytes for layer in deployment.instance.llm.layers):
        found["VLLM_SSM_CONV_STATE_LAYOUT"] = "DS"
    if deployment.launch(pool).exchange == "deepep_low_latency" and deployment.nvlink_hosts:
        found["VLLM_DEEPEP_LOW_LATENCY_USE_MNNVL"] = "1"
    return found


def _lost(deployment: Deployment, pool: Pool) -> list[str]:
    lost = deployment.lost(pool)
    if pool.parallelism.ep > 1 and deployment.expert_map(pool) is not None:
        lost.append(f"vLLM takes no expert map: pool {pool.name} starts in order and balances itself as it runs")
    if any(tier in STORAGE for tier in deployment.kept_bytes(pool)):
        lost.append(
            f"vLLM does not bound what pool {pool.name} keeps under {', '.join(STORAGE.values())}: bound the drives"
        )
    return lost
