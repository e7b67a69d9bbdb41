"""Layers whose memory of the past has a fixed size: delta rules, state-space layers, lightning attention, convolutions.

Each function returns :class:`solver.llm.attention.Attention` of kind ``linear``: no KV cache, and a state per sequence.
``norms`` counts the norms of width ``hidden`` that go with the layer.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from solver.llm.attention import Attention
from solver.llm.attention_shapes import compressed, grouped_query, latent


def gated_delta(
    *,
    hidden: int,
    key_heads: int,
    value_heads: int,
    key_dim: int,
    value_dim: int,
    kernel: int = 4,
    state_element_bytes: int = 4,
    norms: int = 1,
) -> Attention:
    """Gated delta rule (arXiv:2412.06464) as in Qwen3-Next and Qwen3.5.

    Projections: queries, keys, values, an output gate, two scalar gates per value head. State of a sequence:
    value_heads key_dim value_dim elements, and kernel - 1 columns of the convolution in bf16. The recurrence takes
    7 key_dim value_dim FLOP per value head and token (decay 1; read, correct and query 2 each).
    """
    channels = 2 * key_heads * key_dim + value_heads * value_dim
    output = value_heads * value_dim * hidden
    inputs = hidden * (channels + value_heads * value_dim + 2 * value_heads)
    small = norms * hidden + value_dim
    return Attention(
        kind="linear",
        heads=value_heads,
        kv_heads=key_heads,
        sharded_parameters=inputs + kernel * channels + 2 * value_heads + output,
        replicated_parameters=small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=0,
        state_bytes=value_heads * key_dim * value_dim * state_element_bytes + (kernel - 1) * channels * 2,
        decode_flop_per_key=0,
        prefill_flop_per_key=0,
        flop_per_token=7 * value_heads * key_dim * value_dim + 2 * kernel * channels,
        projections=(
            ("linear_qkv", hidden * channels),
            ("linear_z", hidden * value_heads * value_dim),
            ("linear_gates", 2 * hidden * value_heads),
        ),
    )


def kimi_delta(
    *,
    hidden: int,
    heads: int,
    head_dim: int,
    kernel: int = 4,
    full_rank_gate: bool = False,
    full_rank_decay: bool = False,
    norms: int = 1,
) -> Attention:
    """Kimi delta attention (arXiv:2510.26692): the gated delta rule with one decay per channel.

    ``full_rank_gate``: the output gate is one matrix (Kimi-K3), not a product of two (Kimi-Linear); ``full_rank_decay``:
    so is the decay (Ling-3).
    """
    width = heads * head_dim
    output = width * hidden
    gates = sum(hidden * width if full_rank else head_dim * width for full_rank in (full_rank_gate, full_rank_decay))
    sharded = 3 * hidden * width + gates + hidden * heads + 3 * kernel * width + width + output
    down = hidden * head_dim * (2 - full_rank_gate - full_rank_decay)
    small = norms * hidden + 2 * head_dim
    return Attention(
        kind="linear",
        heads=heads,
        kv_heads=heads,
        sharded_parameters=sharded,
        replicated_parameters=down + small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=0,
        state_bytes=heads * head_dim * head_dim * 4 + (kernel - 1) * 3 * width * 2,
        decode_flop_per_key=0,
        prefill_flop_per_key=0,
        flop_per_token=7 * heads * head_dim * head_dim + 2 * kernel * 3 * width,
        projections=(
            *((name, hidden * width) for name in ("q", "k", "v")),
            ("linear_gates", sharded - output - 3 * hidden * width - 3 * kernel * width - width + down),
        ),
    )


def mamba2(
    *,
    hidden: int,
    heads: int,
    head_dim: int,
    state: int,
    groups: int = 1,
    kernel: int = 4,
    bias: bool = False,
    convolution_bias: bool = True,
    gated_norm: bool = True,
    state_element_bytes: int = 2,
    norms: int = 1,
) -> Attention:
    """Mamba-2 state-space layer (arXiv:2405.21060).

    One projection gives gate, values, B and C of each group, and a step per head. State of a sequence: heads head_dim
    state elements, and kernel - 1 columns of the convolution in bf16. The recurrence takes 5 head_dim state FLOP per head
    and token: decay 1, input 2, output 2.

    Parameters
    ----------
    state: size of the state per channel (N).
    groups: groups of heads that share B and C.
    bias, convolution_bias: the projections and the convolution have biases.
    gated_norm: a norm of the inner width before the output projection.
    state_element_bytes: 2 where engines keep the state in the network's precision (vLLM unless told), 4 for float32.

    >>> nemotron = mamba2(hidden=4096, heads=128, head_dim=64, state=128, groups=8, state_element_bytes=4)
    >>> nemotron.state_bytes
    4255744
    """
    inner, shared = heads * head_dim, 2 * groups * state
    inputs, output, channels = hidden * (2 * inner + shared + heads), inner * hidden, inner + shared
    vectors = kernel * channels + channels * convolution_bias + 3 * heads + inner * gated_norm
    vectors += (2 * inner + shared + heads) * bias
    small = norms * hidden + hidden * bias
    return Attention(
        kind="linear",
        heads=heads,
        kv_heads=heads,
        sharded_parameters=inputs + vectors + output,
        replicated_parameters=small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=0,
        state_bytes=inner * state * state_element_bytes + (kernel - 1) * channels * 2,
        decode_flop_per_key=0,
        prefill_flop_per_key=0,
        flop_per_token=5 * inner * state + 2 * kernel * channels,
        projections=(("in", inputs),),
    )


def mamba1(
    *,
    hidden: int,
    inner: int,
    state: int,
    step_rank: int,
    kernel: int = 4,
    bias: bool = False,
    convolution_bias: bool = True,
    parameter_norms: bool = False,
    state_element_bytes: int = 2,
    norms: int = 1,
) -> Attention:
    """Mamba state-space layer (arXiv:2312.00752).

    State of a sequence: inner x state elements, and kernel - 1 columns of the convolution in bf16. The recurrence takes
    6 FLOP per element of the state and token: discretisation 1, decay 1, input 2, output 2.

    Parameters
    ----------
    inner: channels; state: size of the state per channel.
    step_rank: rank of the step's projection.
    parameter_norms: step, B and C pass norms of their own (Jamba).
    state_element_bytes: 2 where engines keep the state in the network's precision (vLLM unless told), 4 for float32.

    >>> jamba = mamba1(hidden=4096, inner=8192, state=16, step_rank=256)
    >>> jamba.state_bytes
    311296
    """
    inputs, mixing = 2 * hidden * inner, inner * (step_rank + 2 * state) + step_rank * inner
    output = inner * hidden
    vectors = inner * (kernel + convolution_bias + 1 + state + 1) + 2 * inner * bias
    small = norms * hidden + (step_rank + 2 * state) * parameter_norms + hidden * bias
    return Attention(
        kind="linear",
        heads=inner,
        kv_heads=inner,
        sharded_parameters=inputs + mixing + vectors + output,
        replicated_parameters=small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=0,
        state_bytes=inner * state * state_element_bytes + (kernel - 1) * inner * 2,
        decode_flop_per_key=0,
        prefill_flop_per_key=0,
        flop_per_token=6 * inner * state + 2 * kernel * inner,
        projections=(("in", inputs), ("x", inner * (step_rank + 2 * state)), ("dt", step_rank * inner)),
    )


def lightning(
    *,
    hidden: int,
    heads: int,
    head_dim: int,
    qk_norm: bool = False,
    state_element_bytes: int = 2,
    norms: int = 1,
) -> Attention:
    """Lightning attention (arXiv:2401.04658) as in MiniMax-01: linear attention with one decay per head and a gate.

    State of a sequence: heads head_dim head_dim elements, in the network's precision in vLLM. The recurrence takes
    5 head_dim^2 FLOP per head and token: decay 1, input 2, output 2.
    """
    width = heads * head_dim
    output = width * hidden
    small = norms * hidden + width + 2 * head_dim * qk_norm
    return Attention(
        kind="linear",
        heads=heads,
        kv_heads=heads,
        sharded_parameters=4 * hidden * width + output,
        replicated_parameters=small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=0,
        state_bytes=heads * head_dim * head_dim * state_element_bytes,
        decode_flop_per_key=0,
        prefill_flop_per_key=0,
        flop_per_token=5 * heads * head_dim * head_dim,
        projections=(("q", hidden * width), ("k", hidden * width), ("v", hidden * width), ("g", hidden * width)),
    )


def short_convolution(*, hidden: int, kernel: int, bias: bool = False, norms: int = 1) -> Attention:
    """Gated short convolution of LFM2 (arXiv:2511.23404): two gates around a convolution of ``kernel`` tokens.

    State of a sequence: kernel - 1 columns of width hidden in bf16.
    """
    inputs, output = 3 * hidden * hidden, hidden * hidden
    vectors = kernel * hidden + (3 + 1) * hidden * bias
    small = norms * hidden + hidden * bias
    return Attention(
        kind="linear",
        heads=hidden,
        kv_heads=hidden,
        sharded_parameters=inputs + vectors + output,
        replicated_parameters=small,
        bf16_parameters=small,
        output_parameters=output,
        kv_elements_per_token=0,
        state_bytes=(kernel - 1) * hidden * 2,
        decode_flop_per_key=0,
        prefill_flop_per_key=0,
        flop_per_token=(2 * kernel + 2) * hidden,
        projections=(("in", inputs),),
    )


def beside(attention: Attention, recurrent: Attention) -> Attention:
    """Attention and a recurrent layer that read the same normed input and whose outputs are added (Falcon-H1).

    ``recurrent`` is built without norms. The cache is the attention's, the state the other's.
    """
    summed = ("sharded_parameters", "replicated_parameters", "bf16_parameters", "output_parameters")
    return replace(
        attention,
        **{name: getattr(attention, name) + getattr(recurrent, name) for name in summed},
        state_bytes=recurrent.state_bytes,
        flop_per_token=recurrent.flop_per_token,
        projections=attention.projections + recurrent.projections,
    )


def no_attention(hidden: int = 0) -> Attention:
    """Stand for the attention of a layer that is an FFN alone (Nemotron-H); it has no width."""
    return Attention("none", 0, 1, 0, 0, 0, 0, 0, 0, 0)


SHAPES: dict[str, Callable[..., Attention]] = {
    "grouped_query": grouped_query,
    "latent": latent,
    "compressed": compressed,
    "gated_delta": gated_delta,
    "kimi_delta": kimi_delta,
    "mamba2": mamba2,
    "mamba1": mamba1,
    "lightning": lightning,
    "short_convolution": short_convolution,
    "none": no_attention,
}
"""Attention functions by the name that catalog files use."""
