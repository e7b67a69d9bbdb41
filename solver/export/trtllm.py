"""``trtllm-serve`` (TensorRT-LLM 1.2): nearly everything stands in a configuration file."""

from __future__ import annotations

from typing import Any

import yaml

from solver.export.command import Command, kv_dtype, transport
from solver.export.layout import Deployment, safe
from solver.plan import Pool
from solver.workload.kv_tiers import DRAM

_KV_DTYPES = {"bf16": "auto", "fp8": "fp8", "nvfp4": "nvfp4"}
#: Tokens of a KV block, in which the hand-over's buffers are counted.
TOKENS_PER_BLOCK = 32


def trtllm(deployment: Deployment, pool: Pool) -> Command:
    """The command of a pool's replicas."""
    name, balancer = safe(pool.name), _balancer(deployment, pool)
    files = {f"{name}.yaml": _config(deployment, pool, f"{name}.experts.yaml" if balancer else "")}
    files |= {f"{name}.experts.yaml": balancer} if balancer else {}
    environment = transport(deployment, pool) | {"TLLM_NUMA_AWARE_WORKER_AFFINITY": "1"}
    if deployment.connector(pool):
        environment["NCCL_GRAPH_MIXING_SUPPORT"] = "0"
    return Command(
        ("trtllm-serve",),
        ["$MODEL", "--host", "0.0.0.0", "--port", "$PORT", "--config", f"{name}.yaml"],
        environment=environment,
        files=files,
        lost=tuple(_lost(deployment, pool)),
        mpi=pool.hosts_per_replica > 1,
    )


def _config(deployment: Deployment, pool: Pool, balancer: str) -> str:
    degrees, limits = pool.parallelism, pool.limits
    content: dict[str, Any] = {
        "backend": "pytorch",
        "tensor_parallel_size": degrees.shape().ranks_per_stage,
        "pipeline_parallel_size": degrees.pp,
        "gpus_per_node": deployment.devices_per_node(pool)[0],
        "max_batch_size": limits.max_sequences,
        "max_num_tokens": limits.max_batched_tokens,
        "max_seq_len": limits.max_length,
        "enable_attention_dp": degrees.dp > 1,
        "enable_chunked_prefill": True,
        "kv_cache_config": _cache(deployment, pool),
    }
    if degrees.pp > 1:
        content["pp_partition"] = deployment.layer_counts(pool)
    if degrees.cp > 1:
        content |= {"context_parallel_size": degrees.cp, "cp_config": {"cp_type": "HELIX"}}
    if deployment.instance.llm.experts:
        content |= {"moe_expert_parallel_size": degrees.ep, "moe_tensor_parallel_size": degrees.moe_tp}
        content["moe_config"] = {"backend": deployment.launch(pool).expert_kernels}
        content["moe_config"] |= {"load_balancer": balancer} if balancer else {}
    if pool.role != "prefill" and limits.captured_batch_sizes:
        content["cuda_graph_config"] = {"batch_sizes": list(limits.captured_batch_sizes), "enable_padding": True}
    if pool.draft_tokens:
        content["speculative_config"] = {"decoding_type": "MTP", "num_nextn_predict_layers": pool.draft_tokens}
    if connector := deployment.connector(pool):
        longest = -(-deployment.longest_prompt // TOKENS_PER_BLOCK) * TOKENS_PER_BLOCK
        content["cache_transceiver_config"] = {"backend": connector, "max_tokens_in_buffer": longest}
    if pool.role == "prefill":
        content["disable_overlap_scheduler"] = True
    return yaml.safe_dump(content, sort_keys=False)


def _cache(deployment: Deployment, pool: Pool) -> dict[str, Any]:
    found: dict[str, Any] = {
        "dtype": kv_dtype(deployment, _KV_DTYPES),
        "tokens_per_block": TOKENS_PER_BLOCK,
        "enable_block_reuse": deployment.reuses(pool),
        "free_gpu_memory_fraction": pool.limits.memory_fraction,
    }
    if size := deployment.kept_bytes(pool).get(DRAM.name):
        # Every rank has a host cache of its own.
        found["host_cache_size"] = int(size / pool.parallelism.shape().devices)
    return found


def _balancer(deployment: Deployment, pool: Pool) -> str | None:
    """The file of expert slots, where the pool has wide expert parallelism."""
    if deployment.launch(pool).expert_kernels != "WIDEEP":
        return None
    layers = deployment.instance.llm.layers
    experts = deployment.instance.llm.experts
    slots = experts + pool.redundant_experts
    rows = deployment.expert_map(pool) or [[slot % experts for slot in range(slots)]] * len(layers)
    content = {
        "num_slots": slots,
        "layer_updates_per_iter": 0,
        "initial_global_assignments": {n: rows[n] for n, layer in enumerate(layers) if layer.ffn.experts},
    }
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=1000)


def _lost(deployment: Deployment, pool: Pool) -> list[str]:
    lost = deployment.lost(pool)
    if any(tier != DRAM.name for tier in deployment.kept_bytes(pool)):
        lost.append(f"TensorRT-LLM keeps idle KV in DRAM alone: pool {pool.name} has storage as well")
    if deployment.expert_map(pool) is not None and _balancer(deployment, pool) is None:
        lost.append(
            f"TensorRT-LLM takes an expert map with wide expert parallelism alone: pool {pool.name} starts in order"
        )
    return lost
