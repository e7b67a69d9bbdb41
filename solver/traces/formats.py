"""The trace formats, and which of them a file is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from solver.errors import BadFile, UnknownName
from solver.traces.jsonl import Bailian, Mooncake
from solver.traces.record import Entry
from solver.traces.tables import AZURE, BURSTGPT, PLAIN, Azure, BurstGPT, Plain, missing


class Layout(Protocol):
    """How a file's lines are read."""

    @property
    def block_tokens(self) -> int | None:
        """Tokens of one hashed block; None where the format has none."""
        ...

    @property
    def names_classes(self) -> bool:
        """Whether labels are meant as classes of traffic."""
        ...

    def parse(self, line: str) -> Entry:
        """The request on one line; raises ``Broken``."""
        ...


@dataclass(frozen=True)
class Format:
    """One trace format.

    Attributes
    ----------
    name: as options spell it.
    looks: what such a file is, in words.
    lacks: what a line lacks to be its header or, without one, a request; empty if nothing.
    open: the layout, given that line and the tokens of a block (0: the format's own).
    headed: whether the first line is a header.
    """

    name: str
    looks: str
    lacks: Callable[[str], str]
    open: Callable[[str, int], Layout]
    headed: bool


_CHAT = '"chat_id"'


def _table(name: str, columns: Mapping[str, str], looks: str, layout: Callable[[str], Layout]) -> Format:
    def lacks(line: str) -> str:
        absent = ", ".join(map(repr, missing(line, columns)))
        return f"column {absent} is missing" if absent else ""

    return Format(name, f"CSV with {looks}", lacks, lambda line, _: layout(line), True)


def _objects(name: str, keys: tuple[str, ...], layout: Callable[[int], Layout], block_tokens: int) -> Format:
    def lacks(line: str) -> str:
        if not line.startswith("{"):
            return "not a JSON object"
        if "chat_id" not in keys and _CHAT in line:
            return f"key {_CHAT} tells a bailian trace"
        absent = [key for key in keys if f'"{key}"' not in line]
        return f"key {', '.join(absent)} is missing" if absent else ""

    def opened(_: str, size: int) -> Layout:
        return layout(size or block_tokens)

    return Format(name, f"JSON lines with {', '.join(keys)}, hash_ids", lacks, opened, False)


#: In the order in which a file is tried: the more particular first.
FORMATS: tuple[Format, ...] = (
    _objects("bailian", ("chat_id", "timestamp", "input_length", "output_length"), Bailian, 16),
    _objects("mooncake", ("timestamp", "input_length", "output_length"), Mooncake, 512),
    _table("azure", AZURE, "TIMESTAMP,ContextTokens,GeneratedTokens", Azure),
    _table("burstgpt", BURSTGPT, "Timestamp,Model,Request tokens,Response tokens,Log Type", BurstGPT),
    _table("plain", PLAIN, "arrival_s,prompt_tokens,output_tokens and perhaps session,class", Plain),
)
#: Lines searched for the one that tells the format.
SEARCHED_LINES = 10


def named(name: str) -> Format:
    """The format of a name.

    Raises
    ------
    UnknownName
    """
    for known in FORMATS:
        if known.name == name:
            return known
    raise UnknownName("trace format", str(name)[:40], [*(known.name for known in FORMATS), "auto"])


def recognise(lines: Sequence[tuple[int, str]], wanted: str, file: str) -> tuple[Format, int]:
    """The format of a file by its first lines, and the index among them of the line that told it.

    Raises
    ------
    BadFile: no line fits the wanted format, or any.
    """
    candidates = FORMATS if wanted == "auto" else (named(wanted),)
    for index, (_, line) in enumerate(lines):
        for known in candidates:
            if not known.lacks(line):
                return known, index
    number, first = lines[0] if lines else (1, "")
    if not lines:
        raise BadFile(f"{file}: line 1: the trace is empty")
    if wanted != "auto":
        raise BadFile(
            f"{file}: line {number}: not a {wanted} trace: {candidates[0].lacks(first)}; it has {candidates[0].looks}"
        )
    known_as = "; ".join(f"{known.name}: {known.looks}" for known in FORMATS)
    raise BadFile(f"{file}: line {number}: no trace starts with {first[:60]!r}; known are {known_as}")
