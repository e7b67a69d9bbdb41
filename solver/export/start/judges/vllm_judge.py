"""vLLM's own parser, configuration checks and model construction on commands; run by the Python that vLLM is in.

Each pipeline stage is built on the meta device as rank 0 of its other groups: its weights and its KV cache are read off,
and how many tokens vLLM puts into the room that the plan's ledger leaves.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import forked
import vllm_mask


def check(command: Mapping[str, Any]) -> forked.Verdict:
    """Judge one command.

    Its ``words`` come after ``vllm serve``; ``model``, if any, is put in the first one's place; with ``build`` the stages are
    built, and their KV caches put into ``rooms`` [bytes].
    """
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.usage.usage_lib import UsageContext
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    class Parser(FlexibleArgumentParser):
        def error(self, message: str) -> None:  # type: ignore[override]
            raise SyntaxError(message)

    model, *words = command["words"]
    words = ["--model", command["model"] or model, *words, "--skip-tokenizer-init", "--load-format", "dummy"]
    arguments = make_arg_parser(Parser()).parse_args(words)
    engine = AsyncEngineArgs.from_cli_args(arguments)
    config = engine.create_engine_config(UsageContext.OPENAI_API_SERVER, headless=arguments.headless)
    if not command["build"]:
        return {}
    built = [_stage(config, stage) for stage in range(config.parallel_config.pipeline_parallel_size)]
    stages = [{"weights_bytes": weights, "kv_layers": len(specs)} for weights, specs in built]
    return {"stages": stages, **_kv(config, [specs for _, specs in built], command["rooms"])}


def _stage(config: Any, stage: int) -> tuple[int, dict[str, Any]]:
    """Weights [bytes] and KV cache of one pipeline stage, built without data."""
    import torch
    import vllm.distributed.parallel_state as groups
    from vllm.config import get_layers_from_vllm_config, set_current_vllm_config
    from vllm.model_executor.layers.attention_layer_base import AttentionLayerBase
    from vllm.model_executor.model_loader.utils import initialize_model
    from vllm.utils.torch_utils import set_default_torch_dtype

    vllm_mask.stand_ins()
    degrees = config.parallel_config
    tp, dp = degrees.tensor_parallel_size, degrees.data_parallel_size
    pp, dcp = degrees.pipeline_parallel_size, degrees.decode_context_parallel_size
    sizes = {"WORLD": tp * pp, "TP": tp, "PP": pp, "DP": dp, "EP": tp * dp, "EPLB": tp * dp, "PCP": 1, "DCP": dcp}
    for name, size in sizes.items():
        setattr(groups, f"_{name}", _group(name.lower(), size, stage if name == "PP" else 0))
    config.compilation_config.static_forward_context.clear()
    with (
        torch.device("meta"),
        vllm_mask.on_meta(),
        set_current_vllm_config(config),
        set_default_torch_dtype(config.model_config.dtype),
    ):
        model = initialize_model(config)
        layers = get_layers_from_vllm_config(config, AttentionLayerBase)
        specs = {name: spec for name, layer in layers.items() if (spec := layer.get_kv_cache_spec(config))}
    tensors = [*model.parameters(), *model.buffers()]
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors), specs


def _group(name: str, size: int, rank: int) -> Any:
    """A process group as one of its ranks sees it; nothing is ever sent."""
    import torch

    side = SimpleNamespace(size=lambda: size, rank=lambda: rank)
    return SimpleNamespace(
        unique_name=name, world_size=size, rank_in_group=rank, rank=rank, local_rank=rank, ranks=list(range(size)),
        device_group=side, cpu_group=side, device_communicator=None, first_rank=0, last_rank=size - 1,
        is_first_rank=rank == 0, is_last_rank=rank == size - 1, next_rank=(rank + 1) % size,
        prev_rank=(rank - 1) % size, device=torch.device("meta"), use_device_communicator=False, mq_broadcaster=None,
        all_reduce=lambda tensor: tensor, barrier=lambda: None,
    )  # fmt: skip


def _kv(config: Any, specs: list[dict[str, Any]], rooms: list[float]) -> dict[str, Any]:
    """Tokens that vLLM would hold in the rooms of the stages, where all layers cache alike."""
    kinds = {(type(spec).__name__, spec.page_size_bytes // spec.block_size) for each in specs for spec in each.values()}
    if len(kinds) != 1:
        return {"kv_tokens": None}
    from vllm.v1.core.kv_cache_utils import get_kv_cache_configs

    config.cache_config.kv_cache_layout = config.cache_config.kv_cache_layout or "LBNHC"
    found = get_kv_cache_configs(config, specs, [int(room) for room in rooms])
    return {"kv_tokens": min(each.num_blocks for each in found) * config.cache_config.block_size}


def main() -> None:
    asked = forked.request()
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ["VLLM_NO_USAGE_STATS"] = "1"
    vllm_mask.put_on(asked["device"])
    import vllm
    import vllm.engine.arg_utils  # imported once, before children are forked

    forked.serve(check, asked, vllm.__version__)


if __name__ == "__main__":
    main()
