"""Keys of ``config.json`` that mean the same: publishers spell the same number differently.

A rule asks for one spelling; where the file lacks it, the others of its row are looked for, in the row's order.
"""

from __future__ import annotations

_ROWS = (
    ("num_hidden_layers", "num_layers", "n_layer", "n_layers"),
    ("hidden_size", "n_embd", "d_model", "n_embed", "hidden_dim", "dim"),
    ("num_attention_heads", "n_head", "n_heads", "num_heads"),
    (
        *("num_key_value_heads", "num_kv_heads", "n_head_kv", "n_kv_heads", "kv_n_heads", "multi_query_group_num"),
        "num_attention_groups",
    ),
    ("head_dim", "kv_channels", "head_size", "attention_head_dim"),
    (
        *("intermediate_size", "ffn_hidden_size", "ffn_dim", "n_inner", "ffn_embed_dim", "inner_dim", "ffn_size"),
        "block_ff_dim",
    ),
    ("vocab_size", "padded_vocab_size", "n_vocab"),
    (
        *("max_position_embeddings", "max_sequence_length", "model_max_length", "n_positions", "seq_length"),
        *("max_seq_len", "max_seq_length", "n_ctx", "seq_len"),
    ),
    ("num_experts", "n_routed_experts", "moe_num_experts", "num_local_experts", "num_moe_experts"),
    (
        *("num_experts_per_tok", "num_experts_per_token", "moe_topk", "moe_top_k", "moe_k", "top_k_experts"),
        *("num_selected_experts", "experts_per_token", "moe_router_topk"),
    ),
    (
        *("moe_intermediate_size", "expert_ffn_hidden_size", "moe_ffn_hidden_size", "expert_intermediate_size"),
        "expert_hidden_dim",
    ),
    ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert"),
    (
        *("shared_expert_intermediate_size", "moe_shared_expert_intermediate_size", "share_expert_dim"),
        *("share_expert_dims", "shared_intermediate_size"),
    ),
    ("first_k_dense_replace", "num_dense_layers", "n_dense_layers"),
    ("sliding_window", "sliding_window_size", "window_size", "attention_window_size"),
    ("num_nextn_predict_layers", "mtp_num_hidden_layers", "num_mtp_modules", "num_mtp_layers", "mtp_num_layers"),
    ("tie_word_embeddings", "tied_embeddings", "tie_embedding"),
    ("routed_expert_hidden_size", "moe_latent_size"),
    ("layer_types", "layers_block_type"),
    ("mamba_n_heads", "mamba_num_heads"),
    ("mamba_d_head", "mamba_head_dim"),
    ("mamba_d_state", "ssm_state_size", "state_size"),
    ("mamba_n_groups", "n_groups"),
    ("mamba_d_conv", "conv_kernel"),
    ("mamba_expand", "expand"),
    ("mamba_dt_rank", "time_step_rank"),
    ("mamba_ssm_dtype", "mamba_ssm_cache_dtype"),
    ("mamba_conv_bias", "use_conv_bias"),
)

OTHERS: dict[str, tuple[str, ...]] = {key: tuple(k for k in row if k != key) for row in _ROWS for key in row}
"""For each spelling, the others, in the order in which they are looked for."""
