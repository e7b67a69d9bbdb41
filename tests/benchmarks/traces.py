"""Reading of long traces: lines a second and peak memory, on files made here.

``pytest tests/benchmarks/traces.py -m benchmark -s -n 0``; ``LINES=10000000`` in the environment for the longest.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

LINES = int(os.environ.get("LINES", "2000000"))
MOST_MEMORY = 300 * 1024**2
OPEN_SESSIONS = 20_000

_CHILD = """
import json, resource, sys, time
from solver.traces import summarise
start = time.perf_counter()
summary = summarise(sys.argv[1])
took = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(json.dumps({"requests": summary.requests, "seconds": took, "peak_bytes": peak, "horizon_s": summary.horizon_s,
                  "hits": summary.token_hit_ratio}))
"""


def write_conversations(path: Path, lines: int) -> None:
    """Sessions of some four turns behind eight system prompts, in Mooncake's format, about 12 blocks a line."""
    rng = random.Random(1)
    open_sessions: list[list[int]] = []
    fresh = 1_000
    with path.open("w") as file:
        for line in range(lines):
            if open_sessions and rng.random() < 0.75:
                place = rng.randrange(len(open_sessions))
                blocks = open_sessions[place]
            else:
                place, blocks = len(open_sessions), [rng.randrange(8)]
                open_sessions.append(blocks)
            added = 1 + int(rng.expovariate(1 / 4))
            blocks = [*blocks[:40], *range(fresh, fresh + added)]
            fresh += added
            open_sessions[place] = blocks
            if len(open_sessions) > OPEN_SESSIONS:
                open_sessions[rng.randrange(len(open_sessions))] = open_sessions[-1]
                open_sessions.pop()
            row = {"timestamp": line * 10, "input_length": 512 * len(blocks) - 100, "output_length": 1 + line % 700}
            file.write(json.dumps(row | {"hash_ids": blocks}) + "\n")


def write_table(path: Path, lines: int) -> None:
    """Azure's format."""
    with path.open("w") as file:
        file.write("TIMESTAMP,ContextTokens,GeneratedTokens\n")
        for line in range(lines):
            minute, second = divmod(line // 100, 60)
            hour, minute = divmod(minute, 60)
            day, hour = divmod(hour, 24)
            clock = f"2023-11-{1 + day % 28:02} {hour:02}:{minute:02}:{second:02}.{line % 100:02}00000"
            file.write(f"{clock},{1 + line * 7919 % 8000},{1 + line * 31 % 900}\n")


@pytest.mark.benchmark
@pytest.mark.parametrize(("name", "write"), [("conversations.jsonl", write_conversations), ("table.csv", write_table)])
def test_a_long_trace_is_read_in_bounded_memory(name: str, write: object, tmp_path: Path) -> None:
    assert callable(write)
    path = tmp_path / name
    write(path, LINES)
    size = path.stat().st_size
    answer = subprocess.run([sys.executable, "-c", _CHILD, str(path)], capture_output=True, text=True, check=True)
    path.unlink()
    found = json.loads(answer.stdout)
    print(
        f"\n{name}: {found['requests']:,} requests ({size / 1e6:,.0f} MB) in {found['seconds']:.1f} s, "
        f"{found['requests'] / found['seconds']:,.0f} lines/s, peak {found['peak_bytes'] / 1024**2:.0f} MiB, "
        f"found {found['hits']}, exact up to {found['horizon_s']} s"
    )
    assert found["requests"] == LINES
    assert found["peak_bytes"] < MOST_MEMORY
