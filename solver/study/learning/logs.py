"""What engines log at start-up: their version, and how many tokens the KV cache holds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solver.workload.files import MOST_BYTES, read_text

#: Tokens of a rank's KV cache, as vLLM, SGLang and TensorRT-LLM log them.
_TOKENS = (
    re.compile(r"GPU KV cache size: ([\d,]+) tokens"),
    re.compile(r"max_total_num_tokens=(\d+)"),
    re.compile(r"max tokens in paged KV cache \((\d+)\)"),
)
_VERSIONS = (
    re.compile(r"vLLM (?:API server )?version v?(\d+\.\d+[\w.]*)"),
    re.compile(r"LLM engine \(v(\d+\.\d+[\w.]*)\)"),
    re.compile(r"sglang(?:\[[\w,]*\])?(?: version)?[ =]+v?(\d+\.\d+[\w.]*)", re.IGNORECASE),
    re.compile(r"TensorRT.LLM (?:version: |v)(\d+\.\d+[\w.]*)", re.IGNORECASE),
)


@dataclass(frozen=True)
class EngineLog:
    """A log.

    Attributes
    ----------
    replica: of which it is. kv_tokens: that a rank's KV cache holds; None where it does not say. version: empty likewise.
    """

    source: str
    replica: Mapping[str, Any]
    kv_tokens: int | None
    version: str


def read_log(path: Path, replica: Mapping[str, Any]) -> EngineLog:
    """Read a log; the fewest tokens of several ranks count."""
    text = read_text(path, MOST_BYTES)
    tokens = [int(found.replace(",", "")) for pattern in _TOKENS for found in pattern.findall(text)]
    versions = [found for pattern in _VERSIONS for found in pattern.findall(text)]
    return EngineLog(str(path), replica, min(tokens, default=None), versions[0] if versions else "")
