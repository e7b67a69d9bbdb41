"""SGLang's own parser, resolution of arguments and checks on commands; run by the Python that SGLang is in.

torch is made to look as if it ran on NVIDIA devices. No process starts and no kernel loads: a model is not built, so that
what a rank refuses while it loads is not seen.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import types
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec
from types import SimpleNamespace
from typing import Any

import forked

#: Packages of the CUDA build that are imported and never called.
_ABSENT = (
    "torchvision", "torchaudio", "sgl_kernel", "flashinfer", "decord", "torchao", "soundfile", "xgrammar", "gguf", "av",
    "librosa", "deep_gemm", "cuda", "nvidia",
)  # fmt: skip


class _Loose(type):
    """Classes with any attribute."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Loose(name, (), {"__init__": lambda self, *_, **__: None})


class _Absent(types.ModuleType):
    """A package that is not here: any attribute is an empty class or a submodule."""

    __path__: Sequence[str] = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Loose(name, (), {"__init__": lambda self, *_, **__: None})


class _Finder:
    """Answers imports of absent packages; asked last, so that what is installed is used."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.split(".")[0] in _ABSENT else None  # type: ignore[arg-type]

    def create_module(self, spec: ModuleSpec) -> types.ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__version__ = "99.0"  # type: ignore[attr-defined]


def put_on(device: Mapping[str, Any]) -> None:
    """Wear the mask of a device, before SGLang is imported: much of it asks torch at import."""
    import torch
    import transformers.utils as known

    for name in dir(known):  # transformers notes what is installed before the stand-ins answer
        if name.startswith("is_") and name.endswith("_available"):
            with contextlib.suppress(Exception):
                getattr(known, name)()
    sys.meta_path.append(_Finder())  # type: ignore[arg-type]
    size, capability = int(device["bytes"]), tuple(device["capability"])
    torch.cuda.is_available = lambda: True
    torch.cuda.device_count = lambda: int(device["count"])
    torch.cuda.current_device = lambda: 0
    torch.cuda.get_device_capability = lambda *_, **__: capability
    torch.cuda.get_device_name = lambda *_, **__: device["title"]
    torch.cuda.get_device_properties = lambda *_, **__: SimpleNamespace(
        total_memory=size, name=device["title"], major=capability[0], minor=capability[1], multi_processor_count=132
    )
    torch.cuda.mem_get_info = lambda *_, **__: (size, size)
    torch.version.cuda = "13.0"
    import sglang.srt.configs.model_config
    import sglang.srt.server_args  # noqa: F401

    answers = {
        "get_device_memory_capacity": size // 2**20,
        "get_device_capability": capability,
        "get_device_name": device["title"],
        "get_device": "cuda",
    }
    for name, module in list(sys.modules.items()):
        for question, answer in answers.items() if name.startswith("sglang") else ():
            if hasattr(module, question):
                setattr(module, question, lambda *_, answer=answer, **__: answer)


def check(command: Mapping[str, Any]) -> forked.Verdict:
    """Judge one command: ``words`` after the program, and ``model`` to put in the model's place or none."""
    from sglang.srt.arg_groups.overrides import resolving_view
    from sglang.srt.configs.model_config import ModelConfig
    from sglang.srt.server_args import prepare_server_args

    words, said = list(command["words"]), io.StringIO()
    if command["model"]:
        words[words.index("--model-path") + 1] = command["model"]
    try:
        with contextlib.redirect_stderr(said):
            arguments = prepare_server_args([*words, "--skip-tokenizer-init", "--load-format", "dummy"])
            arguments.resolve_once()
    except SystemExit:
        raise SyntaxError(said.getvalue().strip().splitlines()[-1]) from None
    arguments.check_server_args()
    view = resolving_view(arguments)
    ModelConfig.from_server_args(arguments).get_num_kv_heads(view.tp_size)
    told = (
        "tp_size",
        "attn_dp_size",
        "ep_size",
        "pp_size",
        "chunked_prefill_size",
        "max_running_requests",
        "moe_a2a_backend",
    )
    return {"resolved": {name: getattr(view, name, None) for name in told}}


def main() -> None:
    asked = forked.request()
    put_on(asked["device"])
    import sglang

    os.environ.setdefault("SGLANG_LOG_LEVEL", "error")
    forked.serve(check, asked, sglang.__version__)


if __name__ == "__main__":
    main()
