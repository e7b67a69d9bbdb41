"""Bytes that a layer keeps for its backward pass, per token of a rank, under each activation policy.

What a layer of width h keeps, in bf16, of one token: inputs of two norms (4h) and of the matrices behind them (4h), two
masks of one byte with dropout (2h), queries, keys and values, the heads' output, what the FFN's activation function reads
and gives, and with routed experts all of that once per copy. Operands of fp8 products are kept in fp8. For a GPT this is
the table of Korthikanti et al.; t divides it as written there, sequence parallelism also what is in 10.

===========  ======================================  =================================  ====================
policy       tensor parallel                         tensor and sequence parallel       FLOP of a step
===========  ======================================  =================================  ====================
store        sbh (10 + 24/t + 5as/(ht))              sbh/t (34 + 5as/h)                 1
selective    sbh (10 + 24/t)                         34 sbh/t                           1 + s / (3 (6h + s))
full         2 sbh                                   2 sbh/t                            4/3
reversible   4 sbh for all layers of a stage         4 sbh/t for all layers of a stage  4/3
===========  ======================================  =================================  ====================

With FlashAttention scores are never kept and ``selective`` recomputes norms, activation functions, and MLA's queries, keys
and values from their latents, as Megatron-Core's modules layernorm, moe_act and mla_up_proj do (it runs activation
functions of experts alone again; torch.compile those of dense FFNs too). Full and reversible
recomputation also need one layer's activations while they run. The reversible policy is legal for reversible networks.

Source: Korthikanti et al., arXiv:2205.05198, equations 1 to 6 and Table 2; DeepSeek-V3, arXiv:2412.19437, section 3.2.3
and 3.3.3; Gomez et al., arXiv:1707.04585 (RevNet); Kitaev et al., arXiv:2001.04451 (Reformer).
"""

from __future__ import annotations

from typing import Literal, get_args

from solver.training.job import TrainingJob, TrainingLayout
from solver.training.network import Block

Policy = Literal["store", "selective", "full", "reversible"]
POLICIES: tuple[Policy, ...] = get_args(Policy)


def policies(job: TrainingJob) -> tuple[Policy, ...]:
    """Activation policies that a network allows."""
    return POLICIES if job.reversible else POLICIES[:3]


def kept_bytes(block: Block, job: TrainingJob, layout: TrainingLayout, policy: Policy) -> float:
    """Bytes that one rank keeps of one layer and token; 0 for the reversible policy, which keeps none per layer."""
    if policy == "reversible":
        return 0.0
    if policy == "full":
        return 2 * block.width / layout.shared
    again = policy == "selective" and job.flash
    operand, width, inputs = job.operand_bytes, block.width, 1 + block.gated
    # norms: their inputs, and the operands behind them unless norms run again
    stream = (4 + 2 * block.dropout + (0 if again else 2 * operand)) * width
    # queries, keys, values (or their latents), and the heads' output
    heads = 2 * (block.latent if again and block.latent else block.projected) + 2 * block.attended
    # what activation functions read and give; the copies of a token at its experts
    dense = (operand * inputs + (0 if again and job.light_dense else operand)) * block.dense_inner
    routed = block.top_k * (operand * width + (operand * inputs + (0 if again else operand)) * block.expert_inner)
    scores = 0.0 if job.flash or policy == "selective" else 5.0 * block.heads * job.sequence_tokens
    return stream / layout.shared + (heads + dense + routed + scores) / layout.tp


def boundary_bytes(width: int, layout: TrainingLayout) -> float:
    """Bytes of one token that a rank keeps of a whole run of reversible layers: both streams at its end."""
    return 4 * width / layout.shared


def working_bytes(block: Block, job: TrainingJob, layout: TrainingLayout) -> float:
    """Bytes of one token that are needed once, while a layer is recomputed."""
    return kept_bytes(block, job, layout, "store")


def stack_bytes(block: Block, job: TrainingJob, layout: TrainingLayout, layers: int, policy: Policy) -> float:
    """Bytes of one token that a rank keeps of a whole stack of like layers, and needs while it is recomputed."""
    kept = layers * kept_bytes(block, job, layout, policy)
    kept += boundary_bytes(block.width, layout) * (policy == "reversible")
    return kept + working_bytes(block, job, layout) * (policy in ("full", "reversible"))
