"""Each format, told from its first lines, becomes the same requests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from solver.errors import BadInput, UnknownName
from solver.traces import Reading, arrivals
from solver.traces.reading import Trace

Write = Callable[..., Path]

AZURE = [
    "TIMESTAMP,ContextTokens,GeneratedTokens",
    "2023-11-16 23:59:59.9799600,4808,10",
    "2023-11-17 00:00:00.0319600,3180,8",
    "2023-11-17 00:01:30,110,27",
]
BURSTGPT = [
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type",
    "5,ChatGPT,472,18,490,Conversation log",
    "45,GPT-4,1087,230,1317,API log",
    "50,GPT-4,12,0,12,API log",
]
BURSTGPT_3 = [
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type",
    "5,7,1.5,ChatGPT,100,20,120,Conversation log",
    "65,7,1.5,ChatGPT,150,30,180,Conversation log",
    "70,,0.5,GPT-4,10,5,15,API log",
]
PLAIN = [
    "class,prompt_tokens,output_tokens,arrival_s,session,comment",
    'chat,100,20,1.5,s1,"a, b"',
    "chat,150,30,11.5,s1,",
    "code,3000,9,12,,",
]
BAILIAN = [
    json.dumps(
        {
            "chat_id": chat,
            "parent_chat_id": parent,
            "timestamp": time_s,
            "input_length": prompt,
            "output_length": 3,
            "type": "text",
            "turn": turn,
            "hash_ids": blocks,
        }
    )
    for chat, parent, time_s, prompt, turn, blocks in [
        (10, -1, 0.5, 40, 1, [1, 2, 3]),
        (11, -1, 1.5, 30, 1, [1, 4]),
        (12, 10, 20.5, 60, 2, [1, 2, 5, 6]),
        (13, 12, 30.5, 80, 3, [1, 2, 5, 7, 8]),
    ]
]
MOONCAKE = ['{"timestamp": 1000, "input_length": 600, "output_length": 5, "hash_ids": [1, 2]}']


@pytest.mark.parametrize(
    ("lines", "name"),
    [
        (AZURE, "azure"),
        (BURSTGPT, "burstgpt"),
        (BURSTGPT_3, "burstgpt"),
        (PLAIN, "plain"),
        (BAILIAN, "bailian"),
        (MOONCAKE, "mooncake"),
    ],
)
def test_a_format_is_told_from_the_first_lines(lines: list[str], name: str, write: Write) -> None:
    path = write(lines)
    assert Trace(path, Reading()).format.name == name
    assert list(arrivals(path)) == list(arrivals(path, Reading(format=name)))


def test_azure_times_cross_midnight(write: Write) -> None:
    found = list(arrivals(write(AZURE)))
    assert [round(one.arrival_s, 6) for one in found] == [0, 0.052, 90.02004]
    assert [(one.prompt_tokens, one.output_tokens) for one in found] == [(4808, 10), (3180, 8), (110, 27)]


def test_azure_times_with_an_offset(write: Write) -> None:
    found = list(arrivals(write([AZURE[0], "2024-05-10 01:00:00.5+00:00,1,1", "2024-05-10 03:00:01.5+02:00,2,2"])))
    assert [one.arrival_s for one in found] == [0, 1]


def test_burstgpt_leaves_failed_requests_out(write: Write) -> None:
    trace = Trace(write(BURSTGPT), Reading())
    found = list(trace)
    assert [(one.arrival_s, one.prompt_tokens, one.output_tokens, one.label) for one in found] == [
        (5, 472, 18, "ChatGPT, Conversation log"),
        (45, 1087, 230, "GPT-4, API log"),
    ]
    assert (trace.tally.lines, trace.tally.unanswered, trace.tally.broken) == (3, 1, 0)


def test_a_later_turn_carries_its_history(write: Write) -> None:
    found = list(arrivals(write(BURSTGPT_3)))
    assert [(one.session, one.shared_tokens, one.private_tokens) for one in found] == [
        ("7", 0, 0),
        ("7", 0, 120),
        (None, 0, 0),
    ]


def test_plain_columns_stand_in_any_order(write: Write) -> None:
    found = list(arrivals(write(PLAIN)))
    assert [(one.arrival_s, one.prompt_tokens, one.session, one.class_name) for one in found] == [
        (0, 100, "s1", "chat"),
        (10, 150, "s1", "chat"),
        (10.5, 3000, None, "code"),
    ]
    assert found[1].private_tokens == 120


def test_bailian_sessions_are_named_by_their_root(write: Write) -> None:
    found = list(arrivals(write(BAILIAN)))
    assert [one.session for one in found] == [10, 11, 10, 10]
    assert [(one.shared_tokens, one.private_tokens) for one in found] == [(0, 0), (0, 16), (0, 32), (0, 48)]
    assert found[2].blocks == (1, 2, 5, 6)


def test_bailian_without_hashes_goes_by_sessions(write: Write) -> None:
    rows = [json.loads(line) for line in BAILIAN]
    for row in rows:
        del row["hash_ids"]
    found = list(arrivals(write([json.dumps(row) for row in rows])))
    assert [one.private_tokens for one in found] == [0, 0, 43, 63]


def test_hashes_may_be_any_64_bit_word(write: Write) -> None:
    line = '{"timestamp": %d, "input_length": 600, "output_length": 5, "hash_ids": [-1, 18446744073709551614]}'
    assert [one.private_tokens for one in arrivals(write([line % 0, line % 9]))] == [0, 600]


def test_byte_order_mark_line_ends_and_blank_lines(tmp_path: Path) -> None:
    path = tmp_path / "windows.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join([AZURE[0], "", *AZURE[1:], ""]).encode())
    assert len(list(arrivals(path))) == 3


@pytest.mark.parametrize(
    ("lines", "reading", "message"),
    [
        ([], Reading(), "line 1: the trace is empty"),
        (["", " "], Reading(), "line 1: the trace is empty"),
        (AZURE[:1], Reading(), "line 1: the trace is empty"),
        (["hello", "world"], Reading(), "line 1: no trace starts with 'hello'; name its columns"),
        (["", "hello"], Reading(), "line 2: no trace"),
        (AZURE, Reading(format="burstgpt"), "line 1: not a burstgpt trace: column 'request tokens', 'response tokens'"),
        (AZURE, Reading(format="mooncake"), "line 1: not a mooncake trace: not a JSON object"),
        (MOONCAKE, Reading(format="bailian"), "line 1: not a bailian trace: key chat_id is missing"),
        (BAILIAN, Reading(format="mooncake"), 'line 1: not a mooncake trace: key "chat_id" tells a bailian trace'),
        ([BURSTGPT[0], "1,m,5,0,5,l"], Reading(), "line 1: all 1 requests have an output of 0 tokens"),
    ],
)
def test_what_is_no_trace_is_named(lines: list[str], reading: Reading, message: str, write: Write) -> None:
    path = write(lines)
    with pytest.raises(BadInput) as caught:
        list(arrivals(path, reading))
    assert str(caught.value).startswith(f"{path}: {message}")
    assert "\n" not in str(caught.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "none.csv", tmp_path, "a\0b"):
        with pytest.raises(BadInput, match="cannot be read"):
            list(arrivals(path))


def test_unknown_format() -> None:
    with pytest.raises(UnknownName, match="unknown trace format 'monocake'; nearest: mooncake"):
        Reading(format="monocake")


@pytest.mark.parametrize(
    "wrong",
    [{"block_tokens": 0}, {"broken_share": 2}, {"sort_window": -1}, {"table_bytes": 5}, {"shared_from": 1}],
)
def test_options_out_of_range(wrong: dict[str, int]) -> None:
    with pytest.raises(BadInput, match=next(iter(wrong))):
        Reading(**wrong)  # type: ignore[arg-type]
