"""What a user may give as an LLM: a catalog name, a path or a parsed config."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path

from solver.errors import BadInput
from solver.llm import catalog
from solver.llm.config import build
from solver.llm.network import LLM, LLMSource, finder
from solver.llm.plain import FORMAT, from_plain


@finder
def load(source: LLMSource, family: str | None = None) -> LLM:
    """Return the LLM that ``source`` means, in its checkpoint's precision.

    A name in the catalog wins over a file of the same name; ``./name`` means the file.

    Parameters
    ----------
    family: family to read a config as, whatever it says of itself.

    Raises
    ------
    BadInput: ``family`` is given for what is no config.
    UnknownName: a string that is neither in the catalog nor a path that exists.
    """
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
