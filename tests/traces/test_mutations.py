"""Files with anything in them raise nothing but this project's errors, in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_formats import AZURE, BAILIAN, BURSTGPT_3, PLAIN
from trace_rows import CONVERSATIONS, mooncake_lines

from solver.errors import RackplanError
from solver.traces import Reading, arrivals, classes, describe, reuse_times, summarise, to_json

SOURCES = {
    "mooncake": mooncake_lines(CONVERSATIONS),
    "bailian": BAILIAN,
    "azure": AZURE,
    "burstgpt": BURSTGPT_3,
    "plain": PLAIN,
}
ODD = [
    "",
    "-1",
    "nan",
    "1e999",
    "-0",
    "1" * 400,
    "null",
    "true",
    "{}",
    "[]",
    '"',
    ",",
    "\0",
    "\r",
    "é",
    "0.5",
    "1e17",
    "9" * 19,
]


@st.composite
def mutated(draw: st.DrawFn, name: str) -> bytes:
    """A file with lines moved, cut, doubled, or with numbers and letters exchanged for odd ones."""
    lines = list(SOURCES[name])
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(lines) - 1))
        line = lines[place]
        start = draw(st.integers(0, len(line)))
        match draw(st.sampled_from(["swap", "cut", "double", "odd", "number", "drop"])):
            case "swap":
                lines[place], lines[0] = lines[0], line
            case "cut":
                lines[place] = line[:start]
            case "double":
                lines.insert(place, line)
            case "odd":
                lines[place] = line[:start] + draw(st.sampled_from(ODD)) + line[start + draw(st.integers(0, 3)) :]
            case "number":
                numbers = [part for part in line.replace(":", ",").replace(" ", "").split(",") if part.isdigit()]
                if numbers:
                    lines[place] = line.replace(draw(st.sampled_from(numbers)), draw(st.sampled_from(ODD)), 1)
            case "drop" if len(lines) > 1:
                del lines[place]
    raw = "\n".join(lines).encode()
    start = draw(st.integers(0, len(raw)))
    return raw[:start] + draw(st.binary(max_size=3)) + raw[start:]


def everything(path: Path, reading: Reading) -> None:
    """All that can be asked of a trace."""
    complaint = ""
    try:
        summary = summarise(path, reading)
        describe(summary)
        json.dumps(to_json(summary), allow_nan=False)
        assert summary.requests == len(list(arrivals(path, reading, summary=summary)))
        assert summary.requests + summary.broken + summary.unanswered == summary.lines
        reuse_times(path, reading)
        classes(summary)
    except RackplanError as error:
        complaint = str(error)
    assert "\n" not in complaint
    assert len(complaint) < 1_000


@pytest.mark.parametrize("name", sorted(SOURCES))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutated_files(name: str, tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "trace"
    path.write_bytes(data.draw(mutated(name)))
    block_tokens = {"mooncake": 100}.get(name)
    everything(path, Reading(broken_share=data.draw(st.sampled_from([0.01, 1.0])), block_tokens=block_tokens))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200))
def test_any_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "trace"
    path.write_bytes(content)
    everything(path, Reading())
