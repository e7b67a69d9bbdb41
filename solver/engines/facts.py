"""Facts that the engines' rules ask for: of an LLM, layer by layer, and of replicas as columns.

Facts of layers have shape (K, 1), one row a kind of layer; facts of replicas (R,); the rest are scalars. A rule holds for
a replica if it holds for any kind of layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from solver.engines.launch import launch
from solver.llm import LLM, Attention, Dtype, Layer
from solver.replica import Setup
from topologies import Device

Ints = NDArray[np.int64]

#: Whole columns that the 4-bit kernels of the engines need in a shard, where that is more than the format's own block.
#: Marlin: min_thread_k = 128 (vllm #13640); TRTLLM-gen NVFP4 experts: 32 (flashinfer #3206). MXFP4 experts are padded.
_KERNEL_ALIGNMENT = {"int4": 128, "nvfp4": 32, "mxfp4": 1}
#: Rows of an embedding are padded to a multiple of this (vLLM, SGLang).
VOCABULARY_PADDING = 64


def alignment(dtype: Dtype) -> int:
    """Columns that a shard of a quantised matrix must be a multiple of; 1 for any number."""
    family = dtype.name.split("_")[0]
    return max(dtype.block, _KERNEL_ALIGNMENT.get(family, 1)) if family != "mxfp4" else 1


def llm_facts(llm: LLM) -> dict[str, Any]:
    """What rules may ask of an LLM."""
    precision, layers = llm.precision, [layer for layer, _ in llm.layer_kinds]
    attentions = [layer.attention for layer in layers if layer.attention.heads]
    kv_heads = {a.kv_heads for a in attentions if a.kind not in ("linear", "none")}
    per_layer = {name: np.array([[row[name]] for row in map(_layer_facts, layers)]) for name in _layer_facts(layers[0])}
    latent = any(a.kind == "mla" for a in attentions)
    return per_layer | {
        "layers": len(llm.layers),
        "hidden": llm.hidden,
        "vocab": -(-llm.vocab // VOCABULARY_PADDING) * VOCABULARY_PADDING,
        "experts": llm.experts,
        "top_k": llm.top_k,
        "expert_hidden": max((layer.ffn.expert_hidden for layer in layers if layer.ffn.experts), default=0),
        "attention_block": alignment(precision.attention),
        "dense_block": alignment(precision.dense),
        "shared_block": alignment(precision.shared),
        "expert_block": alignment(precision.experts),
        "expert_format": precision.experts.name,
        "kv_cache": precision.kv_cache.name,
        "latent": latent,
        "sliding": any(a.kind in ("sliding", "chunked") for a in attentions),
        "state": any(a.state_bytes > 0 for a in attentions),
        "compressed": any(a.kind == "compressed" for a in attentions),
        "indexed": any(a.indexer_flop_per_key > 0 for a in attentions),
        "hybrid": len({_cache_shape(a) for a in attentions}) > 1,
        "one_kv_width": len(kv_heads) <= 1,
        "least_kv_heads": min(kv_heads, default=1),
    }


def _layer_facts(layer: Layer) -> dict[str, Any]:
    attention, ffn = layer.attention, layer.ffn
    width = attention.output_parameters // max(ffn.hidden, 1)
    plain = attention.kind in ("full", "sliding", "chunked")
    return {
        "heads": attention.heads,
        "kv_heads": max(attention.kv_heads, 1),
        "output_width": width if plain else 0,
        "kv_width": attention.kv_elements_per_token // 2 if plain else 0,
        "dense_width": ffn.width,
        "shared_width": ffn.shared_width,
        "expert_width": ffn.expert_width if ffn.experts else 0,
    }


def _cache_shape(attention: Attention) -> tuple[object, ...]:
    """Layers with equal shapes share one kind of cache block."""
    return attention.kind, attention.kv_heads, attention.kv_elements_per_token, attention.window, attention.state_bytes


def setup_facts(llm: LLM, device: Device, setups: Sequence[Setup]) -> dict[str, Any]:
    """What rules may ask of replicas (R,)."""
    degrees = {
        name: np.array([getattr(s.parallelism, name) for s in setups], np.int64)
        for name in ("tp", "pp", "ep", "dp", "moe_tp", "cp")
    }
    spread = {
        name: np.array([getattr(s, name) for s in setups], np.int64) for name in ("domains", "hosts", "redundant_experts")
    }
    launches = [launch(llm, device, setup) for setup in setups]
    words = {
        name: np.array([getattr(each, name) for each in launches])
        for name in ("exchange", "exchange_mode", "expert_kernels", "whole_dense", "whole_shared", "worker_group_hosts")
    }
    return {
        **shape_facts(degrees | spread),
        **device_facts(device),
        **words,
        "draft_tokens": np.array([s.draft_tokens for s in setups], np.int64),
        "role": np.array([s.role for s in setups]),
        "overlap": np.array([s.overlap for s in setups]),
    }


def shape_facts(shapes: Mapping[str, Ints]) -> dict[str, Any]:
    """What rules may ask of degrees of parallelism that lie over domains, hosts and spare copies (R,)."""
    stage = shapes["tp"] * shapes["dp"]
    return {
        **shapes,
        "stage": stage,
        "devices_per_host": stage * shapes["pp"] // shapes["hosts"],
        "exchange_domains": -(-shapes["domains"] // shapes["pp"]),
    }


def device_facts(device: Device) -> dict[str, str]:
    """What rules may ask of a kind of device."""
    return {"device": device.name, "vendor": device.vendor, "generation": device.generation}
