"""Forty-one scenarios that differ in what makes queues hard: bursts, lengths, mixes, pipelines, experts, tiers."""

from __future__ import annotations

from typing import Any

L8, L70, Q32 = "llama-3.1-8b", "llama-3.1-70b-fp8", "qwen3-32b-fp8"
Q235, OSS, DS = "qwen3-235b-a22b-fp8", "gpt-oss-120b", "deepseek-v3"

Content = dict[str, Any]


def hgx(nodes: int, device: str = "h100") -> Content:
    """Hosts of eight GPUs."""
    return {"builder": "hgx", "nodes": nodes, "device": device}


def nvl72(racks: int = 1) -> Content:
    """Racks of GB200."""
    return {"builder": "nvl72", "racks": racks, "device": "gb200"}


def chat(prompt: int, output: int, rate: float, name: str = "chat", **more: Any) -> Content:
    """A class of requests."""
    return {"name": name, "prompt_tokens": prompt, "output_tokens": output, "requests_per_s": rate, **more}


def turns(prompt: int, output: int, rate: float, shared: int, private: int, returns: float, **more: Any) -> Content:
    """A class of conversations, which come back after a minute or so."""
    reuse = {"reused_tokens": {"shared": shared, "private": private}, "return_fraction": returns}
    return chat(prompt, output, rate, "turns", **reuse, **({"idle_s": {"median": 60, "p90": 600}} | more))


def content(
    llm: str,
    cluster: Content,
    classes: list[Content],
    ttft: str,
    tpot: str,
    engine: str = "vllm",
    apart: bool | None = None,
) -> Content:
    """A scenario."""
    return {
        "llm": {"config": llm} | ({"kv_cache": "fp8"} if llm == DS else {}),
        "cluster": cluster,
        "price_basis": "reserved-3y",
        "traffic": {"classes": classes},
        "slo": {"ttft_p95": ttft, "tpot_p95": tpot},
        "engine": engine,
        "options": {} if apart is None else {"disaggregate": apart},
    }


SERVED: dict[str, Content] = {
    "l70-u": content(L70, hgx(2), [chat(1000, 250, 6)], "2s", "50ms", apart=False),
    "l70-u-cv": content(L70, hgx(2), [chat(1000, 250, 6, prompt_cv=1.0, output_cv=1.0)], "3s", "60ms", apart=False),
    "l70-u-burst": content(L70, hgx(2), [chat(1000, 250, 6, burstiness=4.0)], "3s", "60ms", apart=False),
    "l70-d": content(L70, hgx(4), [chat(2000, 300, 15)], "1500ms", "40ms", apart=True),
    "l70-d-cv": content(L70, hgx(4), [chat(2000, 300, 15, prompt_cv=0.8, output_cv=0.8)], "2s", "40ms", apart=True),
    "l70-d-burst": content(L70, hgx(4), [chat(2000, 300, 15, burstiness=4.0)], "2s", "40ms", apart=True),
    "l70-mix": content(
        L70, hgx(4, "h200"), [chat(1000, 200, 10), chat(8000, 400, 1, "doc", prompt_cv=0.5)], "3s", "50ms", "trtllm"
    ),
    "l70-slos": content(
        L70,
        hgx(4),
        [chat(1000, 256, 15), chat(6000, 400, 1, "sum", slo={"ttft_p95": "6s", "tpot_p95": "80ms"})],
        "1s",
        "40ms",
    ),
    "l70-big": content(L70, hgx(12), [chat(1000, 250, 90)], "1s", "40ms", apart=True),
    "l70-b200": content(
        L70, hgx(2, "b200"), [chat(2000, 500, 20, prompt_cv=0.3, output_cv=0.7)], "1s", "25ms", "sglang"
    ),
    "q32-u": content(Q32, hgx(2, "h200"), [chat(500, 500, 30)], "1s", "30ms", "sglang", apart=False),
    "q32-u-long": content(Q32, hgx(2, "h200"), [chat(6000, 200, 5)], "3s", "60ms", apart=False),
    "q32-u-tight": content(Q32, hgx(2, "h200"), [chat(3000, 300, 10)], "2s", "35ms", apart=False),
    "q32-d": content(Q32, hgx(4, "h200"), [chat(3000, 500, 20)], "1s", "20ms", apart=True),
    "q32-d-trt": content(Q32, hgx(4, "h200"), [chat(3000, 500, 30, output_cv=1.0)], "1s", "25ms", "trtllm", apart=True),
    "q32-b200": content(Q32, hgx(2, "b200"), [chat(2000, 1000, 20, prompt_cv=0.5, output_cv=0.5)], "1s", "25ms"),
    "q32-mixed": content(Q32, {"join": [hgx(2), hgx(2, "h200")]}, [chat(3000, 500, 25)], "800ms", "20ms"),
    "l8-u": content(L8, hgx(1), [chat(800, 200, 60)], "1s", "25ms", apart=False),
    "l8-d": content(L8, hgx(1), [chat(4000, 200, 30)], "500ms", "15ms", apart=True),
    "l8-burst": content(L8, hgx(1), [chat(800, 200, 60, burstiness=6.0)], "1s", "25ms"),
    "oss-u": content(OSS, hgx(1, "b200"), [chat(1500, 600, 30)], "1s", "20ms", "trtllm", apart=False),
    "oss-u-cv": content(
        OSS, hgx(1, "b200"), [chat(1500, 600, 30, prompt_cv=1.0, output_cv=1.0)], "1s", "20ms", "trtllm", apart=False
    ),
    "oss-d": content(OSS, hgx(2, "b200"), [chat(8000, 400, 25)], "1500ms", "15ms", apart=True),
    "oss-burst": content(OSS, hgx(2), [chat(1000, 400, 40, burstiness=3.0)], "1s", "20ms"),
    "ds": content(DS, nvl72(2), [chat(4000, 1000, 100)], "2s", "30ms", "sglang"),
    "ds-cv": content(DS, nvl72(2), [chat(4000, 1000, 60, prompt_cv=1.0, output_cv=1.0)], "3s", "30ms", "sglang"),
    "ds-h200": content(DS, hgx(4, "h200"), [chat(4000, 1000, 10)], "2s", "50ms", "sglang"),
    "ds-u": content(DS, nvl72(), [chat(2000, 500, 20)], "3s", "50ms", apart=False),
    "ds-u-h200": content(DS, hgx(4, "h200"), [chat(1000, 1000, 5)], "3s", "60ms", "sglang", apart=False),
    "ds-burst": content(DS, nvl72(2), [chat(4000, 1000, 60, burstiness=4.0)], "3s", "35ms", "trtllm"),
    "ds-long": content(DS, nvl72(2), [chat(16000, 500, 20, prompt_cv=0.5)], "5s", "40ms", "sglang"),
    "q235-d": content(Q235, hgx(2, "h200"), [chat(3000, 800, 8)], "2s", "35ms", apart=True),
    "q235-u": content(Q235, hgx(2, "h200"), [chat(1000, 500, 10)], "2s", "50ms", apart=False),
    "q235-cv": content(
        Q235, hgx(4, "h200"), [chat(2000, 800, 12, prompt_cv=1.0, output_cv=1.0)], "2s", "40ms", "sglang"
    ),
    "q235-nvl72": content(Q235, nvl72(), [chat(3000, 1000, 40)], "1500ms", "25ms", "trtllm"),
    "q235-mix": content(
        Q235, nvl72(), [chat(500, 200, 40), chat(6000, 1000, 8, "agent", output_cv=0.6)], "1500ms", "30ms"
    ),
    "tiers-l70": content(L70, hgx(4, "h200"), [turns(8000, 300, 6, 500, 6500, 0.7)], "3s", "50ms"),
    "tiers-l70-mix": content(
        L70, hgx(4, "h200"), [turns(8000, 300, 4, 500, 6500, 0.7, prompt_cv=0.5), chat(1500, 300, 6)], "3s", "50ms"
    ),
    "tiers-q32": content(
        Q32, hgx(2, "h200"), [turns(12000, 200, 6, 2000, 9000, 0.8, idle_s={"median": 10, "p90": 60})], "2s", "40ms"
    ),
    "tiers-oss": content(
        OSS,
        hgx(1, "b200"),
        [turns(6000, 500, 20, 1000, 4500, 0.6, burstiness=2.0, idle_s={"median": 30, "p90": 300})],
        "1s",
        "20ms",
        "trtllm",
    ),
    "tiers-ds": content(DS, nvl72(), [turns(8000, 800, 30, 1000, 6000, 0.7)], "3s", "40ms", "sglang"),
}

#: Those whose capacity is looked for, on one host or rack.
FILLED = (
    "l8-u",
    "l8-d",
    "q32-u",
    "l70-d",
    "l70-u-cv",
    "q32-d",
    "oss-u",
    "oss-d",
    "q235-u",
    "q32-b200",
    "ds-u",
    "l70-b200",
)
