"""What a user may give as an LLM: a catalog name, a path or a parsed config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from solver.errors import BadInput
from solver.llm import catalog
from solver.llm.config import build
from solver.llm.dtypes import Dtype
from solver.llm.network import LLM
from solver.llm.plain import FORMAT, from_plain
from solver.llm.precision import Weights


def from_config(
    source: str | PathLike[str] | Mapping[str, Any],
    weights: Weights = "checkpoint",
    kv_cache: str | Dtype = "auto",
    family: str | None = None,
) -> LLM:
    """Read an LLM from the catalog or from a Hugging Face ``config.json``.

    A name in the catalog wins over a file of the same name; ``./name`` means the file.

    Parameters
    ----------
    source: name or alias in the catalog (letters' case does not matter), path to a ``config.json`` or to the folder
        that holds it (a ``hf_quant_config.json`` beside it is read too), or the parsed config.
    weights: ``"checkpoint"`` (per part, as the quantisation config says), one dtype for all linear parts, or a
        mapping from part to dtype (see :class:`Precision`).
    kv_cache: ``"auto"`` (what the checkpoint declares, else bf16) or a dtype.
    family: family of architectures to read a config as, on the caller's own responsibility; None = the one it names.

    Raises
    ------
    UnknownName: no catalog entry, path or dtype of this name; carries the nearest.
    UnknownArchitecture: the config's family is not known, or it lacks keys that the family needs.
    BadFile, BadInput: the file cannot be read, or a value in it makes no sense; names file and key. ``family`` is given
        for what is no config.
    """
    return _as_released(source, family).with_precision(weights, kv_cache)


def _as_released(source: str | PathLike[str] | Mapping[str, Any], family: str | None) -> LLM:
    """The LLM in its checkpoint's precision."""
    if isinstance(source, Mapping):
        return from_plain(source) if FORMAT in source else build.from_mapping(source, family)
    if isinstance(source, PathLike):
        return build.from_path(Path(source), family)
    if not isinstance(source, str) or not source.strip():
        raise BadInput("an LLM is a catalog name, a path to a config.json or its folder, or a parsed config")
    found = catalog.find(source)
    if found is not None:
        if family is not None:
            raise BadInput(
                f"{source[:80]} is in the catalog, so it is not read as {family[:60]}; only a config file is"
            )
        return found
    if _looks_like_path(source):
        return build.from_path(Path(source).expanduser(), family)
    raise catalog.unknown(source)


def _looks_like_path(source: str) -> bool:
    if source.lower().endswith(".json") or source.startswith((".", "~", os.sep)) or source.endswith(os.sep):
        return True
    try:
        return Path(source).exists()
    except (OSError, ValueError):
        return False
