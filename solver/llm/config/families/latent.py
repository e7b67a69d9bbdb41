"""Families with multi-head latent attention."""

from __future__ import annotations

from dataclasses import dataclass, replace

from solver.llm.config import windows
from solver.llm.config.attention_rules import Latent
from solver.llm.config.families.experts import BIAS_ROUTED, DEEPSEEK_EXPERTS
from solver.llm.config.families.family import NEXTN, Family
from solver.llm.config.ffn_rules import Dense, Experts
from solver.llm.config.hybrid_rules import Compressed
from solver.llm.config.modules import DEEPSEEK_V4_ROOMS, LONGCAT
from solver.llm.config.reader import Config
from solver.llm.ffn import FFN


@dataclass(frozen=True)
class Shortcut:
    """LongCat: a block is two layers, each with attention and a dense FFN; experts run beside the first FFN.

    Expects a config whose ``num_hidden_layers`` counts both layers of a block (:func:`doubled`).
    """

    experts: Experts
    dense: Dense

    @property
    def needs(self) -> tuple[str, ...]:
        """Keys without which there is no telling."""
        return self.experts.needs

    def __call__(self, config: Config, layer: int) -> FFN:
        return self.experts(config, layer) if layer % 2 == 0 else self.dense(config, layer)


LONGCAT_EXPERTS = Experts(
    count="n_routed_experts",
    top_k="moe_topk",
    width="expert_ffn_hidden_size",
    beside_dense="ffn_hidden_size",
    zero_experts="zero_expert_num",
    routing_bias=True,
)


def doubled(config: Config) -> Config:
    """Count both layers of LongCat's blocks; ``num_layers`` counts blocks."""
    blocks = config.count("num_layers")
    return config.view({"num_hidden_layers": 2 * blocks})


DEEPSEEK = Family(
    Latent(),
    DEEPSEEK_EXPERTS,
    mtp=NEXTN,
)
SPARSE = Latent(indexer=True)

LATENT: dict[str, Family] = {
    "deepseek_v2": replace(DEEPSEEK, names=("deepseek_vl_v2", "deepseek_ocr", "deepseek_ocr2", "unlimited_ocr")),
    "deepseek_v3": replace(
        DEEPSEEK,
        names=("deepseek_r1", "kimi_k2", "kimi_k25", "kimi_k2_5", "kimi_vl", "mistral_large_3", "mistral_large3"),
    ),
    "sarvam_mla": Family(Latent(), BIAS_ROUTED, mtp=NEXTN, defaults={"q_lora_rank": None, "first_k_dense_replace": 1}),
    "axk1": Family(
        Latent(), replace(BIAS_ROUTED, norms=1), mtp=NEXTN, names=("a_x_k1",), defaults={"first_k_dense_replace": 1}
    ),
    "glm4_moe_lite": Family(Latent(), BIAS_ROUTED, mtp=NEXTN, defaults={"first_k_dense_replace": 1}),
    "pangu_ultra_moe": Family(
        replace(Latent(), norms=2),
        replace(BIAS_ROUTED, norms=2),
        mtp=NEXTN,
        names=("openpangu_ultra_moe", "openpangu_v2"),
    ),
    "mistral4": Family(Latent(), replace(DEEPSEEK_EXPERTS, routing_bias=False), names=("mistral_small_4",)),
    "deepseek_v32": Family(SPARSE, DEEPSEEK_EXPERTS, mtp=NEXTN, names=("deepseek_v3_2",)),
    "glm_moe_dsa": Family(
        SPARSE, DEEPSEEK_EXPERTS, mtp=NEXTN, names=("glm5", "glm_5"), defaults={"topk_method": "noaux_tc"}
    ),
    "dots3_note_text": Family(
        Latent(indexer=True, head_gate=True, window=windows.if_typed, rope_normed=True),
        BIAS_ROUTED,
        mtp=NEXTN,
        names=("dots3_note", "dots3"),
    ),
    "deepseek_v4": Family(
        Compressed(),
        Experts(count="n_routed_experts", shared_count="n_shared_experts", routing_bias="noaux_tc"),
        mtp=NEXTN,
        kv_cache="fp8_ds_mla",
        rooms=DEEPSEEK_V4_ROOMS,
        names=("deepseek_v41", "deepseek_v4_1"),
        defaults={"topk_method": "noaux_tc"},
    ),
    "hy_v4": Family(
        Latent(indexer=True, output_gate=True, sinks=True),
        replace(BIAS_ROUTED, routing_bias=True),
        mtp=NEXTN,
        names=("hy_v4_text", "hy_v4_vl", "hunyuan_v4"),
        defaults={"first_k_dense_replace": 1},
    ),
    "longcat_flash": Family(
        Latent(),
        Shortcut(LONGCAT_EXPERTS, Dense("ffn_hidden_size")),
        prepare=doubled,
        rooms=LONGCAT,
        names=("longcat", "longcat_flash_lite"),
    ),
}
"""Families by ``model_type``."""
