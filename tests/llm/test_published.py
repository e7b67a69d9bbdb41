"""Parameter counts and KV sizes against what the owners of the LLMs published."""

from __future__ import annotations

import re

import pytest

from solver.llm import LLM, names
from solver.llm.catalog import _entries

# name: (total in 1e9, source). The number is the one in the paper's or model card's text.
TOTALS = {
    "deepseek-v2": (236, "arXiv:2405.04434 abstract"),
    "deepseek-v3": (671, "arXiv:2412.19437 abstract"),
    "deepseek-r1": (671, "model card deepseek-ai/DeepSeek-R1"),
    "gemma-4-26b-a4b": (25.2, "model card google/gemma-4-26B-A4B"),
    "glm-4.5": (355, "arXiv:2508.06471 abstract"),
    "glm-5-fp8": (744, "model card zai-org/GLM-5"),
    "gpt-oss-120b": (116.83, "arXiv:2508.10925 table 1"),
    "gpt-oss-20b": (20.91, "arXiv:2508.10925 table 1"),
    "kimi-k3": (2800, "model card moonshotai/Kimi-K3"),
    "llama-2-7b": (6.74, "huggingface.co/meta-llama/Llama-2-7b-hf"),
    "llama-2-13b": (13.02, "huggingface.co/meta-llama/Llama-2-13b-hf"),
    "llama-2-70b": (68.98, "huggingface.co/meta-llama/Llama-2-70b-hf"),
    "llama-30b": (32.5, "arXiv:2302.13971 table 2"),
    "llama-3.1-8b": (8.03, "huggingface.co/meta-llama/Llama-3.1-8B"),
    "llama-3.1-70b": (70.6, "huggingface.co/meta-llama/Llama-3.1-70B"),
    "llama-3.3-70b": (70.6, "huggingface.co/meta-llama/Llama-3.3-70B-Instruct"),
    "llama-3.1-405b": (405.9, "huggingface.co/meta-llama/Llama-3.1-405B"),
    "llama-4-maverick": (400, "model card meta-llama/Llama-4-Maverick-17B-128E-Instruct"),
    "minimax-m2.5": (230, "model card MiniMaxAI/MiniMax-M2.5"),
    "minimax-m3": (428, "model card MiniMaxAI/MiniMax-M3"),
    "mistral-7b": (7.25, "huggingface.co/mistralai/Mistral-7B-v0.3"),
    "mistral-large-2": (123, "model card mistralai/Mistral-Large-Instruct-2407"),
    "mixtral-8x7b": (46.7, "mistral.ai/news/mixtral-of-experts"),
    "mixtral-8x22b": (141, "mistral.ai/news/mixtral-8x22b"),
    "olmoe-1b-7b": (6.9, "arXiv:2409.02060 abstract"),
    "palm-540b": (540.35, "arXiv:2204.02311 table 1"),
    "qwen2.5-14b": (14.7, "model card Qwen/Qwen2.5-14B-Instruct"),
    "qwen2.5-72b": (72.7, "model card Qwen/Qwen2.5-72B-Instruct"),
    "qwen3-0.6b": (0.6, "model card Qwen/Qwen3-0.6B"),
    "qwen3-8b": (8.2, "model card Qwen/Qwen3-8B"),
    "qwen3-30b-a3b": (30.5, "model card Qwen/Qwen3-30B-A3B"),
    "qwen3-32b": (32.8, "model card Qwen/Qwen3-32B"),
    "qwen3-235b-a22b": (235, "model card Qwen/Qwen3-235B-A22B"),
    "qwen3.5-397b-a17b": (397, "model card Qwen/Qwen3.5-397B-A17B"),
}

# name: (active in 1e9, counts the embedding, counts the head, source). Conventions differ by publisher.
ACTIVE = {
    "deepseek-v2": (21, True, True, "arXiv:2405.04434 abstract"),
    "deepseek-v3": (37, True, True, "arXiv:2412.19437 abstract"),
    "deepseek-v4-pro": (49, True, True, "model card deepseek-ai/DeepSeek-V4-Pro"),
    "gemma-4-26b-a4b": (3.8, True, True, "model card google/gemma-4-26B-A4B"),
    "glm-4.5": (32, False, False, "arXiv:2508.06471 abstract"),
    "glm-5": (40, False, False, "model card zai-org/GLM-5"),
    "gpt-oss-120b": (5.13, False, True, "arXiv:2508.10925 table 1"),
    "gpt-oss-20b": (3.61, False, True, "arXiv:2508.10925 table 1"),
    "kimi-k2": (32.6, True, True, "arXiv:2507.20534 table 2"),
    "kimi-k3": (104, True, True, "model card moonshotai/Kimi-K3"),
    "llama-4-maverick": (17, True, True, "model card meta-llama/Llama-4-Maverick-17B-128E-Instruct"),
    "minimax-m2.5": (10, False, False, "model card MiniMaxAI/MiniMax-M2.5"),
    "minimax-m3": (23, False, False, "model card MiniMaxAI/MiniMax-M3"),
    "mixtral-8x7b": (12.9, True, True, "mistral.ai/news/mixtral-of-experts"),
    "mixtral-8x22b": (39, True, True, "mistral.ai/news/mixtral-8x22b"),
    "olmoe-1b-7b": (1.3, True, True, "arXiv:2409.02060 abstract"),
    "qwen3-30b-a3b": (3.3, True, True, "model card Qwen/Qwen3-30B-A3B"),
    "qwen3-235b-a22b": (22, True, True, "model card Qwen/Qwen3-235B-A22B"),
    "qwen3.5-397b-a17b": (17, True, True, "model card Qwen/Qwen3.5-397B-A17B"),
}

# name: (bytes per token over all layers in bf16, how)
KV_BYTES = {
    "deepseek-v3": (70_272, "arXiv:2505.09343 table 1"),
    "deepseek-v3.2": (61 * (2 * 576 + 132), "vLLM: MLA entry and an fp8 indexer key of 128 + 4 bytes"),
    "glm-5": (78 * (2 * 576 + 132), "as DeepSeek-V3.2"),
    "gemma-4-26b-a4b": (2 * (25 * 2 * 8 * 256 + 5 * 2 * 2 * 512), "25 sliding and 5 global layers"),
    "gpt-oss-120b": (36 * 2 * 2 * 8 * 64, "2 x layers x 2 x KV heads x head dimension"),
    "kimi-k2": (70_272, "61 x 576 x 2, the MLA of DeepSeek-V3"),
    "kimi-k3": (24 * 576 * 2, "24 MLA layers"),
    "llama-2-13b": (819_200, "jax-ml/scaling-book, inference: 6.7 GB for 8192 tokens"),
    "llama-2-70b": (327_680, "jax-ml/scaling-book, applied-inference: 324 kB"),
    "llama-3.1-405b": (516_096, "arXiv:2505.09343 table 1"),
    "llama-3.1-8b": (131_072, "2 x 32 x 2 x 8 x 128"),
    "llama-4-maverick": (196_608, "2 x 48 x 2 x 8 x 128"),
    "minimax-m3": (60 * 2 * 2 * 4 * 128 + 57 * 2 * 128, "60 layers and 57 bf16 indexer keys of 128"),
    "mixtral-8x22b": (229_376, "Epoch, Inference economics of language models: 56 x 2 x 8 x 128 x 2"),
    "palm-540b": (120_832, "118 x 2 x 256 x 2, one KV head"),
    "qwen2.5-72b": (327_680, "arXiv:2505.09343 table 1"),
    "qwen3-235b-a22b": (192_512, "2 x 94 x 2 x 4 x 128"),
    "qwen3-reranker-0.6b": (114_688, "2 x 28 x 2 x 8 x 128"),
    "qwen3.5-397b-a17b": (30_720, "15 full layers x 2 x 2 x 256 x 2"),
}


@pytest.mark.parametrize("name", TOTALS)
def test_total_within_one_percent(name: str) -> None:
    published, source = TOTALS[name]
    assert LLM.from_config(name).parameters / 1e9 == pytest.approx(published, rel=0.01), source


def test_totals_that_count_the_mtp_layer() -> None:
    """DeepSeek-V4-Pro's 1.6T and Kimi-K2's 1.04T contain an MTP layer (Kimi-K2's was not released)."""
    v4 = LLM.from_config("deepseek-v4-pro")
    assert (v4.parameters + v4.mtp_parameters) / 1e12 == pytest.approx(1.6, rel=0.01)
    k2 = LLM.from_config("kimi-k2")
    assert (k2.parameters + k2.layers[-1].parameters) / 1e12 == pytest.approx(1.04, rel=0.01)


@pytest.mark.parametrize("name", ACTIVE)
def test_active_within_five_percent(name: str) -> None:
    published, embedding, head, source = ACTIVE[name]
    active = LLM.from_config(name).active_parameters(embedding=embedding, head=head)
    assert active / 1e9 == pytest.approx(published, rel=0.05), source


@pytest.mark.parametrize("name", KV_BYTES)
def test_kv_bytes_per_token_are_exact(name: str) -> None:
    expected, how = KV_BYTES[name]
    assert LLM.from_config(name, kv_cache="bf16").kv_bytes_per_token == expected, how


def test_exact_counts() -> None:
    """Sums over all tensors of the published checkpoints (safetensors headers on the hub)."""
    assert LLM.from_config("llama-3.1-8b").parameters == 8_030_261_248
    assert LLM.from_config("llama-3.1-70b").parameters == 70_553_706_496
    assert LLM.from_config("llama-2-7b").parameters == 6_738_415_616
    assert LLM.from_config("mixtral-8x7b").parameters == 46_702_792_704
    assert LLM.from_config("qwen3-0.6b").parameters == 596_049_920
    assert LLM.from_config("deepseek-v3").parameters == 671_026_419_200


def test_deepseek_v4_cache_at_a_million_tokens() -> None:
    """9.62 GiB in bf16 with bf16 indexer keys (vLLM on DeepSeek-V4); here the keys are fp8 with a float32 scale."""
    llm = LLM.from_config("deepseek-v4-pro", kv_cache="bf16")
    context = 1 << 20
    bf16_keys = 30 * (context // 4) * (2 * 128 - 132)
    assert (llm.kv_bytes(context) + bf16_keys) / 2**30 == pytest.approx(9.62, abs=0.01)


def test_llama_batch_that_fits_sixteen_v5e() -> None:
    """43 sequences of 8192 tokens on 16 TPU v5e of 16 GB with 140 GB of weights (jax-ml/scaling-book)."""
    llm = LLM.from_config("llama-2-70b")
    assert (16 * 16e9 - 140e9) // llm.kv_bytes(8192) == 43


def test_multi_query_context_of_palm() -> None:
    """Pope et al. arXiv:2211.05102 table 1: 30 % of 64 TPU v4 hold a context of 43,000 at batch 128."""
    llm = LLM.from_config("palm-540b")
    assert 0.3 * 64 * 32 * 2**30 / (128 * llm.kv_bytes_per_token) == pytest.approx(43_000, rel=0.02)


PUBLISHED = re.compile(r"published ([\d.]+) ?(B|T)\b(?P<mtp>[^;]*with (?:the|an) MTP layer)?")


@pytest.mark.parametrize("name", names())
def test_every_entry_has_its_published_total_or_is_marked(name: str) -> None:
    """Within 1 %, or within the rounding of the figure that its source gives; an MTP layer counts where it does there."""
    llm = LLM.from_config(name)
    told = PUBLISHED.search(llm.source)
    if told is None or llm.notes:
        return
    size = float(told[1]) * (1e12 if told[2] == "T" else 1e9)
    digits = len(told[1].partition(".")[2])
    rounding = 0.5 * 10**-digits * (1e12 if told[2] == "T" else 1e9)
    total = llm.parameters
    if told["mtp"]:
        total += llm.mtp_parameters or llm.layers[-1].parameters
    assert abs(total - size) <= max(0.01 * size, rounding), llm.source


@pytest.mark.parametrize("name", [n for n in names() if "like" not in _entries()[n]])
def test_every_shape_says_what_was_published(name: str) -> None:
    """Entries of their own; those that are like another one have its total."""
    assert PUBLISHED.search(_entries()[name]["source"]) or "shape of" in _entries()[name]["source"]


@pytest.mark.parametrize(
    "name",
    [
        *(
            "glm-5.1",
            "glm-5.2",
            "glm-5.3",
            "glm-4.5-air",
            "kimi-k2.6",
            "kimi-k2.7",
            "deepseek-v4-flash",
            "minimax-m2.7",
        ),
        *("qwen3-14b", "qwen3.5-27b", "qwen3.5-35b", "qwen3.5-122b", "qwen3.6-27b", "qwen3-coder-480b", "gemma-4-31b"),
        *(
            "qwen3-vl-30b-a3b",
            "llama-4-scout",
            "nemotron-3-nano",
            "nemotron-3-super",
            "nemotron-3-ultra",
            "mimo-v2-flash",
        ),
        *(
            "step-3.7-flash",
            "ernie-4.5-300b-a47b",
            "longcat-flash",
            "mistral-large-3",
            "Qwen/Qwen3-30B-A3B-Instruct-2507",
        ),
        *("nvidia/GLM-5.3-NVFP4", "nvidia/Kimi-K2.7-Code-NVFP4", "stepfun-ai/Step-3.7-Flash-FP8"),
    ],
)
def test_what_people_run_is_known_by_name(name: str) -> None:
    assert LLM.from_config(name).layers


def test_unverified_entries_say_so() -> None:
    assert "unverified" in LLM.from_config("kimi-k2.6").notes[0]
    assert not LLM.from_config("kimi-k2.6-nvfp4").notes


def test_every_entry_says_where_it_comes_from() -> None:
    assert len(names()) >= 20
    for name in names():
        llm = LLM.from_config(name)
        assert llm.source
        assert llm.as_of
        assert llm.title
        assert str(llm)
