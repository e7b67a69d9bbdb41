"""The trace formats, and which of them a file is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from solver.errors import BadFile, UnknownName
from solver.traces.fields import KNOWN, MULTI_TURN, Fields, Keyed, csv_rows, header_names, json_row, lacking, lowered
from solver.traces.jsonl import Bailian, Mooncake
from solver.traces.record import Broken, Entry
from solver.traces.tables import AZURE, BURSTGPT, PLAIN, Azure, BurstGPT, Plain, missing


class LineLayout(Protocol):
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
    open: Callable[[str, int], LineLayout]
    headed: bool


_CHAT = '"chat_id"'


def _keyed_lines(name: str, fields: Fields, looks: str) -> Format:
    def lacks(line: str) -> str:
        if not line.startswith("{"):
            return "not a JSON object"
        try:
            absent = lacking(json_row(line), fields)
        except Broken as fault:
            return str(fault)
        return f"{', '.join(absent)} is missing" if absent else ""

    return Format(name, f"JSON lines with {looks}", lacks, lambda _, size: Keyed(fields, json_row, size), False)


def _keyed_table(name: str, fields: Fields, looks: str) -> Format:
    own = lowered(fields)

    def lacks(line: str) -> str:
        if line.startswith(("{", "[")):
            return "not CSV"
        try:
            header = dict.fromkeys(header_names(line), "?")
        except Broken as fault:
            return str(fault)
        absent = lacking(header, own)
        return f"column {', '.join(absent)} is missing" if absent else ""

    return Format(name, f"CSV with {looks}", lacks, lambda line, size: Keyed(own, csv_rows(line), size), True)


def _named_by_user(fields: Fields) -> tuple[Format, Format]:
    looks = ",".join((fields.arrival[0], fields.prompt[0], fields.output[0]))
    return _keyed_lines("columns", fields, looks), _keyed_table("columns", fields, looks)


def _table(name: str, columns: Mapping[str, str], looks: str, layout: Callable[[str], LineLayout]) -> Format:
    def lacks(line: str) -> str:
        absent = ", ".join(map(repr, missing(line, columns)))
        return f"column {absent} is missing" if absent else ""

    return Format(name, f"CSV with {looks}", lacks, lambda line, _: layout(line), True)


def _objects(name: str, keys: tuple[str, ...], layout: Callable[[int], LineLayout], block_tokens: int) -> Format:
    def lacks(line: str) -> str:
        if not line.startswith("{"):
            return "not a JSON object"
        if "chat_id" not in keys and _CHAT in line:
            return f"key {_CHAT} tells a bailian trace"
        absent = [key for key in keys if f'"{key}"' not in line]
        return f"key {', '.join(absent)} is missing" if absent else ""

    def opened(_: str, size: int) -> LineLayout:
        return layout(size or block_tokens)

    return Format(name, f"JSON lines with {', '.join(keys)}, hash_ids", lacks, opened, False)


#: In the order in which a file is tried: the more particular first.
FORMATS: tuple[Format, ...] = (
    _objects("bailian", ("chat_id", "timestamp", "input_length", "output_length"), Bailian, 16),
    _keyed_lines("aiperf", MULTI_TURN, "session_id, timestamp or delay, input_length, output_length"),
    _objects("mooncake", ("timestamp", "input_length", "output_length"), Mooncake, 512),
    _table("azure", AZURE, "TIMESTAMP,ContextTokens,GeneratedTokens", Azure),
    _table("burstgpt", BURSTGPT, "Timestamp,Model,Request tokens,Response tokens,Log Type", BurstGPT),
    _table("plain", PLAIN, "arrival_s,prompt_tokens,output_tokens and perhaps session,class", Plain),
    _keyed_table("litellm", KNOWN["litellm"], "startTime,prompt_tokens,completion_tokens and perhaps session_id,model"),
    _keyed_lines("litellm", KNOWN["litellm"], "startTime, prompt_tokens, completion_tokens"),
    _keyed_table("splitwise", KNOWN["splitwise"], "arrival_timestamp,prompt_size,token_size"),
    _keyed_table("vidur", KNOWN["vidur"], "arrived_at,num_prefill_tokens,num_decode_tokens"),
    _keyed_lines("aiperf-records", KNOWN["aiperf"], "metadata.request_start_ns, metrics.input_sequence_length"),
    _keyed_lines("otel", KNOWN["otel"], "start_time, attributes gen_ai.usage.input_tokens and output_tokens"),
    _keyed_lines("weka", KNOWN["weka"], "t, in, out and perhaps hash_ids"),
    _keyed_lines("plain-json", KNOWN["plain-json"], "arrival_s, prompt_tokens, output_tokens"),
    _keyed_lines("tokens", KNOWN["tokens"], "a time and the lengths by any of their usual names"),
    _keyed_table("tokens", KNOWN["tokens"], "a time and the lengths by any of their usual names"),
)
#: Kinds of documents, and the format of the rows that each is turned into.
DOCUMENTS = {"bench": "plain-json", "guidellm": "plain-json", "agents": "plain-json", "otel": "otel"}
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
    raise UnknownName("trace format", str(name)[:40], [*dict.fromkeys(known.name for known in FORMATS), "auto"])


def recognise(
    lines: Sequence[tuple[int, str]], wanted: str, file: str, columns: Fields | None = None
) -> tuple[Format, int]:
    """The format of a file by its first lines, and the index among them of the line that told it.

    Parameters
    ----------
    columns: fields that the user names, instead of any format.

    Raises
    ------
    BadFile: no line fits the wanted format, or any.
    """
    candidates = FORMATS if wanted == "auto" else tuple(known for known in FORMATS if known.name == wanted)
    if columns is not None:
        candidates = _named_by_user(columns)
    for index, (_, line) in enumerate(lines):
        for known in candidates:
            if not known.lacks(line):
                return known, index
    number, first = lines[0] if lines else (1, "")
    if not lines:
        raise BadFile(f"{file}: line 1: the trace is empty")
    if wanted != "auto" or columns is not None:
        which = candidates[0] if first.startswith("{") or not candidates[-1].headed else candidates[-1]
        raise BadFile(f"{file}: line {number}: not a {which.name} trace: {which.lacks(first)}; it has {which.looks}")
    known_as = ", ".join(dict.fromkeys((*(known.name for known in FORMATS), *DOCUMENTS)))
    raise BadFile(
        f"{file}: line {number}: no trace starts with {first[:60]!r}; name its columns, such as "
        f"--columns prompt=NAME,output=NAME,arrival=NAME; known are {known_as}"
    )
