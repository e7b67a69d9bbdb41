"""Engine arguments of a pool: vLLM 0.33, SGLang 0.5.23, TensorRT-LLM 1.3.

Arguments are words; ``$MODEL`` (a path or Hugging Face name), ``$HEAD`` (address of a replica's first host),
``$NODE_RANK`` (number of this host in it) and ``$FIRST_RANK`` (its first data-parallel rank) are filled in where it starts.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import yaml

from solver.export.layout import GIB, MEET_PORT, SERVE_PORT, Deployment
from solver.plan import Pool

Words = list[str]


def vllm(deployment: Deployment, pool: Pool) -> tuple[Words, list[str]]:
    """``vllm serve`` arguments, and what they cannot say."""
    degrees, limits = pool.parallelism, pool.limits
    counts = deployment.devices_per_node(pool)
    lost = deployment.lost(pool, "vllm")
    words = ["$MODEL"]
    words += ["--tensor-parallel-size", str(degrees.tp), "--pipeline-parallel-size", str(degrees.pp)]
    if degrees.cp > 1:
        words += ["--decode-context-parallel-size", str(degrees.cp)]
    if degrees.dp > 1:
        words += ["--data-parallel-size", str(degrees.dp)]
        if len(counts) > 1:
            words += [
                "--data-parallel-size-local",
                str(counts[0] // degrees.tp),
                "--data-parallel-start-rank",
                "$FIRST_RANK",
            ]
            words += [
                "--data-parallel-address",
                "$HEAD",
                "--data-parallel-rpc-port",
                str(MEET_PORT),
                "--data-parallel-hybrid-lb",
            ]
    elif len(counts) > 1:
        words += ["--nnodes", str(len(counts)), "--node-rank", "$NODE_RANK", "--master-addr", "$HEAD"]
    if degrees.ep > 1:
        words += ["--enable-expert-parallel", "--all2all-backend", _vllm_exchange(deployment, pool)]
        if pool.redundant_experts:
            words += ["--enable-eplb", "--eplb-config", json.dumps({"num_redundant_experts": pool.redundant_experts})]
        if deployment.expert_map(pool) is not None:
            lost.append(f"vLLM takes no expert map: pool {pool.name} starts in order and balances itself as it runs")
    words += ["--max-num-seqs", str(limits.max_sequences), "--max-num-batched-tokens", str(limits.max_batched_tokens)]
    words += ["--max-model-len", str(limits.max_length), "--gpu-memory-utilization", f"{limits.memory_fraction:g}"]
    if limits.captured_batch_sizes:
        words += ["--cudagraph-capture-sizes", *map(str, limits.captured_batch_sizes)]
    words += [
        "--kv-cache-dtype",
        _kv_dtype(deployment, {"bf16": "auto", "fp8": "fp8", "fp8_ds_mla": "fp8_ds_mla", "nvfp4": "nvfp4"}),
    ]
    if pool.overlap:
        words.append("--enable-dbo")
    if pool.draft_tokens:
        words += ["--speculative-config", json.dumps({"method": "mtp", "num_speculative_tokens": pool.draft_tokens})]
    if deployment.disaggregated:
        words += ["--kv-transfer-config", json.dumps({"kv_connector": "NixlConnector", "kv_role": "kv_both"})]
    if deployment.host_memory_gib(pool):
        words += [
            "--kv-offloading-size",
            f"{deployment.host_memory_gib(pool):.0f}",
            "--kv-offloading-backend",
            "native",
        ]
    return words, lost + _uneven(pool, counts)


def _vllm_exchange(deployment: Deployment, pool: Pool) -> str:
    if not deployment.spread(pool):
        return "allgather_reducescatter"
    return "deepep_high_throughput" if pool.role == "prefill" else "deepep_low_latency"


def sglang(deployment: Deployment, pool: Pool) -> tuple[Words, list[str]]:
    """``sglang.launch_server`` arguments, and what they cannot say. Limits are of a whole replica, not of one rank."""
    degrees, limits = pool.parallelism, pool.limits
    counts = deployment.devices_per_node(pool)
    lost = deployment.lost(pool, "sglang")
    words = ["--model-path", "$MODEL", "--host", "0.0.0.0", "--port", str(SERVE_PORT)]
    words += ["--tp-size", str(degrees.tp * degrees.dp), "--pp-size", str(degrees.pp)]
    if degrees.dp > 1:
        words += ["--attn-dp-size", str(degrees.dp)]
    if degrees.ep > 1:
        words += ["--ep-size", str(degrees.ep)]
        if deployment.spread(pool):
            words += [
                "--moe-a2a-backend",
                "deepep",
                "--deepep-mode",
                "normal" if pool.role == "prefill" else "low_latency",
            ]
        if pool.redundant_experts:
            words += ["--ep-num-redundant-experts", str(pool.redundant_experts)]
        if deployment.expert_map(pool) is not None:
            words += ["--init-expert-location", f"{pool.name}.experts.json", "--ep-dispatch-algorithm", "static"]
    if len(counts) > 1:
        words += ["--nnodes", str(len(counts)), "--node-rank", "$NODE_RANK", "--dist-init-addr", f"$HEAD:{MEET_PORT}"]
    words += ["--max-running-requests", str(limits.max_sequences * degrees.dp)]
    words += [
        "--chunked-prefill-size",
        str(pool.chunk_tokens * degrees.dp),
        "--max-prefill-tokens",
        str(limits.max_batched_tokens),
    ]
    words += ["--context-length", str(limits.max_length), "--mem-fraction-static", f"{limits.memory_fraction:g}"]
    if pool.role != "prefill" and limits.captured_batch_sizes:
        words += ["--cuda-graph-max-bs-decode", str(max(limits.captured_batch_sizes))]
    words += ["--kv-cache-dtype", _kv_dtype(deployment, {"bf16": "auto", "fp8": "fp8_e4m3", "nvfp4": "nvfp4"})]
    if pool.overlap:
        words.append("--enable-two-batch-overlap")
    if pool.draft_tokens:
        words += ["--speculative-algorithm", "EAGLE", "--speculative-num-steps", str(pool.draft_tokens)]
        words += ["--speculative-eagle-topk", "1", "--speculative-num-draft-tokens", str(pool.draft_tokens + 1)]
    if deployment.disaggregated and pool.role != "unified":
        words += ["--disaggregation-mode", pool.role, "--disaggregation-transfer-backend", "nixl"]
    if deployment.host_memory_gib(pool):
        ranks = degrees.tp * degrees.dp * degrees.pp
        size = max(round(deployment.host_memory_gib(pool) * GIB / 1e9 / ranks), 1)
        words += ["--enable-hierarchical-cache", "--hicache-size", str(size)]
    if degrees.cp > 1:
        words += ["--decode-context-parallel-size", str(degrees.cp)]
    return words, lost + _uneven(pool, counts)


def trtllm(deployment: Deployment, pool: Pool) -> tuple[Words, list[str]]:
    """``trtllm-serve`` arguments; the rest stands in :func:`trtllm_config`."""
    words = ["$MODEL", "--host", "0.0.0.0", "--port", str(SERVE_PORT), "--config", f"{pool.name}.yaml"]
    lost = deployment.lost(pool, "trtllm")
    if pool.parallelism.dp > 1 and pool.parallelism.tp > 1:
        lost.append(f"TensorRT-LLM runs attention data-parallel on all ranks or on none: pool {pool.name} has both")
    return words, lost


def trtllm_config(deployment: Deployment, pool: Pool) -> str:
    """TensorRT-LLM's configuration file of a pool."""
    degrees, limits = pool.parallelism, pool.limits
    content: dict[str, Any] = {
        "backend": "pytorch",
        "tensor_parallel_size": degrees.tp * degrees.dp,
        "pipeline_parallel_size": degrees.pp,
        "max_batch_size": limits.max_sequences,
        "max_num_tokens": limits.max_batched_tokens,
        "max_seq_len": limits.max_length,
        "enable_attention_dp": degrees.dp > 1,
        "enable_chunked_prefill": True,
        "kv_cache_config": {
            "dtype": _kv_dtype(deployment, {"bf16": "auto", "fp8": "fp8", "nvfp4": "nvfp4"}),
            "free_gpu_memory_fraction": limits.memory_fraction,
        },
    }
    if degrees.cp > 1:
        content["context_parallel_size"] = degrees.cp
    if deployment.instance.llm.experts:
        content["moe_expert_parallel_size"] = degrees.ep
        content["moe_tensor_parallel_size"] = degrees.moe_tp
    if deployment.spread(pool) or pool.redundant_experts or deployment.expert_map(pool) is not None:
        content["moe_config"] = {"backend": "WIDEEP", "load_balancer": f"{pool.name}.experts.yaml"}
    if pool.role != "prefill" and limits.captured_batch_sizes:
        content["cuda_graph_config"] = {"batch_sizes": list(limits.captured_batch_sizes), "enable_padding": True}
    if pool.draft_tokens:
        content["speculative_config"] = {"decoding_type": "MTP", "num_nextn_predict_layers": pool.draft_tokens}
    if deployment.disaggregated:
        content["cache_transceiver_config"] = {"backend": "NIXL"}
    if deployment.host_memory_gib(pool):
        content["kv_cache_config"]["host_cache_size"] = int(deployment.host_memory_gib(pool) * GIB)
    if pool.role == "prefill":
        content["disable_overlap_scheduler"] = True
    return yaml.safe_dump(content, sort_keys=False)


def trtllm_balancer(deployment: Deployment, pool: Pool) -> str | None:
    """TensorRT-LLM's file of expert slots, where the pool has one."""
    if "load_balancer" not in trtllm_config(deployment, pool):
        return None
    experts = deployment.instance.llm.experts
    slots = experts + pool.redundant_experts
    rows = deployment.expert_map(pool) or [[s % experts for s in range(slots)]] * len(deployment.instance.llm.layers)
    layers = [number for number, layer in enumerate(deployment.instance.llm.layers) if layer.ffn.experts]
    content = {
        "num_slots": slots,
        "layer_updates_per_iter": 0,
        "initial_global_assignments": {layer: rows[layer] for layer in layers},
    }
    return yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=1000)


#: Arguments by engine, and the program that takes them.
ARGUMENTS: dict[str, Callable[[Deployment, Pool], tuple[Words, list[str]]]] = {
    "vllm": vllm,
    "sglang": sglang,
    "trtllm": trtllm,
}
PROGRAMS = {"vllm": ["vllm", "serve"], "sglang": ["python3", "-m", "sglang.launch_server"], "trtllm": ["trtllm-serve"]}


def _kv_dtype(deployment: Deployment, names: dict[str, str]) -> str:
    return names.get(deployment.instance.llm.precision.kv_cache.name, "auto")


def _uneven(pool: Pool, counts: list[int]) -> list[str]:
    if len(set(counts)) > 1:
        return [f"a replica of pool {pool.name} has {counts} devices on its hosts; engines expect as many on each"]
    return []
