"""A device on the command line: a name, or a device of one's own as a mapping."""

from __future__ import annotations

from typing import Any

from solver.errors import BadInput
from solver.workload.documents import parse_yaml

DEVICE_HELP = "Catalog name, or a device of your own such as '{name: mine, like: l40s, hbm_bytes: 96GB}'."


def device_option(text: str | None, option: str = "--device") -> str | dict[str, Any] | None:
    """The name, or the mapping that the text spells in JSON or YAML.

    >>> device_option("h200"), device_option("{name: mine, like: l40s, hbm_bytes: 32e9}")
    ('h200', {'name': 'mine', 'like': 'l40s', 'hbm_bytes': 32000000000.0})

    Raises
    ------
    BadInput: a mapping that cannot be read.
    """
    if text is None or not text.lstrip().startswith("{"):
        return text
    found = parse_yaml(text, option)
    if not isinstance(found, dict):
        raise BadInput(f"{option} {text[:80]!r}: write a name or a mapping such as {{name: mine, like: h200}}")
    return {str(key): _number(value) for key, value in found.items()}


def _number(value: Any) -> Any:
    """``32e9``, which YAML keeps a string, as a number."""
    if isinstance(value, dict):
        return {str(key): _number(inner) for key, inner in value.items()}
    try:
        return float(value) if isinstance(value, str) else value
    except ValueError:
        return value


def split_arguments(text: str) -> list[str]:
    """``a=1,b={c: 2,d: 3}`` cut at the commas outside of braces and brackets.

    >>> split_arguments("nodes=2,device={name: x,like: h200}")
    ['nodes=2', 'device={name: x,like: h200}']
    """
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "{[") - (letter in "}]")
        if letter == "," and depth <= 0:
            parts.append("")
        else:
            parts[-1] += letter
    return [part for part in parts if part.strip()]
