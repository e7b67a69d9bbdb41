"""``rackplan predict``: one given layout, priced."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from solver.cli.app import AsJson, app
from solver.cli.device import DEVICE_HELP, device_option


@app.command(
    epilog="Example: rackplan predict --llm deepseek-v3 --device h200 --tp 8 --ep 8 --concurrency 64 "
    "--prompt-tokens 1000 --output-tokens 1000"
)
def predict(
    layout: Annotated[
        str | None, typer.Argument(metavar="[LAYOUT]", help="A YAML or JSON file with a list of pools.")
    ] = None,
    llm: Annotated[str | None, typer.Option(help="Catalog name or path of a config.json.")] = None,
    device: Annotated[str | None, typer.Option(help=DEVICE_HELP)] = None,
    role: Annotated[str, typer.Option(help="unified, prefill or decode.")] = "unified",
    tp: Annotated[int, typer.Option(min=1)] = 1,
    pp: Annotated[int, typer.Option(min=1)] = 1,
    ep: Annotated[int, typer.Option(min=1)] = 1,
    dp: Annotated[int, typer.Option(min=1)] = 1,
    concurrency: Annotated[float | None, typer.Option(help="Requests in flight on a replica.")] = None,
    requests_per_s: Annotated[
        float | None, typer.Option(help="Arrivals at a replica, instead of a concurrency.")
    ] = None,
    prompt_tokens: Annotated[int, typer.Option(min=1)] = 1000,
    output_tokens: Annotated[int, typer.Option(min=1)] = 1000,
    as_: Annotated[
        str | None,
        typer.Option("--as", metavar="FAMILY", help="Read the config as this family, on your responsibility."),
    ] = None,
    weights: Annotated[str, typer.Option(help="checkpoint, or a dtype.")] = "checkpoint",
    kv_cache: Annotated[str, typer.Option(help="auto, or a dtype.")] = "auto",
    engine: Annotated[str, typer.Option(help="vllm, sglang, trtllm or ideal; @VERSION if not current.")] = "vllm",
    chunk_tokens: Annotated[int, typer.Option(min=1, help="Most prompt tokens in one step of a rank.")] = 8192,
    memory_fraction: Annotated[
        float | None, typer.Option(help="HBM that the engine may fill, as it counts it; its default if left out.")
    ] = None,
    redundant_experts: Annotated[int, typer.Option(min=0, help="Spare expert copies of a replica.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Predict step time, TTFT, TPOT, throughput and memory of one layout."""
    from solver.study.given import GivenPool, given_layout, predict_pools

    if layout is not None:
        pools = given_layout(layout)
    else:
        given: dict[str, Any] = {
            "llm": llm, "as": as_, "device": device_option(device), "role": role,
            "parallelism": {"tp": tp, "pp": pp, "ep": ep, "dp": dp},
            "concurrency": concurrency, "requests_per_s": requests_per_s, "prompt_tokens": prompt_tokens,
            "output_tokens": output_tokens, "weights": weights, "kv_cache": kv_cache, "engine": engine,
            "chunk_tokens": chunk_tokens, "redundant_experts": redundant_experts, "memory_fraction": memory_fraction,
        }  # fmt: skip
        pools = [GivenPool.read({key: value for key, value in given.items() if value is not None}, "options")]
    found = predict_pools(pools)
    if as_json:
        print(json.dumps(found[0] if layout is None else {"pools": found}, indent=1))
    else:
        for prediction in found:
            print(_lines(prediction))


def _lines(found: dict[str, Any]) -> str:
    memory, roofline = found["memory"], found["roofline"]
    used = sum(value for part, value in memory.items() if part != "capacity_bytes")
    lines = [
        f"{found['layout']}: TPOT {found['tpot_ms']:.4g} ms, TTFT {found['ttft_ms']:.4g} ms, "
        f"{found['output_tokens_per_s_per_device']:.4g} output tokens/s per device",
        f"  step {found['step_ms']:.4g} ms at {found['batch_per_rank']:.4g} sequences a rank, bound by {roofline['bound_by']}",
        f"  memory {used / 1e9:.4g} of {memory['capacity_bytes'] / 1e9:.4g} GB: weights {memory['weights_bytes'] / 1e9:.4g}, "
        f"KV cache {memory['kv_bytes'] / 1e9:.4g}; room for {found['most_sequences_per_rank']:.4g} sequences a rank "
        f"({found['kv_tokens_per_rank']:,} tokens)",
    ]
    return "\n".join([*lines, *(f"  note: {doubt}" for doubt in found["extrapolated"])])
