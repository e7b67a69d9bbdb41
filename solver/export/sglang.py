"""``sglang.launch_server`` (0.5.23). Its limits are of a whole replica, not of one rank."""

from __future__ import annotations

import json

from solver.engines import engine_rules
from solver.export.command import Command, Words, kv_dtype, transport
from solver.export.layout import Deployment, safe
from solver.plan import Pool
from solver.workload.kv_tiers import FLASH, REMOTE

_KV_DTYPES = {"bf16": "auto", "fp8": "fp8_e4m3", "nvfp4": "fp4_e2m1"}
_STORAGE = {FLASH.name: "/var/lib/kv-cache", REMOTE.name: "/mnt/kv-cache"}


def sglang(deployment: Deployment, pool: Pool) -> Command:
    """The command of a pool's replicas."""
    maps = {f"{safe(pool.name)}.experts.json": text} if (text := deployment.map_json(pool)) else {}
    return Command(
        ("python3", "-m", "sglang.launch_server"),
        [
            *("--model-path", "$MODEL", "--host", "0.0.0.0", "--port", "$PORT"),
            *_degrees(deployment, pool),
            *_experts(deployment, pool, list(maps)),
            *_limits(deployment, pool),
            *_features(deployment, pool),
        ],
        environment=_environment(deployment, pool),
        files=maps,
        lost=tuple(_lost(deployment, pool)),
    )


def _degrees(deployment: Deployment, pool: Pool) -> Words:
    degrees, hosts = pool.parallelism, pool.hosts_per_replica
    words = ["--tp-size", str(degrees.shape().ranks_per_stage), "--pp-size", str(degrees.pp)]
    if degrees.dp > 1:
        words += ["--attn-dp-size", str(degrees.dp)]
    if degrees.cp > 1:
        words += ["--dcp-size", str(degrees.cp)]
    if deployment.launch(pool).whole_dense:
        words += ["--moe-dense-tp-size", "1"]
    # The address is given on one host too, so that no two replicas there derive equal ports.
    return [*words, "--nnodes", str(hosts), "--node-rank", "$NODE_RANK", "--dist-init-addr", "$HEAD:$MEET_PORT"]


def _experts(deployment: Deployment, pool: Pool, maps: list[str]) -> Words:
    if pool.parallelism.ep == 1:
        return []
    words = ["--ep-size", str(pool.parallelism.ep)]
    started = deployment.launch(pool)
    if started.exchange != "none":
        words += ["--moe-a2a-backend", started.exchange, "--deepep-mode", started.exchange_mode]
    if pool.redundant_experts:
        words += ["--ep-num-redundant-experts", str(pool.redundant_experts)]
    if maps:
        words += ["--init-expert-location", maps[0]]
    if maps or pool.redundant_experts:
        words += ["--ep-dispatch-algorithm", "static"]
    return words


def _limits(deployment: Deployment, pool: Pool) -> Words:
    limits, dp = pool.limits, pool.parallelism.dp
    words = ["--max-running-requests", str(limits.max_sequences * dp)]
    words += ["--chunked-prefill-size", str(pool.chunk_tokens * dp)]
    words += ["--max-prefill-tokens", str(max(pool.chunk_tokens, limits.max_batched_tokens))]
    words += ["--context-length", str(limits.max_length), "--mem-fraction-static", f"{limits.memory_fraction:g}"]
    if pool.role != "prefill" and limits.captured_batch_sizes:
        words += ["--cuda-graph-max-bs-decode", str(max(limits.captured_batch_sizes))]
    return [*words, "--kv-cache-dtype", kv_dtype(deployment, _KV_DTYPES)]


def _features(deployment: Deployment, pool: Pool) -> Words:
    words = [] if deployment.reuses(pool) else ["--disable-radix-cache"]
    if deployment.reuses(pool) and pool.role == "decode":
        words += ["--disaggregation-decode-enable-radix-cache"]
    if pool.overlap:
        words.append("--enable-two-batch-overlap")
    if pool.draft_tokens:
        words += ["--speculative-algorithm", "EAGLE", "--speculative-num-steps", str(pool.draft_tokens)]
        words += ["--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", str(pool.draft_tokens + 1)]
    if connector := deployment.connector(pool):
        words += ["--disaggregation-mode", pool.role, "--disaggregation-transfer-backend", connector]
        words += ["--disaggregation-bootstrap-port", "$BOOTSTRAP_PORT"] if pool.role == "prefill" else []
    return words + _idle(deployment, pool)


def _idle(deployment: Deployment, pool: Pool) -> Words:
    """Idle KV beyond the devices: HiCache, its size in GB for each rank, and a storage behind it."""
    kept = deployment.kept_bytes(pool)
    if not kept:
        return []
    ranks = pool.parallelism.shape().devices
    words = ["--enable-hierarchical-cache", "--hicache-size"]
    words.append(str(max(round(deployment.host_memory_bytes(pool) / 1e9 / ranks), 1)))
    if stores := [name for name in kept if name in _STORAGE]:
        words += ["--hicache-storage-backend", "file"]
        words += ["--hicache-storage-backend-extra-config", json.dumps({"file_path": _STORAGE[stores[0]]})]
    return words


def _environment(deployment: Deployment, pool: Pool) -> dict[str, str]:
    found = transport(deployment, pool) | {"SGLANG_HOST_IP": "$ADDRESS"}
    started = deployment.launch(pool)
    if pool.parallelism.pp > 1:
        found["SGLANG_PP_LAYER_PARTITION"] = ",".join(map(str, deployment.layer_counts(pool)))
    if started.exchange_mode == "low_latency":
        needed = pool.limits.max_sequences * (1 + pool.draft_tokens)
        most = engine_rules("sglang").exchange_tokens
        # Buffers of the exchange are sized by powers of two, 128 where nothing is said.
        found["SGLANG_DEEPEP_NUM_MAX_DISPATCH_TOKENS_PER_RANK"] = str(
            min(max(1 << (needed - 1).bit_length(), 128), most)
        )
    if started.whole_shared and started.exchange == "none":
        found["SGLANG_SHARED_EXPERT_TP1"] = "1"
    if deployment.nvlink_hosts and pool.role != "unified" and deployment.connector(pool) == "mooncake":
        found |= {"SGLANG_MOONCAKE_CUSTOM_MEM_POOL": "NVLINK", "MC_FORCE_MNNVL": "True"}
    return found


def _lost(deployment: Deployment, pool: Pool) -> list[str]:
    lost = deployment.lost(pool)
    if len([name for name in deployment.kept_bytes(pool) if name in _STORAGE]) > 1:
        lost.append(f"SGLang keeps idle KV in one storage: pool {pool.name} has flash and a remote store")
    return lost
