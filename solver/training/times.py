"""Seconds of one layer for one micro-batch on one rank: forward, backward, and what each policy recomputes."""

from __future__ import annotations

import math
from dataclasses import dataclass

from solver.training.activations import Policy
from solver.training.job import TrainingJob, TrainingLayout
from solver.training.links import ELEMENT_BYTES, LinkRates, RankMachine, context_s, exchange_s, tensor_s
from solver.training.network import Block

#: Bytes per element of the stream that norms (8) and residual sums (12) read and write in a forward pass; with dropout 2 more.
STREAM_BYTES = 20
#: Bytes per attention score: written by the product, softmax, dropout with its mask, read again.
SCORE_BYTES = 13
#: FlashAttention's backward pass makes the scores again: five products for two.
FLASH_BACKWARD = 2.5
#: Bytes per parameter that adding a micro-batch's gradient in fp32 reads and writes.
ACCUMULATED_BYTES = 8


@dataclass(frozen=True)
class BlockTimes:
    """Seconds of a layer.

    Attributes
    ----------
    forward, backward: F and B without recomputation and without the exchange of tokens. weights: the part of B that makes
    gradients of weights. exchange: dispatch and combine of one pass, outside of F and B.
    core: attention itself in a forward pass. light: what selective recomputation runs again.
    hidden: share of the device that an exchange takes beside work; None where it is not hidden.
    """

    forward: float
    backward: float
    weights: float
    exchange: float
    light: float
    hidden: float | None

    def again(self, policy: Policy) -> float:
        """Recomputation before the backward pass."""
        whole = self.forward + self.exchange
        return {"store": 0.0, "selective": self.light, "full": whole, "reversible": whole}[policy]

    def total(self, policy: Policy) -> float:
        """Forward, backward and recomputation of one micro-batch."""
        again = self.again(policy)
        work, sent = self.forward + self.backward + again, 2 * self.exchange
        if self.hidden is None or not sent:
            return work + sent
        # work slows down while the exchange runs beside it, and waits for what is longer
        return max(work + sent * self.hidden, sent)


def block_times(
    block: Block, job: TrainingJob, layout: TrainingLayout, machine: RankMachine, rates: LinkRates
) -> BlockTimes:
    """Price a layer."""
    eff, tokens, t = machine.efficiency, layout.tokens(job), layout.tp
    matmul, reads = _products(block, job, layout, machine)
    core, core_back = _attention(block, job, layout, machine)
    moved = _moved_bytes(block, job, layout) * tokens / machine.moves
    tensor = tensor_s(block, job, layout, machine, rates)
    ahead = context_s(block, job, layout, machine, rates, core)
    # gradients of keys and values travel back while keys and values come again
    behind = 2 * context_s(block, job, layout, machine, rates, core_back / 2)
    own = (block.attention + block.dense) / t + block.attention_whole + block.router
    own += block.experts * block.expert / layout.ep
    accumulated = ACCUMULATED_BYTES * own / machine.moves
    forward = max(matmul, reads) + core + moved + tensor + ahead
    weights = matmul + accumulated
    backward = max(matmul, reads) + weights + core_back + moved * eff.moves_again + tensor * eff.network_again + behind
    if job.flash:
        up = 2 * block.up * tokens / t / machine.flops(job.precision, block.attention_side / math.sqrt(t))
        light = up + (8 * block.width / layout.shared) * tokens / machine.moves
        inner = block.top_k * block.expert_inner + block.dense_inner * job.light_dense
        light += _activation_bytes(block) * inner * tokens / t / machine.moves
    else:
        light = core
    exchange = exchange_s(block, job, layout, machine, rates)
    return BlockTimes(forward, backward, weights, exchange, light, eff.exchange_share if layout.hides_experts else None)


def _products(block: Block, job: TrainingJob, layout: TrainingLayout, machine: RankMachine) -> tuple[float, float]:
    """Seconds of the matrix products of a forward pass, and of reading their weights once."""
    tokens, t = layout.tokens(job), layout.tp
    shard = 1 / math.sqrt(t)
    dense_side = math.sqrt(block.width * block.dense_inner)
    expert_side = math.sqrt(block.width * block.expert_inner)
    groups = (
        (block.attention * tokens / t, block.attention_side * shard),
        (block.attention_whole * tokens / layout.shared, block.attention_side),
        (block.dense * tokens / t, dense_side * shard),
        (block.top_k * block.expert * tokens / t, expert_side),
    )
    seconds = sum(2 * products / machine.flops(job.precision, side) for products, side in groups if products)
    seconds += 2 * block.router * tokens / layout.shared / machine.flops("bf16", block.attention_side)
    held = (block.attention + block.dense) / t + block.attention_whole + block.experts * block.expert / layout.ep
    return seconds, job.operand_bytes * held / machine.moves


def _attention(block: Block, job: TrainingJob, layout: TrainingLayout, machine: RankMachine) -> tuple[float, float]:
    """Seconds of attention itself, forward and backward."""
    tokens, t = layout.tokens(job), layout.tp
    peak = machine.device.flops["bf16"]
    if not job.flash:
        # all scores are computed, masked ones too, and pass through memory
        keys = block.keys(job.sequence_tokens, causal=False)
        products = block.core_flop * keys * tokens / t / machine.flops("bf16", block.attention_side)
        scores = SCORE_BYTES * block.heads * keys * tokens / t / machine.moves
        return products + scores, 2 * products + 2 * scores
    keys = block.keys(job.sequence_tokens)
    share = machine.efficiency.core_share(2 * keys)
    seconds = (block.core_flop * keys + block.other_flop) * tokens / t / (peak * share)
    return seconds, FLASH_BACKWARD * seconds / machine.efficiency.core_again


def _activation_bytes(block: Block) -> int:
    """Bytes that an activation function reads and writes per inner element."""
    return ELEMENT_BYTES * (2 + block.gated)


def _moved_bytes(block: Block, job: TrainingJob, layout: TrainingLayout) -> float:
    """Bytes that element-wise kernels read and write per token in a forward pass, on one rank."""
    stream = (STREAM_BYTES + 2 * block.dropout) * block.width / layout.shared
    # positions are rotated in place: read and written
    rotated = 2 * ELEMENT_BYTES * block.projected * block.rotary
    inner = _activation_bytes(block) * (block.dense_inner + block.top_k * block.expert_inner)
    # copies for experts are gathered and summed again
    copies = 4 * ELEMENT_BYTES * block.top_k * block.width
    # fp8 operands are cast, once as they are and once transposed
    operands = 2 * block.width + block.attended + block.dense_inner
    operands += block.top_k * (block.width + block.expert_inner)
    cast = (ELEMENT_BYTES + 2) * operands if job.precision == "fp8" else 0
    return stream + (rotated + inner + copies + cast) / layout.tp
