"""The first version of Epoch's model, from which the paper's printed fronts come: no expert parallelism, no caps.

Tensor parallelism on a line or a square over up to six stages, traffic inside nodes added to that between them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from solver.economics.epoch.architecture import Architecture
from solver.economics.epoch.hardware import Accelerator
from solver.economics.epoch.latency import KERNELS_PER_LAYER

Floats = NDArray[np.float64]

STAGES = (1, 2, 4, 6)
#: Bytes at which this version counts the elements of queries, keys and values that a rank writes.
PROJECTED_BYTES = 1


def token_s(llm: Architecture, device: Accelerator, devices: Floats, batch: Floats, context: float = 0.0) -> Floats:
    """Seconds of a decoding step of the best layout, infinite where weights and caches do not fit."""
    devices, batch = np.broadcast_arrays(np.asarray(devices, float), np.asarray(batch, float))
    layouts = [
        _layout_s(llm, device, devices, batch, context, stages, square) for stages in STAGES for square in (True, False)
    ]
    fastest: Floats = np.minimum.reduce(layouts)
    return fastest


def _layout_s(
    llm: Architecture, device: Accelerator, devices: Floats, batch: Floats, context: float, stages: int, square: bool
) -> Floats:
    group, micro = devices / stages, batch / stages
    side = np.sqrt(group)
    nodes = np.ceil(group / device.node)
    ranks, nodes = (side, np.sqrt(nodes)) if square else (group, nodes)
    out = llm.active_experts * llm.ffn_out * llm.width
    widths = [float(llm.width), float(out)]
    if square:
        widths += [llm.head * (llm.kv_heads + llm.heads), llm.active_experts * llm.ffn_in * llm.ffn_width]
    size = micro * llm.activation_bytes * (ranks / group)
    network = sum(llm.layers * device.collective_s("all_reduce", ranks, nodes, width * size) for width in widths)
    two = np.full_like(devices, 2.0)
    network += (stages - 1) * device.collective_s("send", two, two, llm.width * micro / group * llm.activation_bytes)

    tiles = (side, side) if square else (group, np.ones_like(group))
    read = stages * _read_bytes(llm, context, micro, *tiles)
    memory = read / (devices * device.bytes_per_s * device.bytes_cap)
    compute = llm.flop(context, batch) / (devices * device.flops[llm.weight_bytes] * device.flops_cap)
    step = llm.layers * KERNELS_PER_LAYER * device.launch_s + network + np.maximum(memory, compute)
    fits = devices * device.hbm_bytes >= llm.kv_bytes_per_token * context * batch + llm.weight_bytes * llm.parameters
    return np.where(fits & (stages <= np.minimum(devices, batch)), step, np.inf)


def _read_bytes(llm: Architecture, context: float, tokens: Floats, down: Floats, across: Floats) -> Floats:
    """Bytes of a step of one micro-batch: each of ``down x across`` ranks reads the operands of its tile."""

    def product(rows: float, inner: float, count: Floats, produced_bytes: float = llm.activation_bytes) -> Floats:
        moved = count * (across * inner * llm.activation_bytes + down * rows * produced_bytes)
        return llm.weight_bytes * rows * inner + moved

    touched = (1 - (1 - 1 / llm.sparsity) ** tokens) * llm.experts * (llm.ffn_in + llm.ffn_out)
    ffn = touched * product(llm.ffn_width, llm.width, tokens / llm.sparsity)
    attention = product(llm.projected, llm.width, tokens, PROJECTED_BYTES) + product(
        llm.head * llm.heads, llm.width, tokens
    )
    head = llm.weight_bytes * llm.vocabulary * llm.width
    return llm.kv_bytes_per_token * context * tokens + llm.layers * (ffn + attention) + head
