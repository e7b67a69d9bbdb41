"""Makes vLLM's CPU build believe that it runs on NVIDIA devices, so that its rules for them apply.

Nothing is launched behind the mask: arguments are parsed, configurations are checked, stages are built on the meta device.
Import before vllm.
"""

from __future__ import annotations

import importlib.machinery
import sys
import types
from collections.abc import Mapping
from typing import Any

#: Compiled modules of the CUDA build whose names are imported, never called.
_COMPILED = (
    "vllm._C_stable_libtorch",
    "vllm._moe_C_stable_libtorch",
    "vllm._qutlass_C",
    "vllm.vllm_flash_attn._vllm_fa2_C",
    "vllm.vllm_flash_attn._vllm_fa3_C",
)
_SPACES = ("_C", "_moe_C", "_C_cache_ops", "_C_custom_ar", "_vllm_fa2_C", "_vllm_fa3_C")


class _Anything(types.ModuleType):
    """A package that checks name and never use: every attribute is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _KernelConfig:
    """A configuration of a Triton kernel, where Triton is absent."""

    def __init__(self, kwargs: Any = None, num_warps: int = 4, num_stages: int = 2, **_: Any) -> None:
        self.kwargs, self.num_warps, self.num_stages = kwargs or {}, num_warps, num_stages


def put_on(device: Mapping[str, Any]) -> None:
    """Wear the mask of a device.

    Parameters
    ----------
    device: ``title``, ``capability`` (major, minor), ``bytes``, and ``count`` on a host.
    """
    import torch

    for name in _COMPILED:
        _install(types.ModuleType(name))
    _install(_Anything("deep_ep"))
    size, count, capability = int(device["bytes"]), int(device["count"]), tuple(device["capability"])
    properties = types.SimpleNamespace(
        total_memory=size, name=device["title"], major=capability[0], minor=capability[1], multi_processor_count=132,
        shared_memory_per_block_optin=232448,
    )  # fmt: skip
    torch.cuda.device_count = lambda: count
    torch.cuda.get_device_capability = lambda *_, **__: capability
    torch.cuda.get_device_name = lambda *_, **__: device["title"]
    torch.cuda.get_device_properties = lambda *_, **__: properties
    torch.cuda.mem_get_info = lambda *_, **__: (size, size)

    import vllm.platforms as platforms
    from vllm.platforms.cuda import CudaPlatformBase
    from vllm.platforms.interface import DeviceCapability

    answers = {
        "get_device_capability": DeviceCapability(*capability),
        "get_device_name": device["title"],
        "get_device_total_memory": size,
        "is_fully_connected": True,
        "device_count": count,
        "get_cuda_runtime_major": 13,
        "num_compute_units": 132,
        "import_kernels": None,
        "get_device_numa_node": None,
        "get_all_device_numa_nodes": None,
    }
    methods = {name: classmethod(lambda cls, *_, answer=answer, **__: answer) for name, answer in answers.items()}
    platforms._current_platform = type("Masked", (CudaPlatformBase,), methods)()
    _let_kernels_be_named()


def _install(module: types.ModuleType) -> None:
    module.__spec__ = importlib.machinery.ModuleSpec(module.__name__, None)
    sys.modules[module.__name__] = module


def _let_kernels_be_named() -> None:
    import vllm._custom_ops as ops
    from vllm.model_executor.models import registry
    from vllm.triton_utils import triton

    if not isinstance(getattr(triton, "Config", None), type):
        triton.Config = _KernelConfig
    for name in dir(ops):
        if "_supports_" in name or name.endswith("_supported"):
            setattr(ops, name, lambda *_, **__: True)
    # A fresh process would not wear the mask.
    registry._run_in_subprocess = lambda inspect: inspect()


def stand_ins() -> None:
    """Before a stage is built: kernels that this build lacks may be named, and streams do nothing."""
    import torch
    import torch.fx.experimental._config as fx
    from vllm.model_executor.layers.fused_moe import expert_map_manager as maps

    known = torch._ops._OpNamespace.__getattr__

    class Kernel:
        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return self

    def find(space: Any, name: str) -> Any:
        try:
            return known(space, name)
        except AttributeError:
            if name.startswith("__") or space.name not in _SPACES:
                raise
            return Kernel()

    class Stream:
        def __init__(self, *_: Any, **__: Any) -> None: ...

        def __getattr__(self, name: str) -> Any:
            return lambda *_, **__: None

    torch._ops._OpNamespace.__getattr__ = find
    torch.cuda.Stream = torch.cuda.Event = Stream
    torch.cuda.current_stream = lambda *_: Stream()
    fx.meta_nonzero_assume_all_nonzero = True
    for owner in (maps, *(each for each in vars(maps).values() if isinstance(each, type))):
        if hasattr(owner, "get_compressed_map_string"):
            owner.get_compressed_map_string = lambda *_, **__: "not computed"


def on_meta() -> Any:
    """A mode in which tensors that ask for CUDA are made on the meta device, which holds no data."""
    import torch
    from torch.overrides import TorchFunctionMode

    class Mode(TorchFunctionMode):
        def __torch_function__(self, function: Any, kinds: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = dict(kwargs or {})
            if str(kwargs.get("device", "")).startswith("cuda"):
                kwargs["device"] = torch.device("meta")
            return function(*args, **kwargs)

    return Mode()
