"""Traces that are one JSON document, or lines that each hold many requests: as rows of plain JSON.

=================  ======================================================================================
array              ``[{...}, {...}]`` of rows that some line format has; ``{"requests": [...]}`` likewise
bench              results of ``vllm bench serve --save-detailed`` and of SGLang's ``bench_serving``: lengths,
                   and start times where there are; else arrivals are drawn as the benchmark drew them
guidellm           a report's ``benchmarks[0].requests``
otel               OTLP JSON: ``resourceSpans`` with GenAI attributes
agents             sessions of requests with sub-agents, ``{"requests": [{"t", "in", "out"}, {"requests": [...]}]}``
=================  ======================================================================================
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from solver.errors import BadFile

#: Largest document [bytes]; line formats have no such limit.
MOST_BYTES = 256 * 1024**2
MOST_DEPTH = 50
_LISTS = ("requests", "records", "data", "rows", "trace", "traces", "entries", "items", "spans", "turns")

Row = dict[str, Any]


@dataclass
class Document:
    """Rows of a document, the name of the format they are rows of (empty: of any), and what was assumed."""

    rows: list[Row] = field(default_factory=list)
    format: str = ""
    notes: dict[str, None] = field(default_factory=dict)

    def add(self, rows: list[Row], kind: str, note: str = "") -> None:
        """More rows; those of another kind are left out with a note."""
        if self.rows and kind != self.format:
            self.notes[f"rows of a {kind or 'plain'} document beside {self.format or 'plain'} ones are left out"] = None
            return
        self.format = kind
        self.rows += rows
        if note:
            self.notes[note] = None


def is_document(line: str) -> bool:
    """Whether the first line of a file begins a document, or holds one that is more than a request."""
    if line.startswith("["):
        return True
    if not line.startswith("{"):
        return False
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return _is_open(line)
    return isinstance(value, dict) and _kind(value) != ""


def _is_open(line: str) -> bool:
    """Whether a line may be the start of an object on several lines, rather than a torn one of JSON lines."""
    return line in ("{",) or line.rstrip().endswith(("{", "[", ",")) or line.startswith("{ ")


def expand(text: str, file: str) -> Document:
    """The rows of a document, or of lines of documents.

    Raises
    ------
    BadFile: not JSON, or a document that holds no lengths of requests.
    """
    found = Document()
    for number, value in _values(text, file):
        if isinstance(value, list):
            for entry in value:
                _add(entry, found, file, number)
        else:
            _add(value, found, file, number)
    return found


def _values(text: str, file: str) -> Iterator[tuple[int, Any]]:
    """The JSON values of a text, one after the other, with their lines."""
    decoder, at = json.JSONDecoder(), 0
    length = len(text)
    while True:
        while at < length and text[at] in " \t\r\n\ufeff":
            at += 1
        if at >= length:
            return
        line = text.count("\n", 0, at) + 1 if at < 1_000_000 else 0
        try:
            value, at = decoder.raw_decode(text, at)
        except json.JSONDecodeError as error:
            raise BadFile(f"{file}: line {error.lineno}: not JSON: {error.msg}") from None
        except RecursionError:
            raise BadFile(f"{file}: line {line}: the JSON is nested too deeply") from None
        yield line, value


def _kind(value: Mapping[str, Any]) -> str:
    if "resourceSpans" in value:
        return "otel"
    if isinstance(value.get("input_lens"), list) and isinstance(value.get("output_lens"), list):
        return "bench"
    if isinstance(value.get("benchmarks"), list):
        return "guidellm"
    if "experiments" in value:
        return "genai-perf"
    if any(_is_rows(value.get(key)) for key in _LISTS):
        return "list"
    if {"total_input_tokens", "request_throughput"} <= value.keys():
        return "totals"
    return ""


def _is_rows(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, dict) for row in value[:20])


def _add(value: Any, found: Document, file: str, number: int) -> None:
    if not isinstance(value, dict):
        raise BadFile(f"{file}: line {number}: a trace holds objects, one a request, not {type(value).__name__}")
    kind = _kind(value)
    if kind == "otel":
        found.add(_spans(value), "otel")
    elif kind == "bench":
        if found.format == "bench":
            found.notes["the file holds several runs; the first is read"] = None
            return
        rows, note = _bench(value, file)
        found.add(rows, "bench", note)
    elif kind == "guidellm":
        found.add(*_guidellm(value, file))
    elif kind == "genai-perf":
        raise BadFile(
            f"{file}: a genai-perf profile export holds texts, not lengths in tokens; give its input trace, or the "
            "profile_export.jsonl of aiperf"
        )
    elif kind == "totals":
        raise BadFile(
            f"{file}: these are the totals of a benchmark, without the lengths of its requests; run it with "
            "--save-detailed (vLLM) or --output-details (SGLang)"
        )
    elif kind == "list":
        key = next(key for key in _LISTS if _is_rows(value.get(key)))
        if any("t" in row and "in" in row for row in value[key][:20]):
            rows = list(_agents(value, str(value.get("id", number)), None, 0.0, 0))
            nested = any(isinstance(row.get("requests"), list) for row in value[key])
            note = "sub-agents are taken to continue the context of the turn that calls them" if nested else ""
            found.add(rows, "agents", note)
        else:
            found.add(value[key], "")
    else:
        found.add([value], "")


def _spans(value: Mapping[str, Any]) -> list[Row]:
    """Spans of OTLP JSON that tell of tokens, with their attributes as a mapping."""
    rows = []
    for resource in _dicts(value.get("resourceSpans")):
        for scope in (*_dicts(resource.get("scopeSpans")), *_dicts(resource.get("instrumentationLibrarySpans"))):
            for span in _dicts(scope.get("spans")):
                attributes = {
                    str(pair.get("key")): _plain(pair.get("value")) for pair in _dicts(span.get("attributes"))
                }
                if any("usage" in key for key in attributes):
                    rows.append({**{k: v for k, v in span.items() if k != "attributes"}, "attributes": attributes})
    return rows


def _dicts(value: object) -> list[dict[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _plain(value: object) -> object:
    """``{"intValue": "12"}`` as 12."""
    if isinstance(value, dict) and len(value) == 1:
        return next(iter(value.values()))
    return value


def _bench(value: Mapping[str, Any], file: str) -> tuple[list[Row], str]:
    """The requests of a benchmark's results."""
    prompts, outputs = value["input_lens"], value["output_lens"]
    if len(prompts) != len(outputs):
        raise BadFile(f"{file}: input_lens has {len(prompts)} entries and output_lens {len(outputs)}; they must agree")
    starts = next(
        (value[key] for key in ("start_times", "request_start_times") if isinstance(value.get(key), list)), None
    )
    note = ""
    if starts is None or len(starts) != len(prompts):
        starts, note = _drawn(value, len(prompts))
    rows = [
        {"arrival_s": start, "prompt_tokens": prompt, "output_tokens": output}
        for start, prompt, output in zip(starts, prompts, outputs, strict=True)
    ]
    return rows, note


def _drawn(value: Mapping[str, Any], count: int) -> tuple[list[float], str]:
    """Arrivals as the benchmark drew them: gaps of a gamma distribution at its rate, or one after the other."""
    rate, shape = _number(value.get("request_rate")), _number(value.get("burstiness")) or 1.0
    if rate is None:
        span = _number(value.get("duration")) or float(count)
        even = [span * number / max(1, count) for number in range(count)]
        return even, "the file has no arrivals and no rate: requests are spread evenly over its duration"
    draw = random.Random(0)
    gaps = [draw.gammavariate(min(max(shape, 1e-3), 1e6), 1.0) for _ in range(count)]
    total = sum(gaps) or 1.0
    arrivals, at = [], 0.0
    for gap in gaps:
        arrivals.append(at)
        at += gap / total * count / rate
    told = f"the file has no arrivals: they are drawn as the benchmark does, at {rate:g} requests/s with burstiness {shape:g}"
    return arrivals, told


def _number(value: object) -> float | None:
    """A finite number above zero, or one in letters; None for anything else."""
    try:
        found = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else math.nan
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) and 0 < found < 1e12 else None


def _guidellm(value: Mapping[str, Any], file: str) -> tuple[list[Row], str, str]:
    """The requests of the first benchmark of a guidellm report."""
    runs = _dicts(value["benchmarks"])
    requests = runs[0].get("requests") if runs else None
    parts = list(requests.values()) if isinstance(requests, dict) else [requests]
    rows = [row for part in parts for row in _dicts(part)]
    if not rows:
        raise BadFile(f"{file}: its benchmarks hold no requests; write the report with all of its requests")
    plain = []
    for row in rows:
        start = next((row[key] for key in ("request_start_time", "start_time", "resolve_start") if key in row), None)
        timings = (row.get("scheduler_info") or row.get("info") or {}) if start is None else {}
        if isinstance(timings, dict):
            deeper = timings.get("timings")
            inner = deeper if isinstance(deeper, dict) else timings
            start = start if start is not None else inner.get("request_start", inner.get("resolve_start"))
        plain.append(
            {
                "arrival_s": start,
                "prompt_tokens": next(
                    (row[k] for k in ("prompt_tokens", "input_tokens") if row.get(k) is not None), None
                ),
                "output_tokens": next(
                    (row[k] for k in ("output_tokens", "completion_tokens") if row.get(k) is not None), 0
                ),
            }
        )
    return plain, "guidellm", "the report holds several benchmarks; the first is read" if len(runs) > 1 else ""


def _agents(value: Mapping[str, Any], name: str, parent: str | None, start_s: float, depth: int) -> Iterator[Row]:
    """Turns of a session in order, each continuing the one before; sub-agents fork from the turn that calls them."""
    if depth > MOST_DEPTH:
        return
    last = parent
    block_tokens = value.get("block_size")
    for number, turn in enumerate(_dicts(value.get("requests"))):
        own = f"{name}/{number}"
        inner = isinstance(turn.get("requests"), list)
        begin = _time(turn.get("t"))
        if inner:
            yield from _agents({"block_size": block_tokens, **turn}, own, last, start_s, depth + 1)
            continue
        if begin is None:
            continue
        yield {
            "arrival_s": start_s + begin,
            "prompt_tokens": turn.get("in"),
            "output_tokens": turn.get("out"),
            "request_id": own,
            "parent_id": last,
            **({"class": str(turn["model"])[:60]} if turn.get("model") else {}),
        }
        last = own


def _time(value: object) -> float | None:
    return (
        float(value)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
        else None
    )
