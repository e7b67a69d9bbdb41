"""Scenario files: YAML or JSON, packaged ones by name, and overrides such as ``traffic.classes.0.output_tokens=500``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from solver.errors import BadFile, BadInput, UnknownName
from solver.workload.documents import parse_document, parse_yaml

__all__ = ["MOST_BYTES", "exists", "override", "packaged", "parse_document", "put", "read_content", "read_text"]

#: A scenario with an embedded cluster of 10,008 devices takes about 10 MB.
MOST_BYTES = 64 * 1024**2


def packaged() -> tuple[str, ...]:
    """Names of the packaged scenarios, sorted."""
    folder = files("solver").joinpath("scenarios")
    return tuple(sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml")))


def read_content(source: str) -> tuple[dict[str, Any], Path]:
    """The content of a packaged scenario or of a file, and the folder from which its relative paths start.

    Raises
    ------
    BadFile: no such file, not YAML or JSON, or not a mapping.
    UnknownName: neither a file nor a packaged scenario; names the nearest.
    """
    if source in packaged():
        text = files("solver").joinpath("scenarios", f"{source}.yaml").read_text(encoding="utf-8")
        return parse_document(text, source), Path(".")
    path = Path(source)
    if not path.suffix and not exists(path):
        raise UnknownName("scenario", source[:80], packaged(), "; a path to a .yaml or .json file works too")
    return parse_document(read_text(path, MOST_BYTES), str(path)), path.parent


def exists(path: Path) -> bool:
    """Whether there is such a file; what cannot be a path is none."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def read_text(path: Path, limit: int) -> str:
    """A text file of at most ``limit`` bytes.

    Raises
    ------
    BadFile: it cannot be read, is too large, or is not UTF-8.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise BadFile(f"{str(path)[:200]}: cannot be read: {reason}") from None
    if len(raw) > limit:
        raise BadFile(f"{path}: larger than {limit // 1024**2} MiB, the limit for such a file")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise BadFile(f"{path}: not UTF-8 text") from None


def override(content: Mapping[str, Any], settings: Iterable[str]) -> dict[str, Any]:
    """Content with ``path.to.field=value`` settings applied; list entries are numbered.

    >>> override({"slo": {"tpot_p95": "30ms"}}, ["slo.tpot_p95=50ms", "options.gap=0.02"])
    {'slo': {'tpot_p95': '50ms'}, 'options': {'gap': 0.02}}

    Raises
    ------
    BadInput: no ``=``, an unreadable value, or a list entry that does not exist.
    """
    result: dict[str, Any] = json.loads(json.dumps(content, default=str))
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals or not path.strip():
            raise BadInput(f"{setting[:80]!r}: write path.to.field=value, for example slo.tpot_p95=50ms")
        put(result, path.strip(), _scalar(value, setting))
    return result


def _scalar(value: str, setting: str) -> Any:
    try:
        return parse_yaml(value, "value")
    except BadFile as error:
        raise BadInput(f"{setting[:80]!r}: {error}") from None


def put(content: dict[str, Any], path: str, value: Any) -> None:
    """Set the value at a dotted path, making mappings on the way.

    Raises
    ------
    BadInput: the path runs through a scalar or past the end of a list.
    """
    keys = path.split(".")
    here: Any = content
    for depth, key in enumerate(keys):
        last = depth == len(keys) - 1
        if isinstance(here, list):
            if not key.isdecimal() or int(key) >= len(here):
                raise BadInput(
                    f"{path[:80]}: {'.'.join(keys[:depth])} has entries 0 to {len(here) - 1}, not {key[:40]!r}"
                )
            slot: Any = int(key)
        elif isinstance(here, dict):
            slot = key
            if not last and not isinstance(here.get(key), dict | list):
                here[key] = {}
        else:
            raise BadInput(f"{path[:80]}: {'.'.join(keys[:depth])} is a single value")
        if last:
            here[slot] = value
        else:
            here = here[slot]
