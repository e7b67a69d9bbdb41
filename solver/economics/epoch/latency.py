"""Seconds per token in Epoch's model: tensor parallelism on a line or a square, experts spread, stages, attention on fewer.

A token takes four kernels a layer, the collectives (nothing overlaps them), and the longer of reading and arithmetic.
The best layout is taken for every pair of devices and batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from solver.economics.epoch.architecture import Architecture
from solver.economics.epoch.hardware import Accelerator

Floats = NDArray[np.float64]

KERNELS_PER_LAYER = 4
#: Numbers of stages, and shares of the devices that attention uses, that are tried.
STAGE_STEPS = 10
ATTENTION_STEPS = 6


def token_s(
    llm: Architecture,
    device: Accelerator,
    devices: Floats,
    batch: Floats,
    context: float = 0.0,
    drafted: int = 1,
    staged: bool = False,
) -> Floats:
    """Seconds of a decoding step, infinite where weights and caches do not fit.

    Parameters
    ----------
    devices, batch: of one shape; real numbers. drafted: tokens verified per sequence.
    staged: try pipeline stages too.
    """
    devices, batch = np.broadcast_arrays(np.asarray(devices, float), np.asarray(batch, float))
    best = np.full(devices.shape, np.inf)
    for stages in _stages(llm, batch, staged):
        for square in (True, False):
            for shrink in np.logspace(0, np.log2(devices / stages), base=2, num=ATTENTION_STEPS):
                best = np.minimum(
                    best, _layout_s(llm, device, devices, batch, context, drafted, stages, square, shrink)
                )
    return best


def speculative_token_s(
    llm: Architecture,
    draft: Architecture,
    device: Accelerator,
    devices: Floats,
    batch: Floats,
    acceptance: float,
    most_drafted: int,
    context: float = 0.0,
    staged: bool = False,
) -> Floats:
    """Seconds per token with the best number of draft tokens: ``(T_g + g T_draft) (1 - a) / (1 - a^g)``."""
    best = token_s(llm, device, devices, batch, context, staged=staged)
    small = token_s(draft, device, devices, batch, context, staged=staged)
    for drafted in range(2, most_drafted + 1):
        large = token_s(llm, device, devices, batch, context, drafted, staged)
        accepted = (1 - acceptance**drafted) / (1 - acceptance)
        best = np.minimum(best, (large + drafted * small) / accepted)
    return best


def _stages(llm: Architecture, batch: Floats, staged: bool) -> Iterator[Floats]:
    yield np.ones_like(batch)
    if staged:
        yield from np.logspace(0, np.log2(np.minimum(batch, llm.layers)), base=2, num=STAGE_STEPS)


def _layout_s(
    llm: Architecture,
    device: Accelerator,
    devices: Floats,
    batch: Floats,
    context: float,
    drafted: int,
    stages: Floats,
    square: bool,
    shrink: Floats,
) -> Floats:
    """Seconds of a step of one layout."""
    group, micro = devices / stages, batch / stages
    tokens = micro * drafted
    spread = np.where(micro < 2 * llm.sparsity, 1.0, np.minimum(group, llm.experts))
    ffn_tp, attention_tp = np.maximum(1, group / spread), group / shrink

    network = _attention_network_s(llm, device, attention_tp, tokens, square)
    network = network + _ffn_network_s(llm, device, ffn_tp, group, tokens, square)
    if llm.experts > 1:
        network = network + _exchange_s(llm, device, spread, group, tokens)
    hop = llm.width * tokens / group * llm.activation_bytes
    two = np.full_like(devices, 2.0)
    network = network + (stages - 1) * device.collective_s("send", two, two, hop)

    cache = llm.kv_bytes_per_token * context * micro
    head = llm.weight_bytes * llm.vocabulary * llm.width
    attention = _attention_bytes(llm, tokens, attention_tp) * shrink
    read = stages * (cache + head + llm.layers * (_ffn_bytes(llm, tokens, ffn_tp) + attention))
    memory = read / (devices * device.bytes_per_s * device.bytes_cap)
    produced = batch * drafted
    wide = llm.ffn_flop(produced) + llm.attended_flop(context, produced)
    narrow = llm.flop(context, produced) - wide
    compute = (wide + narrow * shrink) / (devices * device.flops[llm.weight_bytes] * device.flops_cap)

    step = llm.layers * KERNELS_PER_LAYER * device.launch_s + network + np.maximum(memory, compute)
    fits = devices * device.hbm_bytes >= cache + llm.weight_bytes * llm.parameters
    return np.where(fits & (stages <= np.minimum(devices, batch)), step, np.inf)


def _grid(ranks: Floats, node: int, square: bool) -> tuple[Floats, Floats]:
    """Ranks and nodes of one collective; on a square each goes along one side only."""
    nodes = np.ceil(ranks / node)
    return (np.sqrt(ranks), np.sqrt(nodes)) if square else (ranks, nodes)


def _reductions_s(
    llm: Architecture, device: Accelerator, widths: Sequence[Floats], ranks: Floats, tokens: Floats, square: bool
) -> Floats:
    """Seconds of an all-reduce of each width in every layer."""
    along, nodes = _grid(ranks, device.node, square)
    size = tokens * llm.activation_bytes
    times = [device.collective_s("all_reduce", along, nodes, width * size) for width in widths]
    total: Floats = llm.layers * np.add.reduce(times)
    return total


def _attention_network_s(llm: Architecture, device: Accelerator, ranks: Floats, tokens: Floats, square: bool) -> Floats:
    if not square:
        return _reductions_s(llm, device, [np.full_like(ranks, llm.width)], ranks, tokens, square)
    widths = [llm.width / np.sqrt(ranks), llm.head * (llm.kv_heads + llm.heads) / np.sqrt(ranks)]
    return _reductions_s(llm, device, widths, ranks, tokens, square)


def _ffn_network_s(
    llm: Architecture, device: Accelerator, ranks: Floats, group: Floats, tokens: Floats, square: bool
) -> Floats:
    share = llm.active_experts * (np.sqrt(ranks) if square else ranks) / group
    widths = [share * llm.ffn_out * llm.width]
    if square:
        widths.append(share * llm.ffn_in * llm.ffn_width)
    return _reductions_s(llm, device, widths, ranks, tokens, square)


def _exchange_s(llm: Architecture, device: Accelerator, spread: Floats, group: Floats, tokens: Floats) -> Floats:
    """Seconds of dispatch and combine in every layer."""
    met = np.minimum(llm.active_experts, spread)
    size = llm.width * tokens * met * llm.activation_bytes / group
    return llm.layers * 2 * device.collective_s("all_to_all", met, np.ceil(met / device.node), size)


def _product_bytes(rows: float, inner: float, tokens: Floats, llm: Architecture, ranks: Floats) -> Floats:
    """Bytes of a matrix product whose matrix is cut into near-square tiles: each rank reads its tile's operands."""
    down = np.clip(np.sqrt(rows * ranks / inner), 1, ranks)
    moved = down * inner * tokens + ranks / down * rows * tokens
    read: Floats = rows * inner * llm.weight_bytes + moved * llm.activation_bytes
    return read


def _ffn_bytes(llm: Architecture, tokens: Floats, ranks: Floats) -> Floats:
    """Bytes of one layer's experts: those that are touched."""
    touched = 1 - (1 - 1 / llm.sparsity) ** tokens
    each = _product_bytes(llm.width, llm.ffn_width, tokens / llm.sparsity, llm, ranks)
    read: Floats = touched * llm.experts * (llm.ffn_in + llm.ffn_out) * each
    return read


def _attention_bytes(llm: Architecture, tokens: Floats, ranks: Floats) -> Floats:
    """Bytes of one layer's projections."""
    out = _product_bytes(llm.width, llm.head * llm.heads, tokens, llm, ranks)
    if not llm.kv_rank:
        return _product_bytes(llm.projected, llm.width, tokens, llm, ranks) + out
    rank = llm.kv_rank + llm.query_rank
    return (
        _product_bytes(rank, llm.width, tokens, llm, ranks)
        + _product_bytes(llm.projected, rank, tokens, llm, ranks)
        + out
    )
