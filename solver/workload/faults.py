"""What is wrong with a value, in words of files and commands instead of those of the library that read it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

_MUST = "must be "
#: By kind of fault; what is in braces is told by the fault.
_WORDS = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "finite_number": "must be a finite number",
    "literal_error": "must be {expected}",
    "enum": "must be {expected}",
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries, not {actual_length}",
    "too_long": "must have at most {max_length} entries",
    "missing": "this key is missing",
    "none_required": "must be left out",
}
#: By how the name of a kind begins: values of another type than is wanted there.
_TYPES = {
    "int": "must be a whole number",
    "float": "must be a number",
    "bool": "must be true or false",
    "string": "must be text",
    "tuple": "must be a list",
    "list": "must be a list",
    "set": "must be a list",
    "dict": "must be a mapping of keys to values",
    "mapping": "must be a mapping of keys to values",
    "model": "must be a mapping of keys to values",
}


def words(fault: Mapping[str, Any]) -> str:
    """A fault as the library reports it, in our words.

    >>> words({"type": "less_than_equal", "ctx": {"le": 1.0}, "msg": "Input should be ..."})
    'must be at most 1'
    """
    kind, limits = str(fault["type"]), fault.get("ctx", {})
    if limits.get("min_length") == 1:
        return "must not be empty"
    if kind in _WORDS:
        told = {name: f"{value:g}" if isinstance(value, float) else value for name, value in limits.items()}
        return _WORDS[kind].format(**told)
    for start, said in _TYPES.items():
        if kind.startswith(f"{start}_"):
            return said
    return str(fault["msg"]).removeprefix("Value error, ").replace("Input should", "must")


def either(said: Sequence[str]) -> str:
    """What a value must be where it may be of several kinds, none of which it is.

    >>> either(["must be true or false", "must be 'auto'"])
    "must be true or false, or 'auto'"
    """
    distinct = list(dict.fromkeys(said))
    if all(words.startswith(_MUST) for words in distinct):
        return _MUST + ", or ".join(words.removeprefix(_MUST) for words in distinct)
    return distinct[0]


def place_in(content: object, fault: Mapping[str, Any]) -> tuple[int | str, ...]:
    """Where in some content a fault is: the library also names the kinds of value that it tried there."""
    here, place, last = content, [], len(fault["loc"]) - 1
    for n, part in enumerate(fault["loc"]):
        # A key that is not there can only be missing itself, or be no key.
        if isinstance(here, Mapping) and (part in here or n == last):
            place.append(part)
            here = here.get(part)
        elif isinstance(here, list | tuple) and isinstance(part, int):
            place.append(part)
            here = here[part] if part < len(here) else None
        elif isinstance(here, BaseModel):
            place.append(part)
            here = getattr(here, str(part), None)
    return tuple(place)
