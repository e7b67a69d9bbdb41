"""Traces whose fields go by other names: formats as tables of names, and columns that the user names.

One reader serves JSON lines and CSV. A field has alternatives; a path such as ``usage.prompt_tokens`` leads into nested
objects, and a key that itself holds dots is found too.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from solver.errors import BadInput, UnknownName
from solver.traces.clocks import UNITS, is_time, moment, unit_of, unit_of_key
from solver.traces.record import Broken, Entry, believed, whole
from solver.traces.tables import cells, mark_of

Row = Mapping[str, Any]

#: Sessions whose last turn is remembered for turns that tell only a delay; the oldest are forgotten beyond it.
_REMEMBERED = 250_000
_WORD = 2**64 - 1
_REQUIRED = ("arrival", "prompt", "output")


@dataclass(frozen=True)
class Fields:
    """Names of the fields of a trace, alternatives first to last; those not needed may be absent.

    Attributes
    ----------
    arrival, prompt, output: when, and the lengths. delay: since the turn before of its session, instead of arrival.
    session, label, blocks: as in an :class:`Entry`; node, parent: names of a request and of the one it continues.
    needs: names without which a trace is of another format.
    unit: of times, where the format defines it; delay_unit: of delays.
    block_tokens: tokens of one hashed block.
    """

    arrival: tuple[str, ...]
    prompt: tuple[str, ...]
    output: tuple[str, ...]
    session: tuple[str, ...] = ()
    label: tuple[str, ...] = ()
    blocks: tuple[str, ...] = ()
    delay: tuple[str, ...] = ()
    node: tuple[str, ...] = ()
    parent: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    unit: str = ""
    delay_unit: str = "ms"
    block_tokens: int | None = None


def value_at(row: Row, path: str) -> object:
    """What stands at a path; None where nothing does.

    >>> value_at({"usage": {"in": 3}, "a.b": 4}, "usage.in"), value_at({"a.b": 4}, "a.b"), value_at({}, "a.b")
    (3, 4, None)
    """
    if path in row:
        return row[path]
    at = path.find(".")
    while at > 0:
        inner = row.get(path[:at])
        if isinstance(inner, Mapping):
            found = value_at(inner, path[at + 1 :])
            if found is not None:
                return found
        at = path.find(".", at + 1)
    return None


class Keyed:
    """A trace of rows whose fields are named by :class:`Fields`."""

    def __init__(self, fields: Fields, read: Callable[[str], Row], block_tokens: int = 0) -> None:
        self._fields, self._read = fields, read
        self.block_tokens = (block_tokens or fields.block_tokens) if fields.blocks else None
        self.names_classes = fields.label == ("class",)
        self.unit = fields.unit or "s"
        self._last: dict[int | str, float] = {}
        self._root: dict[str, str] = {}
        self.uses_delays = self.dated = False

    def tell_unit(self, lines: Sequence[str], wanted: str, file: str) -> None:
        """Settle the unit of times by the first lines, or as wanted.

        Raises
        ------
        BadInput: nothing tells.
        """
        if wanted != "auto":
            self.unit = wanted
            return
        values, key = list[float](), ""
        for line in lines:
            try:
                row = self._read(line)
                name = next((name for name in self._fields.arrival if value_at(row, name) is not None), "")
                value, is_date = moment(value_at(row, name), name) if name else (0.0, True)
            except Broken:
                continue
            if not is_date and is_time(value):
                values.append(value)
                key = name
        self.unit = unit_of(values, self._fields.unit or unit_of_key(key), key, file)
        self.dated = not values

    def parse(self, line: str) -> Entry:
        """The request on one line.

        Raises
        ------
        Broken
        """
        row, fields = self._read(line), self._fields
        prompt = whole(self._needed(row, fields.prompt), "the prompt length")
        output = whole(self._needed(row, fields.output), "the output length")
        node, parent = self._name(row, fields.node), self._name(row, fields.parent)
        session: str | None = self._name(row, fields.session)
        if session is None and node is not None and parent is not None:
            session = self._root_of(node, parent)
        elif session is None and fields.parent and node is not None:
            session = self._root_of(node, None)
        arrival_s = self._arrival(row, session)
        believed(arrival_s, prompt, output)
        if session is not None:
            self._remember(session, arrival_s)
        label = self._name(row, fields.label)
        if self.names_classes:
            label = label or "unnamed"
        blocks = self._blocks(row, prompt)
        return Entry(arrival_s, prompt, output, session, label, blocks, node if fields.parent else None, parent)

    def _needed(self, row: Row, names: tuple[str, ...]) -> object:
        value = self._value(row, names)
        if value is None or value == "":
            raise Broken(f"{names[0]} is missing")
        return value

    @staticmethod
    def _value(row: Row, names: tuple[str, ...]) -> object:
        return next((value for name in names if (value := value_at(row, name)) is not None), None)

    def _name(self, row: Row, names: tuple[str, ...]) -> str | None:
        """A name as text; of a list the first."""
        value = self._value(row, names)
        if isinstance(value, list):
            value = value[0] if value else None
        if value is None or value == "" or value == -1 or isinstance(value, Mapping):
            return None
        return str(value)[:80]

    def _arrival(self, row: Row, session: str | None) -> float:
        value = self._value(row, self._fields.arrival)
        if value is None or value == "":
            delay = self._value(row, self._fields.delay)
            if delay is None or session is None or session not in self._last:
                raise Broken(f"{self._fields.arrival[0]} is missing")
            self.uses_delays = True
            return self._last[session] + moment(delay, "the delay")[0] * UNITS[self._fields.delay_unit]
        found, is_date = moment(value, self._fields.arrival[0])
        return found if is_date else found * UNITS[self.unit]

    def _remember(self, session: str, arrival_s: float) -> None:
        self._last.pop(session, None)
        self._last[session] = arrival_s
        if len(self._last) > _REMEMBERED:
            for old in list(self._last)[: _REMEMBERED // 4]:
                del self._last[old]

    def _root_of(self, node: str, parent: str | None) -> str:
        root = node if parent is None else self._root.get(parent, parent)
        self._root[node] = root
        if len(self._root) > _REMEMBERED:
            for old in list(self._root)[: _REMEMBERED // 4]:
                del self._root[old]
        return root

    def _blocks(self, row: Row, prompt: int) -> array[int] | None:
        ids = self._value(row, self._fields.blocks)
        if ids is None or self.block_tokens is None:
            return None
        if not isinstance(ids, list) or any(type(block) is not int for block in ids):
            raise Broken("hash_ids are not a list of whole numbers")
        if len(ids) > prompt // self.block_tokens + 2:
            raise Broken(f"{len(ids)} hash_ids for a prompt of {prompt} tokens in blocks of {self.block_tokens}")
        return array("Q", [block & _WORD for block in ids])


def json_row(line: str) -> Row:
    """A row of JSON lines.

    Raises
    ------
    Broken
    """
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        raise Broken("not a JSON object") from None
    if not isinstance(row, dict):
        raise Broken("not a JSON object")
    return row


def header_names(header: str) -> list[str]:
    """Names of the columns, in lower case, with ``_`` for spaces.

    >>> header_names("Input Tokens;Output Tokens")
    ['input_tokens', 'output_tokens']

    Raises
    ------
    Broken
    """
    return [_plain_name(name) for name in cells(header, mark_of(header))]


def _plain_name(name: str) -> str:
    return "_".join(name.strip().lower().split())


def csv_rows(header: str) -> Callable[[str], Row]:
    """A reader of the rows below a header; names are in lower case."""
    mark, names = mark_of(header), header_names(header)

    def read(line: str) -> Row:
        found = cells(line, mark)
        if len(found) != len(names):
            raise Broken(f"{len(found)} columns where the header has {len(names)}")
        return {name: cell.strip() or None for name, cell in zip(names, found, strict=True)}

    return read


def lowered(fields: Fields) -> Fields:
    """The same names as :func:`header_names` gives them."""
    names = {
        key: tuple(_plain_name(name) for name in value)
        for key, value in vars(fields).items()
        if isinstance(value, tuple)
    }
    return replace(fields, **names)  # type: ignore[arg-type]


def lacking(row: Row, fields: Fields) -> list[str]:
    """Fields that a row, or a header as a row, lacks; a delay stands in for an arrival."""
    absent = []
    for part in _REQUIRED:
        names: tuple[str, ...] = getattr(fields, part)
        names += fields.delay if part == "arrival" else ()
        if not any(value_at(row, name) is not None for name in names):
            absent.append(" or ".join(names[:3]))
    return [*absent, *(name for name in fields.needs if value_at(row, name) is None)]


def columns_of(text: str) -> Fields:
    """``prompt=...,output=...,arrival=...,session=...`` as fields.

    >>> columns_of("prompt=p,output=o,arrival=t_ms").arrival
    ('t_ms',)

    Raises
    ------
    BadInput: a field that is unknown, missing or named twice.
    """
    known = ("arrival", "prompt", "output", "session", "class")
    given: dict[str, str] = {}
    for part in text.split(","):
        field, equals, column = (piece.strip() for piece in part.partition("="))
        if not equals or not column:
            raise BadInput(f"--columns {text[:80]!r}: write prompt=NAME,output=NAME,arrival=NAME, each with its column")
        if field not in known:
            raise UnknownName("field of --columns", field[:40], known)
        if field in given:
            raise BadInput(f"--columns {text[:80]!r}: {field} stands twice")
        given[field] = column
    missing = [field for field in known[:3] if field not in given]
    if missing:
        raise BadInput(f"--columns {text[:80]!r}: lacks {', '.join(missing)}, such as {missing[0]}=NAME")
    return Fields(
        arrival=(given["arrival"],),
        prompt=(given["prompt"],),
        output=(given["output"],),
        session=(given["session"],) if "session" in given else (),
        label=(given["class"],) if "class" in given else (),
    )


_INPUT = (
    *("prompt_tokens", "input_tokens", "input_length", "prompt_length", "prompt_len", "input_len", "num_prompt_tokens"),
    *("num_prefill_tokens", "context_tokens", "contexttokens", "prompt_size", "n_prompt_tokens", "request_tokens"),
    *("input_token_count", "prompt_token_count", "inputTokens", "promptTokens", "input_sequence_length", "isl", "in"),
    *("usage.prompt_tokens", "usage.input_tokens", "response.usage.prompt_tokens", "usageDetails.input"),
)
_OUTPUT = (
    *("output_tokens", "completion_tokens", "output_length", "output_len", "generated_tokens", "generatedtokens"),
    *(
        "num_decode_tokens",
        "num_output_tokens",
        "response_tokens",
        "token_size",
        "n_completion_tokens",
        "completion_len",
    ),
    *(
        "output_token_count",
        "completion_token_count",
        "outputTokens",
        "completionTokens",
        "output_sequence_length",
        "osl",
    ),
    *(
        "out",
        "usage.completion_tokens",
        "usage.output_tokens",
        "response.usage.completion_tokens",
        "usageDetails.output",
    ),
)
_ARRIVAL = (
    *(
        "arrival_s",
        "arrival_ms",
        "arrival_time_s",
        "arrival_time_ms",
        "arrival_time",
        "arrival_timestamp",
        "arrived_at",
    ),
    *(
        "arrival",
        "timestamp_s",
        "timestamp_ms",
        "timestamp_us",
        "timestamp_ns",
        "timestamp",
        "request_start_ns",
        "request_start_time",
        "request_time",
    ),
    *("start_time_s", "start_time_ms", "start_time", "startTime", "start_ts", "started_at", "created_at", "created"),
    *("time_s", "time_ms", "time", "ts", "t", "datetime", "date"),
)
_SESSION = (
    "session_id",
    "session",
    "conversation_id",
    "conversation",
    "thread_id",
    "sessionId",
    "trace_id",
    "user_session",
)
_GEN_AI = ("gen_ai.usage", "attributes.gen_ai.usage", "llm.usage", "attributes.llm.usage")

#: Mooncake's keys with sessions: a turn has a timestamp [ms], or a delay [ms] after the one before.
MULTI_TURN = Fields(
    ("timestamp",),
    ("input_length",),
    ("output_length",),
    session=("session_id",),
    blocks=("hash_ids",),
    delay=("delay",),
    needs=("session_id",),
    unit="ms",
    block_tokens=512,
)

#: Formats of JSON lines and of CSV by name, the more particular first.
KNOWN: dict[str, Fields] = {
    "aiperf": Fields(
        ("metadata.request_start_ns", "metadata.timestamp_ns"),
        ("metrics.input_sequence_length.value", "metrics.input_sequence_length"),
        ("metrics.output_sequence_length.value", "metrics.output_sequence_length", "metrics.output_token_count.value"),
        session=("metadata.conversation_id", "metadata.x_correlation_id"),
        unit="ns",
    ),
    "otel": Fields(
        ("startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "timestamp"),
        tuple(f"{base}.{name}" for base in _GEN_AI for name in ("input_tokens", "prompt_tokens")),
        tuple(f"{base}.{name}" for base in _GEN_AI for name in ("output_tokens", "completion_tokens")),
        session=("attributes.gen_ai.conversation.id", "gen_ai.conversation.id", "attributes.session.id", "traceId"),
        label=("attributes.gen_ai.request.model", "gen_ai.request.model"),
    ),
    "litellm": Fields(("startTime",), ("prompt_tokens",), ("completion_tokens",), ("session_id",), label=("model",)),
    "splitwise": Fields(("arrival_timestamp",), ("prompt_size",), ("token_size",), unit="s"),
    "vidur": Fields(("arrived_at",), ("num_prefill_tokens",), ("num_decode_tokens",), unit="s"),
    "weka": Fields(
        ("t",),
        ("in",),
        ("out",),
        session=("session", "session_id"),
        blocks=("hash_ids",),
        unit="s",
        block_tokens=64,
    ),
    "plain-json": Fields(
        ("arrival_s",),
        ("prompt_tokens",),
        ("output_tokens",),
        session=("session",),
        label=("class",),
        blocks=("hash_ids",),
        node=("request_id", "id"),
        parent=("parent_id", "parent", "parents"),
        unit="s",
        block_tokens=16,
    ),
    "tokens": Fields(
        _ARRIVAL,
        _INPUT,
        _OUTPUT,
        session=_SESSION,
        label=("model", "type"),
        blocks=("hash_ids",),
        delay=("delay", "delay_ms"),
        node=("request_id", "node_id", "span_id", "id"),
        parent=("parent_id", "parent", "parents", "parent_request_id", "parent_span_id", "depends_on"),
        block_tokens=512,
    ),
}
