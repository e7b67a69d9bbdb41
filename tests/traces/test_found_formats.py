"""Traces as people have them: seconds and milliseconds, arrays, compressed files, results of benchmarks, any columns."""

from __future__ import annotations

import gzip
import itertools
import json

import pytest

from solver.errors import BadInput
from solver.traces import Reading, arrivals, summarise
from solver.traces.clocks import unit_of

#: Six requests: arrival [s], prompt and output [tokens].
REQUESTS = [(0.5, 100, 10), (1.25, 300, 20), (2.0, 200, 30), (2.75, 400, 40), (3.0, 500, 50), (3.5, 600, 60)]


def row(at, **names):
    """A request of the list under other names; a number after a name scales it."""
    values = dict(zip(("arrival", "prompt", "output"), REQUESTS[at], strict=True))
    return {names[key]: values[key] for key in names}


def rows(arrival="timestamp", prompt="input_length", output="output_length", scale=1.0, more=lambda at: {}):
    found = [row(at, arrival=arrival, prompt=prompt, output=output) for at in range(len(REQUESTS))]
    for at, one in enumerate(found):
        one[arrival] *= scale
        one |= more(at)
    return found


def jsonl(found):
    return "\n".join(json.dumps(one) for one in found)


def table(found):
    return "\n".join([",".join(found[0]), *(",".join(str(value) for value in one.values()) for one in found)])


@pytest.fixture
def write(tmp_path):
    def write(content, name="trace"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path, **how):
    """Format, clock and requests of a trace."""
    summary = summarise(path, Reading(**how))
    found = [(round(one.arrival_s, 5), one.prompt_tokens, one.output_tokens) for one in arrivals(path, Reading(**how))]
    return summary, found


def whole():
    return [(arrival - REQUESTS[0][0], prompt, output) for arrival, prompt, output in REQUESTS]


def span(attributes, **fields):
    listed = [{"key": key, "value": {"intValue": str(value)}} for key, value in attributes.items()]
    return {"name": "chat", "attributes": listed, **fields}


OTLP = {
    "resourceSpans": [
        {
            "scopeSpans": [
                {
                    "spans": [
                        span(
                            {"gen_ai.usage.input_tokens": prompt, "gen_ai.usage.output_tokens": output},
                            startTimeUnixNano=str(round((1_760_000_000 + arrival) * 1e9)),
                        )
                        for arrival, prompt, output in REQUESTS
                    ]
                    + [span({"http.status_code": 200}, startTimeUnixNano="1")]
                }
            ]
        }
    ]
}
BENCH = {
    "start_times": [arrival for arrival, _, _ in REQUESTS],
    "input_lens": [prompt for _, prompt, _ in REQUESTS],
    "output_lens": [output for _, _, output in REQUESTS],
    "duration": 5.0,
    "completed": 6,
}
GUIDELLM = {
    "benchmarks": [
        {"requests": {"successful": rows("request_start_time", "prompt_tokens", "output_tokens"), "errored": []}}
    ]
}
RECORDS = [
    {
        "metadata": {"request_start_ns": round((1_760_000_000 + arrival) * 1e9), "conversation_id": f"c{at}"},
        "metrics": {"input_sequence_length": {"value": prompt}, "output_sequence_length": {"value": output}},
    }
    for at, (arrival, prompt, output) in enumerate(REQUESTS)
]
ISO = [f"2026-05-10T00:00:{arrival:09.6f}+00:00" for arrival, _, _ in REQUESTS]

FOUND = {
    "mooncake ms": (jsonl(rows(scale=1000)), "mooncake", "times in ms"),
    "mooncake s": (jsonl(rows(scale=1, more=lambda at: {})), "mooncake", "times in s"),
    "mooncake array": (json.dumps(rows(scale=1000)), "mooncake", "times in ms"),
    "an indented array": (json.dumps(rows(scale=1000), indent=2), "mooncake", "times in ms"),
    "rows under a key": (json.dumps({"version": 1, "requests": rows(scale=1000)}), "mooncake", "times in ms"),
    "plain json": (jsonl(rows("arrival_s", "prompt_tokens", "output_tokens")), "plain-json", "times in s"),
    "weka": (jsonl(rows("t", "in", "out", more=lambda at: {"hash_ids": [1]})), "weka", "times in s"),
    "splitwise": (table(rows("arrival_timestamp", "prompt_size", "token_size")), "splitwise", "times in s"),
    "vidur": (table(rows("arrived_at", "num_prefill_tokens", "num_decode_tokens")), "vidur", "times in s"),
    "semicolons": (
        table(rows("Arrival_s", "Prompt Tokens", "Output Tokens")).replace(",", ";"),
        "tokens",
        "times in s",
    ),
    "litellm": (
        table(
            rows("x", "prompt_tokens", "completion_tokens", more=lambda at: {"startTime": ISO[at], "session_id": at})
        ),
        "litellm",
        "dates",
    ),
    "azure 2025": (
        table(rows("x", "ContextTokens", "GeneratedTokens", more=lambda at: {"TIMESTAMP": ISO[at]})),
        "azure",
        "",
    ),
    "vllm bench": (json.dumps(BENCH), "bench", "times in s"),
    "guidellm report": (json.dumps(GUIDELLM), "guidellm", "times in s"),
    "otlp": (json.dumps(OTLP), "otel", "times in ns"),
    "aiperf records": (jsonl(RECORDS), "aiperf-records", "times in ns"),
    "usual names": (jsonl(rows("arrival_time_ms", "isl", "osl", scale=1000)), "tokens", "times in ms"),
    "nested usage": (
        jsonl(
            {"created_at": ISO[at], "usage": {"prompt_tokens": p, "completion_tokens": o}}
            for at, (_, p, o) in enumerate(REQUESTS)
        ),
        "tokens",
        "dates",
    ),
}


@pytest.mark.parametrize("name", FOUND)
def test_a_trace_is_read_and_says_as_what(write, name):
    content, kind, clock = FOUND[name]
    for path in (write(content), write(gzip.compress(content.encode()), "trace.gz")):
        summary, found = read(path)
        assert (summary.format, summary.clock, summary.broken) == (kind, clock, 0)
        assert found == whole()


class TestUnits:
    @staticmethod
    def times(rate, count=100, digits=3, unit=1.0):
        return [round(at / rate / unit, digits) for at in range(count)]

    @pytest.mark.parametrize(
        ("rate", "unit", "digits", "meant", "told"),
        [
            (2.0, 1e-3, 0, "ms", "ms"),
            (2.0, 1.0, 3, "ms", "s"),
            (0.001, 1e-3, 0, "ms", "ms"),
            (20.0, 1.0, 3, "ms", "s"),
            (2.0, 1.0, 3, "s", "s"),
            (2.0, 1.0, 3, "", "s"),
        ],
    )
    def test_by_meaning_then_by_rate(self, rate, unit, digits, meant, told):
        assert unit_of(self.times(rate, unit=unit, digits=digits), meant, "timestamp", "x") == told

    @pytest.mark.parametrize(("unit", "start"), [("s", 1.76e9), ("ms", 1.76e12), ("us", 1.76e15), ("ns", 1.76e18)])
    def test_clocks_since_1970(self, unit, start):
        scale = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}[unit]
        assert unit_of([start + at * scale / 2 for at in range(50)], "", "ts", "x") == unit

    def test_what_neither_tells_is_asked(self, write):
        text = jsonl(rows("time", "isl", "osl", scale=1000))
        with pytest.raises(BadInput, match=r"'time' may count seconds or milliseconds .* --time-unit ms"):
            read(write(text))
        assert read(write(text), time_unit="ms")[1] == whole()

    def test_a_format_with_dates_takes_no_unit(self, write):
        with pytest.raises(BadInput, match="a azure trace defines its times"):
            read(write(FOUND["azure 2025"][0]), time_unit="ms")


class TestColumns:
    def test_any_header_is_read_by_its_names(self, write):
        content = table(rows("when_ms", "Eingabe", "Ausgabe", scale=1000, more=lambda at: {"Sitzung": at % 2}))
        named = "prompt=Eingabe,output=Ausgabe,arrival=when_ms,session=Sitzung"
        summary, found = read(write(content), columns=named)
        assert (summary.format, summary.clock) == ("columns", "times in ms")
        assert found == whole()
        with pytest.raises(BadInput, match="--columns prompt=NAME,output=NAME,arrival=NAME"):
            read(write(content))

    def test_json_paths_too(self, write):
        content = jsonl({"a": {"b": arrival}, "p": prompt, "o": output} for arrival, prompt, output in REQUESTS)
        assert read(write(content), columns="prompt=p,output=o,arrival=a.b")[1] == whole()

    @pytest.mark.parametrize(
        ("columns", "says"),
        [
            ("prompt=a,output=b", "lacks arrival"),
            ("prompt", "write prompt=NAME"),
            ("prompt=a,prompt=b,output=c,arrival=d", "stands twice"),
            ("promt=a", "nearest: prompt"),
            ("prompt=a,output=b,arrival=nowhere", "column nowhere is missing"),
        ],
    )
    def test_what_is_wrong_is_named(self, write, columns, says):
        with pytest.raises(BadInput, match=says):
            read(write("a,b,t\n1,2,3\n"), columns=columns)


class TestSessions:
    def test_a_delay_follows_the_turn_before(self, write):
        turns = [{"session_id": "a", "timestamp": 1000, "input_length": 10, "output_length": 5}]
        turns += [{"session_id": "a", "delay": 1500, "input_length": 30, "output_length": 5}]
        turns += [{"session_id": "b", "timestamp": 1200, "input_length": 10, "output_length": 5}]
        summary, found = read(write(jsonl(turns)))
        assert [round(one[0], 6) for one in found] == [0.0, 0.2, 1.5]
        assert "delay is put that long after the arrival" in summary.clock
        assert summary.whole.return_fraction == pytest.approx(1 / 3)

    def test_agents_share_the_context_that_they_fork_from(self, write):
        turns = [
            {"t": 0.0, "in": 100, "out": 10},
            {
                "t": 1.0,
                "type": "subagent",
                "requests": [{"t": 1.0, "in": 150, "out": 5}, {"t": 2.0, "in": 200, "out": 5}],
            },
            {"t": 1.5, "type": "subagent", "requests": [{"t": 1.5, "in": 180, "out": 5}]},
            {"t": 4.0, "in": 400, "out": 10},
        ]
        path = write(json.dumps({"id": "s", "requests": turns}))
        found = list(arrivals(path))
        assert [(one.arrival_s, one.private_tokens) for one in found] == [
            *((0.0, 0), (1.0, 110), (1.5, 110), (2.0, 155), (4.0, 110)),
        ]
        assert len({one.session for one in found}) == 1
        assert summarise(path).format == "agents"

    def test_requests_that_name_their_parent(self, write):
        graph = [("a", None, 100), ("b", "a", 120), ("c", "a", 130), ("d", "b", 200)]
        rows_ = [
            {"arrival_s": at, "prompt_tokens": tokens, "output_tokens": 10, "request_id": name, "parent_id": parent}
            for at, (name, parent, tokens) in enumerate(graph)
        ]
        assert [one.private_tokens for one in arrivals(write(jsonl(rows_)))] == [0, 110, 110, 130]


class TestBenchmarks:
    def test_arrivals_are_drawn_where_there_are_none(self, write):
        count = 200
        result = {"input_lens": [100] * count, "output_lens": [10] * count, "request_rate": 4.0, "burstiness": 1.0}
        summary, found = read(write(json.dumps(result)))
        assert found[-1][0] == pytest.approx(count / 4.0, rel=0.05)
        assert summary.notes == (
            "the file has no arrivals: they are drawn as the benchmark does, at 4 requests/s with burstiness 1",
        )

    def test_without_a_rate_they_are_spread(self, write):
        result = {"input_lens": [100] * 10, "output_lens": [10] * 10, "request_rate": "inf", "duration": 20.0}
        summary, found = read(write(json.dumps(result)))
        assert [later[0] - sooner[0] for sooner, later in itertools.pairwise(found)] == pytest.approx([2.0] * 9)
        assert "spread evenly" in summary.notes[0]

    @pytest.mark.parametrize(
        ("content", "says"),
        [
            ({"total_input_tokens": 5, "request_throughput": 2.0}, "totals of a benchmark"),
            ({"experiments": [{"requests": []}]}, "genai-perf profile export holds texts"),
            ({"input_lens": [1], "output_lens": []}, "they must agree"),
            ({"resourceSpans": []}, "holds no request"),
            ([1, 2], "holds objects, one a request"),
            ({"benchmarks": []}, "hold no requests"),
        ],
    )
    def test_what_holds_no_requests_is_refused(self, write, content, says):
        with pytest.raises(BadInput, match=says):
            read(write(json.dumps(content)))


def test_a_torn_or_hostile_archive_is_refused(write):
    whole_file = gzip.compress(jsonl(rows(scale=1000)).encode())
    with pytest.raises(BadInput, match="not a whole gzip file"):
        read(write(whole_file[:-10]))
    with pytest.raises(BadInput, match="not a whole gzip file"):
        read(write(b"\x1f\x8b" + b"x" * 100))
