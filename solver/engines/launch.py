"""What an engine must be told besides the degrees: kernels and shardings that follow from a replica's shape.

These are not choices of the program: each shape has one launch, the plainest that the engine starts. Legality, prices,
export and explanations all read it here.
"""

from __future__ import annotations

from dataclasses import dataclass

from solver.llm import LLM
from solver.replica import Setup
from topologies import Device

#: Devices between whose hosts NVLink runs: TensorRT-LLM's wide expert parallelism needs it.
_WIDE_NVLINK = ("gb200", "gb300")
#: TensorRT-LLM's wide expert parallelism starts above so many expert ranks.
_WIDE_RANKS = 8
#: Ranks among which DeepEP's normal kernels exchange (deepseek-ai/DeepEP issue 90).
DEEPEP_NORMAL_RANKS = (2, 4, 8, 16, 32, 64, 144, 160)
#: LLMs of which vLLM holds embedding and head on every stage: its model files qwen2_moe, qwen3_moe, qwen3_next and gpt_oss.
_ENDS_EVERYWHERE = ("qwen2-57b", "qwen3-30b-a3b", "qwen3-235b", "qwen3-coder", "qwen3-next", "gpt-oss")


@dataclass(frozen=True)
class Launch:
    """One replica's launch.

    Attributes
    ----------
    exchange: kernels of the expert exchange, by the engine's name for them; ``none`` where it has none of its own.
    exchange_mode: ``low_latency`` or ``normal``; empty where the kernels have no modes.
    expert_kernels: TensorRT-LLM's MoE backend; empty for other engines.
    whole_dense: every rank holds dense FFNs whole (SGLang's ``--moe-dense-tp-size 1``).
    whole_shared: every rank holds the shared expert whole (SGLang: any exchange, or its environment variable; vLLM: tokens
        of the experts are spread over tensor-parallel ranks, its ``use_sequence_parallel_moe``).
    ends_everywhere: every pipeline stage holds embedding and head.
    worker_group_hosts: hosts whose ranks start as one group of workers (``--nnodes``); 1 where each host serves its own.
    balancing: who spreads requests over data-parallel ranks (vLLM); empty where there are none.
    """

    exchange: str = "none"
    exchange_mode: str = ""
    expert_kernels: str = ""
    whole_dense: bool = False
    whole_shared: bool = False
    ends_everywhere: bool = False
    worker_group_hosts: int = 1
    balancing: str = ""


def launch(llm: LLM, device: Device, setup: Setup) -> Launch:
    """How an engine is started for a replica on a kind of device."""
    return {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm, "ideal": _ideal}[setup.engine](llm, device, setup)


def _mode(setup: Setup) -> str:
    """Decode steps are small and hurry; steps with prompts are large."""
    return "low_latency" if setup.role == "decode" else "normal"


def _vllm(llm: LLM, device: Device, setup: Setup) -> Launch:
    degrees = setup.parallelism
    exchange = "none"
    if degrees.ep > 1 and degrees.dp > 1:
        deepep = setup.exchange_domains > 1 or setup.overlap
        names = {"low_latency": "deepep_low_latency", "normal": "deepep_high_throughput"}
        exchange = names[_mode(setup)] if deepep else "allgather_reducescatter"
    return Launch(
        exchange,
        _mode(setup) if exchange.startswith("deepep") else "",
        whole_shared=exchange != "none" and degrees.tp > 1,
        ends_everywhere=llm.name.startswith(_ENDS_EVERYWHERE),
        worker_group_hosts=setup.hosts if degrees.dp == 1 else 1,
        balancing="internal" if degrees.dp > 1 else "",
    )


def _sglang(llm: LLM, device: Device, setup: Setup) -> Launch:
    degrees = setup.parallelism
    everywhere = degrees.ep == degrees.ranks_per_stage and degrees.ep > 1
    deepep = everywhere and (setup.exchange_domains > 1 or setup.redundant_experts > 0 or setup.overlap)
    several = degrees.dp > 1
    return Launch(
        "deepep" if deepep else "none",
        _mode(setup) if deepep else "",
        whole_dense=several and llm.experts > 0,
        whole_shared=deepep or (several and llm.experts > 0),
        worker_group_hosts=setup.hosts,
    )


def _trtllm(llm: LLM, device: Device, setup: Setup) -> Launch:
    wide = device.name in _WIDE_NVLINK and setup.parallelism.ep > _WIDE_RANKS and setup.parallelism.dp > 1
    kernels = "" if not llm.experts else "WIDEEP" if wide else _trtllm_kernels(llm, device)
    return Launch("alltoall" if wide else "none", expert_kernels=kernels, worker_group_hosts=setup.hosts)


def _trtllm_kernels(llm: LLM, device: Device) -> str:
    """MoE kernels by device and format (TensorRT-LLM's deployment guides)."""
    if llm.precision.experts.name == "fp8_block" and device.generation == "blackwell":
        return "DEEPGEMM"
    if llm.precision.experts.name == "mxfp4":
        return "TRITON" if device.generation == "hopper" else "TRTLLM"
    return "CUTLASS"


def _ideal(llm: LLM, device: Device, setup: Setup) -> Launch:
    return Launch(worker_group_hosts=setup.hosts)
