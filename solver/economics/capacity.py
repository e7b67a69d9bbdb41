"""How many sequences, or how long a context, the HBM holds."""

from __future__ import annotations

import math

from solver.errors import BadInput


def kv_bytes_per_token(layers: int, kv_heads: int, head_dim: int, bytes_per_element: float) -> float:
    """Keys and values of one token in all layers.

    >>> kv_bytes_per_token(80, 8, 128, 2)
    327680
    """
    return 2 * kv_heads * head_dim * layers * bytes_per_element


def most_sequences(
    devices: int, hbm_bytes: float, weight_bytes: float, context: float, kv_bytes_per_token: float, usable: float = 1.0
) -> int:
    """Sequences whose KV caches fit beside the weights.

    >>> most_sequences(8, 80e9, 141.1e9, 8192, 327680)
    185

    Raises
    ------
    BadInput: the weights alone do not fit.
    """
    room = devices * hbm_bytes * usable - weight_bytes
    if room < 0:
        raise BadInput(
            f"capacity: {weight_bytes / 1e9:,.0f} GB of weights do not fit in {devices} x {hbm_bytes * usable / 1e9:,.0f} GB; "
            f"{math.ceil(weight_bytes / (hbm_bytes * usable))} devices hold them"
        )
    return math.floor(room / (context * kv_bytes_per_token))


def longest_context(
    hbm_bytes: float, share: float, batch: float, kv_bytes_per_token: float, copies: float = 1.0
) -> float:
    """Tokens of context for which a share of all HBM is enough.

    Parameters
    ----------
    copies: how often each KV cache is stored; multi-query attention sharded over heads stores one on every chip.

    Source: Pope et al., arXiv:2211.05102, Table 1 (PaLM 540B variants on 64 TPU v4, 30 % of HBM for KV).
    """
    return share * hbm_bytes / (batch * kv_bytes_per_token * copies)


def balanced_kv_bytes(active_parameters: float, bytes_per_weight: float, ratio: float) -> float:
    """KV bytes of a sequence whose reading takes as long as its arithmetic: ``N_active w / R``.

    Over KV bytes per token this is the context beyond which no batch makes decoding compute-bound, and MFU falls as its
    inverse; over a context at which prices step up, the KV bytes per token that the step implies.
    """
    return active_parameters * bytes_per_weight / ratio


def domain_bytes(devices: int, hbm_bytes: float) -> float:
    """HBM of a scale-up domain."""
    return devices * hbm_bytes
