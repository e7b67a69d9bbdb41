"""Parameter counts against the published implementations, built on the meta device.

The witness: transformers 5.24 with PyTorch 2.13, November 2026. Each row has the parameters of ``AutoModelForCausalLM`` of
a small network of the family, and those values of its config that matter; what is left out has the class's default.
Counts differ by what is no matrix product: biases of final norms and of heads, routing biases kept as buffers.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from solver.llm import LLM
from solver.llm.config.families import FAMILIES, family_of

COUNTED: dict[str, tuple[int, dict[str, Any]]] = json.loads(
    Path(__file__).with_name("published_implementations.json").read_text()
)


@pytest.mark.parametrize("kind", COUNTED)
def test_parameters_are_those_of_the_published_implementation(kind: str) -> None:
    total, config = COUNTED[kind]
    assert LLM.from_config(config).parameters == pytest.approx(total, rel=1.1e-4)


def test_most_families_were_counted() -> None:
    """The others are no part of transformers, or are counted by hand in test_found_configs and test_tensors."""
    counted = {family_of(kind) for kind in COUNTED}
    assert len(counted) >= 80
    by_hand = {
        *(
            "arctic",
            "bailing_moe",
            "bailing_moe_linear",
            "bailing_moe_linear_v2",
            "bamba",
            "chatglm",
            "dbrx",
            "deepseek",
        ),
        *("deepseek_v2", "grok1", "internlm", "internlm2", "longcat_flash", "mimo", "mimo_v2_flash", "minimax_m3"),
        *(
            "mistral4",
            "mllama",
            "nemotron_nas",
            "openpangu",
            "openpangu_pro_moe",
            "orion",
            "pangu_ultra_moe",
            "param2moe",
        ),
        *("glm4_moe", "qwen", "qwen3_moe", "step3p5", "telechat2"),
    }
    assert set(FAMILIES) - counted <= by_hand
