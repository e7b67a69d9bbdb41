"""What the published implementations fill in where a file leaves a key out.

Files that transformers saves leave out what a nested part has in common with its class, so that a nested part may be
taken to have everything as its class; a file of its own leaves out small things only. The values are those of the
configuration classes of transformers 5.24, read in November 2026; a class is not a released network, so that whatever is
taken from here is said in a note.
"""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any

SMALL = {
    *("max_position_embeddings", "head_dim", "tie_word_embeddings", "attention_bias", "mlp_bias"),
    *(
        "sliding_window_pattern",
        "max_window_layers",
        "use_sliding_window",
        "use_bias",
        "use_qkv_bias",
    ),
    *("use_qk_norm", "norm_topk_prob", "decoder_sparse_step", "full_attention_interval", "global_attn_every_n_layers"),
    *("interleave_moe_layer_step", "attention_chunk_size", "conv_L_cache", "multi_query", "bias", "attn_layer_period"),
    *(
        "attn_layer_offset",
        "expert_layer_period",
        "expert_layer_offset",
        "mamba_d_conv",
        "mamba_n_groups",
        "mamba_expand",
    ),
}
"""Keys that a file of its own may leave out."""


def class_defaults(family: str, *, nested: bool) -> dict[str, Any]:
    """Return what the class of this family takes; of a file of its own only what is :data:`SMALL`."""
    found = _classes().get(family, {})
    return dict(found) if nested else {key: value for key, value in found.items() if key in SMALL}


@cache
def _classes() -> dict[str, dict[str, Any]]:
    text = (files(__package__) / "class_defaults.json").read_text(encoding="utf-8")
    classes: dict[str, dict[str, Any]] = json.loads(text)
    return classes
