"""Documents and bytes damaged in the ways that files are: by hand, by a disk, by somebody who means harm."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

#: Deeper than any reader takes, and three inside each other still within what Python's own JSON takes.
DEEP: Any = json.loads("[" * 150 + "]" * 150)
NUMBERS = [0, -1, 1, 3, 0.5, 1e308, -1e308, 5e-324, float("nan"), float("inf"), 2**31, 2**63, 10**30, 10**400, True]
WORDS = [
    "", "x", "\0", "\x1b]0;title\x07", "\N{GRINNING FACE}", "\N{RIGHT-TO-LEFT OVERRIDE}", "\N{ARABIC-INDIC DIGIT ONE}ms",
    "1e999", "nan", "-5ms", "9" * 5000, "a" * 100_000, "../../etc/passwd", "/dev/zero", "~", ".", "h100", "auto", "hbm",
]  # fmt: skip
SHAPES: list[Any] = [
    None,
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"a": 1},
    DEEP,
    [0] * 5000,
    {str(n): n for n in range(3000)},
]
PIECES = [
    b'"', b"<", b"[", b"{", b"}", b"]", b"&a ", b"*a", b"9" * 20, b"\n", b"null", b"NaN", b"-", b"\0", b"\xff",
    b"!!python/object:os.system ", b"<<: ", b"? [", b"---\n", b"0x" + b"f" * 500, b"1:30", b"%YAML 9\n", b"[" * 300,
]  # fmt: skip


def places(document: Any) -> list[tuple[Any, ...]]:
    """Paths to everything inside a document."""
    found: list[tuple[Any, ...]] = []
    waiting: list[tuple[tuple[Any, ...], Any]] = [((), document)]
    while waiting:
        before, here = waiting.pop()
        inner = here.items() if isinstance(here, dict) else enumerate(here) if isinstance(here, list) else ()
        for key, value in inner:
            found.append((*before, key))
            waiting.append(((*before, key), value))
    return found


@st.composite
def bent(draw: st.DrawFn, document: Any) -> Any:
    """A document with a few values replaced, removed, doubled or exchanged for others of it."""
    result = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(places(result) or [("",)]))
        here = result
        for key in way:
            here = here[key]
        match draw(st.sampled_from(["replace", "remove", "add", "double", "scale"])):
            case "remove" if way:
                del here[last]
            case "add" if isinstance(here, dict):
                here[draw(st.sampled_from([*WORDS, "file", "join", "kind"]))] = draw(
                    st.sampled_from([*NUMBERS, *SHAPES])
                )
            case "double" if isinstance(here, list):
                here.append(here[last])
            case "scale" if isinstance(here[last], int | float) and abs(here[last]) < 1e300:
                here[last] *= draw(st.sampled_from([-1, 0, 2, 1000, 10**12]))
            case _:
                here[last] = draw(st.sampled_from([*NUMBERS, *WORDS, *SHAPES]))
        result = json.loads(json.dumps(result))
    return result


@st.composite
def torn(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes flipped, cut out, doubled, cut off, or with pieces of syntax between them."""
    raw = bytearray(data)
    for _ in range(draw(st.integers(1, 5))):
        at, length = draw(st.integers(0, len(raw))), draw(st.integers(1, 60))
        match draw(st.sampled_from(["flip", "cut", "double", "end", "insert", "insert"])):
            case "flip" if raw:
                raw[at % len(raw)] ^= 1 << draw(st.integers(0, 7))
            case "cut":
                del raw[at : at + length]
            case "double":
                raw[at:at] = raw[at : at + length]
            case "end":
                del raw[at:]
            case _:
                raw[at:at] = draw(st.sampled_from(PIECES))
    return bytes(raw)
