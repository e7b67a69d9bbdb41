"""A broken line is counted and named; too many are an error; times are put in order within a window."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from solver.errors import BadFile
from solver.traces import Reading, arrivals, describe, summarise
from solver.traces.lines import LONGEST_LINE
from solver.traces.reading import Trace
from solver.traces.tally import BrokenLine

Write = Callable[..., Path]
HEADER = "arrival_s,prompt_tokens,output_tokens"


def rows(count: int) -> list[str]:
    return [f"{second},100,10" for second in range(count)]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("5,-3,10", "a prompt of -3 tokens is not between 0 and 10,000,000"),
        ("5,3,-10", "an output of -10 tokens is not between 0 and 10,000,000"),
        ("5,99999999,10", "a prompt of 99,999,999 tokens is not between 0 and 10,000,000"),
        ("5,0,10", "an output of 10 tokens to an empty prompt"),
        ("nan,100,10", "arrival_s is not finite ('nan')"),
        ("-1,100,10", "the timestamp -1 s is not between 0 and 1e+10 s"),
        ("5,100.5,10", "the prompt length is not a whole number ('100.5')"),
        ("5,many,10", "the prompt length is not a number ('many')"),
        ("5,100", "2 columns where the header has 3"),
        ('5,"100,10', "quotes do not close"),
    ],
)
def test_a_broken_row_is_named(line: str, reason: str, write: Write) -> None:
    trace = Trace(write([HEADER, *rows(9), line]), Reading())
    assert len(list(trace)) == 9
    assert trace.tally.faults == [BrokenLine(11, reason)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"timestamp": None}, "timestamp is not a number (None)"),
        ({"timestamp": float("nan")}, "timestamp is not finite (nan)"),
        ({"timestamp": True}, "timestamp is not a number (True)"),
        ({"input_length": "many"}, "input_length is not a number ('many')"),
        ({"input_length": 10**400}, "a prompt of more than 10^18 tokens is not between 0 and 10,000,000"),
        ({"hash_ids": 5}, "hash_ids is not a list"),
        ({"hash_ids": [1.5]}, "hash_ids are not whole numbers"),
        ({"hash_ids": [0, 1, 2]}, "3 hash_ids for a prompt of 100 tokens in blocks of 512"),
    ],
)
def test_a_broken_object_is_named(change: dict[str, object], reason: str, write: Write) -> None:
    row: dict[str, object] = {"timestamp": 1, "input_length": 100, "output_length": 5, "hash_ids": [1]}
    trace = Trace(write([json.dumps(row), json.dumps(row | change)]), Reading())
    assert len(list(trace)) == 1
    assert trace.tally.faults == [BrokenLine(2, reason)]


def test_text_that_is_no_object(write: Write) -> None:
    good = '{"timestamp": 1, "input_length": 100, "output_length": 5}'
    bad = ["{", "[1]", "{}", '{"timestamp": 1, "input_length": 3}', "[" * 100_000, '{"timestamp": 0' + "9" * 5000 + "}"]
    trace = Trace(write([good] * 600 + bad), Reading())
    assert len(list(trace)) == 600
    assert [fault.line for fault in trace.tally.faults] == [601, 602, 603, 604, 605]
    assert trace.tally.broken == 6


def test_bytes_that_are_no_text_and_endless_lines(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    with path.open("wb") as file:
        file.write(f"{HEADER}\n1,5,5\n".encode() + b"\xff\xfe\n" + b"9" * (2 * LONGEST_LINE + 5) + b"\n2,5,5\n")
    trace = Trace(path, Reading(broken_share=0.5))
    assert [entry.arrival_s for entry in trace] == [1, 2]
    assert trace.tally.faults == [BrokenLine(3, "not UTF-8 text"), BrokenLine(4, "longer than 8 MiB")]


def test_up_to_one_per_cent_is_tolerated(write: Write) -> None:
    path = write([HEADER, *rows(198), "x,1,1", "y,1,1"])
    summary = summarise(path)
    assert (summary.lines, summary.broken, summary.requests) == (200, 2, 198)
    assert "2 of 200 lines are broken (1.00%):\n  line 200: arrival_s is not a number ('x')" in describe(summary)


def test_more_is_an_error_that_names_the_first(write: Write) -> None:
    path = write([HEADER, *rows(97), "x,1,1", "y,1,1", "z,1,1"])
    with pytest.raises(BadFile) as caught:
        summarise(path)
    assert str(caught.value) == (
        f"{path}: 3 of 100 lines are broken (3.0%, at most 1.00% is tolerated); "
        "the first is line 99: arrival_s is not a number ('x')"
    )
    assert summarise(path, Reading(broken_share=0.03)).requests == 97


def test_a_single_one_is_always_tolerated_unless_nothing_is_left(write: Write) -> None:
    assert summarise(write([HEADER, "0,1,1", "1,1,1", "x,1,1"])).broken == 1
    with pytest.raises(BadFile, match="line 2: arrival_s is not a number"):
        summarise(write([HEADER, "x,1,1"]))


def test_a_hopeless_file_is_given_up_early(write: Write) -> None:
    seen: list[tuple[int, int]] = []
    path = write([HEADER, "0,1,1", *["nothing at all, really, but long enough to count"] * 200_000])
    reading = Reading(progress=lambda done, size: seen.append((done, size)))
    with pytest.raises(BadFile, match="9999 of 10000 lines are broken"):
        summarise(path, reading)
    assert all(done < size / 2 for done, size in seen)


def test_text_before_the_header_is_broken(write: Write) -> None:
    trace = Trace(write(["# exported today", HEADER, *rows(3)]), Reading())
    assert len(list(trace)) == 3
    assert trace.tally.faults == [BrokenLine(1, "stands before the header on line 2")]


def test_times_are_sorted_within_the_window(write: Write) -> None:
    times = [0, 5, 3, 4, 9, 8, 1e9, 10, 12]
    trace = Trace(
        write([HEADER, *(f"{time},{place + 1},1" for place, time in enumerate(times))]), Reading(sort_window=2)
    )
    assert [entry.arrival_s for entry in trace] == [0, 3, 4, 5, 8, 9, 10, 12, 1e9]
    assert trace.tally.broken == 0


def test_what_the_window_cannot_put_right_is_broken(write: Write) -> None:
    trace = Trace(write([HEADER, "0,1,1", "10,1,1", "20,1,1", "30,1,1", "4,1,1", "25,1,1"]), Reading(sort_window=2))
    assert [entry.arrival_s for entry in trace] == [0, 10, 20, 25, 30]
    assert trace.tally.faults == [BrokenLine(6, "the timestamp goes back by 6 s, past the sort window of 2 requests")]


def test_equal_times_keep_the_order_of_the_file(write: Write) -> None:
    path = write([HEADER, "7,1,1", "7,2,1", "0,3,1", "7,4,1"])
    assert [one.prompt_tokens for one in arrivals(path)] == [3, 1, 2, 4]


def test_progress_ends_at_the_whole_file(write: Write) -> None:
    seen: list[tuple[int, int]] = []
    path = write([HEADER, *["1.00000000,100,10"] * 150_000])
    summarise(path, Reading(progress=lambda done, size: seen.append((done, size))))
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[-1] == (path.stat().st_size, path.stat().st_size)
