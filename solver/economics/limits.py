"""Limits that the lecture and the scaling book state in a line, asked of an LLM, a device and a request.

Each is where one thing stops hiding behind another; the engine (:mod:`solver.cost.steps`) prices what lies between.
"""

from __future__ import annotations

import math

from solver.economics.fabric import bandwidth_ratio, least_layers_to_hide
from solver.economics.money import SECONDS_PER_HOUR
from solver.economics.roofline import kv_read_bytes
from solver.llm import LLM, Dtype
from solver.workload import RequestClass
from solver.workload.scenario import Speculation
from topologies import Device

TRAIN_FLOP_PER_PARAMETER = 6


def speculative_token_s(verify_s: float, draft_s: float, drafts: int, speculation: Speculation) -> float:
    """Seconds per token when a step drafts so many tokens and verifies them: ``(t_P + g t_Q) / (1 + a1 + a1 a2 + ...)``.

    Source: Leviathan et al., arXiv:2211.17192; equal acceptance a gives ``(1 - a) (t_P + g t_Q) / (1 - a^(g + 1))``.

    >>> round(speculative_token_s(20e-3, 1e-3, 4, Speculation(acceptance=(0.8,) * 4)) * 1e3, 2)
    7.14
    """
    return (verify_s + drafts * draft_s) / speculation.accepted(drafts)


def matmul_intensity(tokens: float, inner: int, outer: int, weights: Dtype, activations: Dtype) -> float:
    """FLOP per byte of ``[tokens, inner] x [inner, outer]``: near twice the tokens over bytes per weight while these are few.

    Source: scaling book, "All about rooflines".
    """
    moved = tokens * (inner + outer) * activations.bytes_per_element + inner * outer * weights.bytes_per_element
    return 2 * tokens * inner * outer / moved


def evicted_tokens(batch: float, request: RequestClass) -> float:
    """Tokens whose KV is given up in a step when sequences end: ``B (P + G) / G``; as many come with new prompts.

    >>> evicted_tokens(2000, RequestClass("chat", prompt_tokens=3000, output_tokens=1000, requests_per_s=1))
    8000.0
    """
    return batch * (request.prompt_tokens + request.output_tokens) / request.output_tokens


def weight_stationary_s(tokens: float, llm: LLM, chips: int, bytes_per_s: float, element_bytes: float = 2.0) -> float:
    """Seconds of a layer's activations on a square of chips with weights in place: ``4 t sqrt(E F / n) bytes / W``.

    With F = 4 E that is ``8 t E bytes / (sqrt(n) W)``; in one dimension it is ``2 t E bytes / W``, more from n = 4 F / E on.

    Source: Pope et al., arXiv:2211.05102, section 3.2 and appendix A.
    """
    return 4 * tokens * math.sqrt(llm.hidden * _ffn_width(llm) / chips) * element_bytes / bytes_per_s


def weight_stationary_line_s(tokens: float, llm: LLM, bytes_per_s: float, element_bytes: float = 2.0) -> float:
    """The same in one dimension, whatever the number of chips: ``2 t E bytes / W``."""
    return 2 * tokens * llm.hidden * element_bytes / bytes_per_s


def most_tensor_ranks(llm: LLM, device: Device) -> float:
    """Tensor-parallel ranks up to which all-reduces hide behind the FFN's arithmetic in bf16: ``Y < F W / C``.

    Source: scaling book, "How to think about GPUs".
    """
    return _ffn_width(llm) * device.scale_up_bytes_per_s / device.flops["bf16"]


def least_stage_layers(llm: LLM, device: Device) -> int:
    """MoE layers that a pipeline stage needs so that its hop over scale-out hides behind expert exchange."""
    ratio = bandwidth_ratio(device.scale_up_bytes_per_s, device.scale_out_bytes_per_s)
    return least_layers_to_hide(ratio, max(llm.top_k, 1))


def least_tokens_per_device(llm: LLM, device: Device) -> float:
    """Tokens per device and step from which gradients of data parallelism across hosts hide: ``C / W``, times E/K for an MoE.

    A host's NICs share the gradients of all its devices, so W are the NICs of a whole host.

    Source: scaling book, "How to think about GPUs".
    """
    fabric = device.scale_out_bytes_per_s * device.devices_per_host
    sparsity = llm.experts / llm.top_k if llm.experts else 1.0
    return device.flops["bf16"] / fabric * sparsity


def training_device_hours(llm: LLM, device: Device, tokens: float, mfu: float) -> float:
    """Device-hours to train an LLM on so many tokens: ``6 N D / (F u)``, at the bf16 peak.

    Source of the test: DeepSeek-AI, arXiv:2412.19437, Table 1: 2.664 million H800-hours for 14.8 T tokens.
    """
    flop = TRAIN_FLOP_PER_PARAMETER * llm.active_parameters() * tokens
    return flop / (device.flops["bf16"] * mfu) / SECONDS_PER_HOUR


def price_of_context(llm: LLM, context: float, longer: float) -> float:
    """Growth of what a token's KV reading costs between two contexts, over that of their lengths: 1 = in proportion.

    Sparse attention reads a budget of keys and an indexer's small ones, so beyond the budget the ratio falls: the step
    at which an API may leave the price of long contexts flat.
    """
    near, far, start = (kv_read_bytes(llm, tokens) for tokens in (context, longer, 0.0))
    return (far - start) / (near - start) / (longer / context)


def _ffn_width(llm: LLM) -> int:
    """Inner width of the FFN that a token meets: all the experts it visits, and the shared ones."""
    return max(
        round(layer.ffn.width + layer.ffn.visited * layer.ffn.expert_width + layer.ffn.shared_width)
        for layer, _ in llm.layer_kinds
    )
