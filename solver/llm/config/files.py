"""Finding and parsing ``config.json`` and the quantisation file beside it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from solver.errors import BadFile
from solver.llm.config.reader import printable

MAX_FILE_BYTES = 16 << 20
QUANTIZATION_FILES = ("hf_quant_config.json", "quantize_config.json", "quant_config.json")
"""Of ModelOpt, AutoGPTQ and AutoAWQ; the first that exists counts."""


def find(path: Path) -> tuple[Path, list[Path]]:
    """Return the config file meant by ``path`` (a file or its folder) and the quantisation files that would go with it.

    ``config.json`` goes with ``hf_quant_config.json``, ``<prefix>_config.json`` with ``<prefix>_hf_quant_config.json``.
    """
    try:
        if path.is_dir():
            native = not (path / "config.json").exists() and (path / "params.json").exists()
            path = path / ("params.json" if native else "config.json")
    except (OSError, ValueError) as problem:
        raise BadFile(f"{label(path)}: {reason(problem)}") from None
    prefix = path.name.removesuffix("config.json")
    beside = prefix if prefix != path.name else ""
    return path, [path.with_name(beside + name) for name in QUANTIZATION_FILES]


def parse(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises
    ------
    BadFile: missing, too large, not JSON, nested too deeply, or not an object.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_FILE_BYTES + 1)
        if len(raw) > MAX_FILE_BYTES:
            raise BadFile(f"{label(path)}: larger than {MAX_FILE_BYTES >> 20} MiB, which no config is")
        value = json.loads(raw.decode("utf-8-sig"))
    except RecursionError:
        raise BadFile(f"{label(path)}: nested too deeply") from None
    except (OSError, ValueError) as problem:
        raise BadFile(f"{label(path)}: {reason(problem)}") from None
    if not isinstance(value, dict):
        raise BadFile(f"{label(path)}: must hold a JSON object, not {type(value).__name__}")
    return value


def short_name(path: Path) -> str:
    """Return a name for the LLM: the file's prefix without its owner, or its folder.

    >>> short_name(Path("llms/Qwen--Qwen3-8B_config.json")), short_name(Path("/data/My-LLM/config.json"))
    ('qwen3-8b', 'my-llm')
    """
    prefix = path.name.removesuffix(".json").removesuffix("config").rstrip("_.-")
    name = prefix or path.resolve().parent.name or "llm"
    return name.rpartition("--")[2].lower()


def label(path: Path) -> str:
    """Return a path as a message can hold it."""
    return printable(str(path), most=200)


def reason(problem: Exception) -> str:
    """Return what went wrong with a file in one line."""
    if isinstance(problem, json.JSONDecodeError):
        return f"is not JSON: {problem.msg} at line {problem.lineno}, column {problem.colno}"
    if isinstance(problem, UnicodeDecodeError):
        return "is not UTF-8 text"
    if isinstance(problem, OSError):
        return (problem.strerror or "cannot be read").lower()
    return (str(problem).splitlines() or ["cannot be read"])[0][:120]
