"""YAML and JSON texts that nobody vouches for, as mappings, lists, strings, numbers, true, false and null.

Tags are refused (they construct objects), and so are aliases (a few of them stand for more than memory holds). The number
of values and levels is bounded before anything is built: no text takes more than seconds or a few hundred megabytes.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import yaml

from solver.errors import BadFile

#: Values of a JSON text. A scenario with an embedded cluster of 10,008 devices has about 300,000.
MOST_VALUES = 2_500_000
#: Tokens of a YAML text, which is read a hundred times more slowly; a list of n numbers has 2 n.
MOST_TOKENS = 1_000_000
MOST_LEVELS = 100
#: Digits of one number.
MOST_DIGITS = 400

_OPENING = (
    yaml.BlockMappingStartToken,
    yaml.BlockSequenceStartToken,
    yaml.FlowMappingStartToken,
    yaml.FlowSequenceStartToken,
)
_CLOSING = (yaml.BlockEndToken, yaml.FlowMappingEndToken, yaml.FlowSequenceEndToken)


def parse_document(text: str, name: str) -> dict[str, Any]:
    """A YAML or JSON mapping.

    Raises
    ------
    BadFile: naming the line.
    """
    content = _braced(text, name) if text.lstrip().startswith("{") else parse_yaml(text, name)
    if not isinstance(content, dict):
        raise BadFile(f"{name}: must hold a mapping, not {type(content).__name__}")
    return content


def _braced(text: str, name: str) -> Any:
    """JSON, or a flow mapping of YAML, which starts with a brace too; what is neither is reported as JSON."""
    try:
        return parse_json(text, name)
    except BadFile as error:
        try:
            return parse_yaml(text, name)
        except BadFile:
            raise error from None


def parse_json(text: str, name: str) -> Any:
    """The content of a JSON text.

    Raises
    ------
    BadFile: not JSON, too many values, or nested too deeply.
    """
    values = sum(map(text.count, "[{,"))
    if values > MOST_VALUES:
        raise BadFile(f"{name}: about {values:,} values; {MOST_VALUES:,} is the most that is read")
    try:
        return json.loads(text, object_pairs_hook=_each_once)
    except RecursionError:
        raise BadFile(f"{name}: nested too deeply") from None
    except json.JSONDecodeError as error:
        raise BadFile(f"{name}: line {error.lineno}: not JSON: {error.msg}") from None
    except ValueError as error:
        raise BadFile(f"{name}: not JSON: {str(error)[:80]}") from None


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for n, (key, _) in enumerate(pairs) if any(key == other for other, _ in pairs[:n]))
        raise ValueError(f"{twice[:60]!r} stands twice in one mapping; keep one")
    return found


def parse_yaml(text: str, name: str) -> Any:
    """The content of a YAML text. Keys are strings as they are spelt; dates stay strings.

    Raises
    ------
    BadFile: naming the line.
    """
    try:
        _survey(text, name)
        return yaml.load(text, Loader=_Loader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" line {mark.line + 1}" if mark is not None else ""
        raise BadFile(f"{name}:{where} not YAML: {getattr(error, 'problem', None) or 'cannot be parsed'}") from None
    except ValueError as error:
        raise BadFile(f"{name}: {str(error)[:120]}") from None


def _survey(text: str, name: str) -> None:
    """Refuse, before any of it is built, what is too deep, too much, or repeats itself by aliases."""
    level = 0
    for count, token in enumerate(yaml.scan(text, Loader=_Loader)):
        level += isinstance(token, _OPENING) - isinstance(token, _CLOSING)
        line = token.start_mark.line + 1
        if isinstance(token, yaml.AliasToken):
            raise BadFile(f"{name}: line {line} uses a YAML alias; write the value out")
        if isinstance(token, yaml.TagToken):
            raise BadFile(f"{name}: line {line} uses a YAML tag; write the plain value")
        if level > MOST_LEVELS:
            raise BadFile(f"{name}: line {line} is nested too deeply; {MOST_LEVELS} levels are the most")
        if count > MOST_TOKENS:
            raise BadFile(f"{name}: line {line}: too much YAML; write a large file as JSON, which is read faster")


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Constructs what JSON can hold, and refuses every other tag."""

    yaml_constructors: dict[Any, Any] = {}  # noqa: RUF012 - the library's name for its table


def _mapping(loader: _Loader, node: Any) -> dict[str, Any]:
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key is a list or a mapping", key.start_mark)
        line = key.start_mark.line + 1
        if key.value in lines:
            raise ValueError(f"{str(key.value)[:60]!r} stands twice, on lines {lines[key.value]} and {line}; keep one")
        lines[key.value] = line
    loader.flatten_mapping(node)
    return {str(key.value): loader.construct_object(value, deep=True) for key, value in node.value}


def _sequence(loader: _Loader, node: Any) -> list[Any]:
    return [loader.construct_object(item, deep=True) for item in node.value]


def _number(read: Any, loader: _Loader, node: Any) -> int | float:
    spelt = str(node.value)
    if len(spelt) > MOST_DIGITS:
        raise ValueError(
            f"line {node.start_mark.line + 1}: a number of {len(spelt):,} digits; {MOST_DIGITS} are the most"
        )
    number: int | float = read(loader, node)
    return number


def _tag(kind: str) -> str:
    return f"tag:yaml.org,2002:{kind}"


_SAFE = yaml.constructor.SafeConstructor
_Loader.add_constructor(_tag("null"), _SAFE.construct_yaml_null)
_Loader.add_constructor(_tag("bool"), _SAFE.construct_yaml_bool)
_Loader.add_constructor(_tag("str"), _SAFE.construct_yaml_str)
_Loader.add_constructor(_tag("timestamp"), _SAFE.construct_yaml_str)
_Loader.add_constructor(_tag("int"), functools.partial(_number, _SAFE.construct_yaml_int))
_Loader.add_constructor(_tag("float"), functools.partial(_number, _SAFE.construct_yaml_float))
_Loader.add_constructor(_tag("map"), _mapping)
_Loader.add_constructor(_tag("seq"), _sequence)
_Loader.add_constructor(None, _SAFE.construct_undefined)
