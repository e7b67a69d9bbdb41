"""Wildcard patterns of module names, matched in linear time whatever a file holds.

A glob is kept as the literal text between its stars: ``("model.layers.61", "")`` is ``model.layers.61*``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import product

from solver.errors import BadInput

Glob = tuple[str, ...]

MAX_PATTERN = 300
MAX_GLOBS = 4096
MAX_FLOATING = 512
"""Most globs that start with a star; the others are looked at in their own layer only."""

_TOKEN = re.compile(
    r"""(?P<any>(?:\.|\\d|\\w|\[0-9\]|\[\^\.\])[*+]\??)   # .* .+ \\d+ [0-9]+ [^.]*
      | \((?:\?:)?(?P<group>[\w.\\|-]*)\)                   # (gate|up|down) of literals
      | (?P<anchor>[\^$])
      | \\(?P<escaped>[^\w\s])
      | (?P<literal>[\w.-])""",
    re.VERBOSE,
)


def read(patterns: Iterable[str], where: str) -> list[Glob]:
    """Return the globs of a list of patterns with ``*`` and of ``re:`` expressions.

    A pattern that does not start with ``model.`` or a star may start at any dot of a name, and every pattern may end at
    any dot of it. An expression matches from the start of a name, and need not reach its end.
    """
    found: dict[Glob, None] = {}
    for text in patterns:
        if len(text) > MAX_PATTERN:
            raise BadInput(f"{where}: module pattern {text[:40]!r}... is longer than {MAX_PATTERN} characters")
        for pattern in _expanded(text[3:], text, where) if text.startswith("re:") else _dotted(text):
            found[tuple(re.split(r"\*+", pattern))] = None
    if len(found) > MAX_GLOBS or sum(glob[0] == "" for glob in found) > MAX_FLOATING:
        raise BadInput(
            f"{where}: more than {MAX_GLOBS} module patterns with wildcards, or {MAX_FLOATING} that start with one"
        )
    return list(found)


def matches(glob: Glob, name: str) -> bool:
    """Whether the glob matches the whole name.

    >>> matches(("model.layers.", ".mlp.", ""), "model.layers.3.mlp.gate_proj")
    True
    """
    first, *middle, last = glob if len(glob) > 1 else (glob[0], glob[0])
    if len(glob) == 1:
        return name == first
    if not name.startswith(first) or not name.endswith(last):
        return False
    at, end = len(first), len(name) - len(last)
    for part in middle:
        at = name.find(part, at, end)
        if at < 0:
            return False
        at += len(part)
    return at <= end


def _dotted(text: str) -> list[str]:
    starts = [text] if text.startswith(("model.", "*")) else [text, f"*.{text}"]
    return [start + end for start in starts for end in ("", ".*")]


def _expanded(expression: str, text: str, where: str) -> list[str]:
    """Return the globs that an expression stands for: literals, ``.*`` and groups of literals are understood."""
    choices: list[list[str]] = []
    at = 0
    while at < len(expression):
        token = _TOKEN.match(expression, at)
        if token is None or expression[token.end() : token.end() + 1] in ("*", "+", "?", "{"):
            raise BadInput(f"{where}: module pattern {text[:60]!r} is not understood at {expression[at : at + 10]!r}")
        if token["group"] is not None:
            choices.append(token["group"].replace("\\", "").split("|"))
        elif token["any"]:
            choices.append(["*"])
        elif not token["anchor"]:
            choices.append([token["escaped"] or token["literal"]])
        at = token.end()
    count = 1
    for choice in choices:
        count *= len(choice)
    if count > MAX_FLOATING:
        raise BadInput(f"{where}: module pattern {text[:60]!r} stands for more than {MAX_FLOATING} names")
    end = "" if expression.endswith("$") else "*"
    return ["".join(words) + end for words in product(*choices)]
