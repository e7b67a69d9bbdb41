"""Sweeps: every point once, whatever happens to the workers; grids that make no sense are refused."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from solver import BadInput
from solver.study.grid import Grid, solve_point, sweep, write_table
from solver.study.sweep_page import BAR, page
from solver.view.amounts import usd

SCENARIO = {
    "llm": {"config": "llama-3.1-8b"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4},
    "traffic": {"classes": [{"name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 4}]},
    "slo": {"ttft_p95": "2s", "tpot_p95": "40ms"},
    "billing": "device",
    "options": {"disaggregate": False},
}


def grid(folder: Path, axes: dict[str, list[object]]) -> Grid:
    path = folder / "grid.json"
    path.write_text(json.dumps({"scenario": SCENARIO, "set": axes}))
    return Grid.read(str(path))


def echo(task: str) -> str:
    """A point as it came."""
    return json.dumps(json.loads(task)["point"])


def deadly(task: str) -> str:
    """Takes its worker down the first time that point 7 is tried."""
    given = json.loads(task)
    marker = Path(given["folder"]) / "died"
    if given["point"]["traffic.classes.0.requests_per_s"] == 7 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return json.dumps(given["point"])


def test_real_points_are_solved_and_written(tmp_path: Path) -> None:
    found = grid(tmp_path, {"traffic.classes.0.requests_per_s": [2, 20], "slo.tpot_p95": ["20ms", "0.01ms"]})
    rows = sweep(found, tmp_path / "journal.jsonl", workers=2)
    assert [row["status"] for row in rows] == ["optimal", "infeasible", "optimal", "infeasible"]
    assert rows[0]["usd_per_million_output_tokens"] > rows[2]["usd_per_million_output_tokens"]
    assert "TPOT" in rows[1]["reason"]
    write_table(found, rows, tmp_path / "rows.csv")
    with (tmp_path / "rows.csv").open() as file:
        written = list(csv.DictReader(file))
    assert [row["slo.tpot_p95"] for row in written] == ["20ms", "0.01ms", "20ms", "0.01ms"]
    assert float(written[0]["usd_per_million_output_tokens"]) == rows[0]["usd_per_million_output_tokens"]
    text = page(found, rows)
    costs = [rows[n]["usd_per_million_output_tokens"] for n in (2, 0)]
    told, table = text[text.index("<main>") :].split("<table>")
    assert table.index(usd(costs[0])) < table.index(usd(costs[1])), "the cheapest first"
    assert f"the longest is the dearest, {usd(costs[1])}" in told
    bars = [float(width) for width in re.findall(r"width:([\d.]+)em", text)]
    assert bars == pytest.approx([BAR * costs[0] / costs[1], BAR], abs=0.01), "the longest bar is the dearest"
    assert "traffic.classes.0.requests_per_s and slo.tpot_p95" in told


def test_a_sweep_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    found = grid(tmp_path, {"traffic.classes.0.requests_per_s": list(range(1, 41))})
    journal = tmp_path / "journal.jsonl"
    sweep(found, journal, solve=echo)
    lines = journal.read_text().splitlines()
    assert len(lines) == 40
    journal.write_text("\n".join(lines[:25]) + "\n" + lines[25][:20])  # stopped in the middle of a line
    asked: list[int] = []
    rows = sweep(found, journal, solve=echo, told=lambda done, of: asked.append(done))
    assert len(asked) == 15
    assert [row["traffic.classes.0.requests_per_s"] for row in rows] == list(range(1, 41))
    keys = [json.loads(line)["key"] for line in journal.read_text().splitlines()]
    assert len(keys) == len(set(keys)) == 40


def test_no_point_is_lost_or_doubled_when_a_worker_is_killed(tmp_path: Path) -> None:
    found = grid(tmp_path, {"traffic.classes.0.requests_per_s": list(range(1, 31))})
    rows = sweep(found, tmp_path / "journal.jsonl", workers=2, solve=deadly)
    assert (tmp_path / "died").exists()
    assert [row["traffic.classes.0.requests_per_s"] for row in rows] == list(range(1, 31))
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 30


def test_a_point_that_cannot_be_is_a_row_with_its_reason(tmp_path: Path) -> None:
    found = grid(tmp_path, {"cluster.device": ["h100", "h1000"]})
    rows = [json.loads(solve_point(found.task(point))) for _, point in found.points()]
    assert rows[0]["status"] == "optimal"
    assert rows[1]["status"] == "error"
    assert "h1000" in rows[1]["reason"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"set": {}}, "scenario"),
        ({"scenario": SCENARIO, "sets": {}}, "sets"),
        ({"scenario": SCENARIO, "set": {"slo.tpot_p95": "20ms"}}, "lists of values"),
        ({"scenario": "deepseek-v3-2xnvl27"}, "deepseek-v3-2xnvl72"),
        ({"scenario": SCENARIO, "set": {f"a{n}": list(range(100)) for n in range(5)}}, "1,000,000"),
    ],
)
def test_bad_grids_are_one_line(tmp_path: Path, content: object, said: str) -> None:
    path = tmp_path / "grid.json"
    path.write_text(json.dumps(content))
    with pytest.raises(BadInput) as caught:
        Grid.read(str(path))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(BadInput, match="csv"):
        write_table(grid(tmp_path, {}), [], tmp_path / "rows.xlsx")


def test_a_journal_of_another_grid_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    sweep(grid(tmp_path, {"billing": ["device"]}), journal, solve=echo)
    with pytest.raises(BadInput, match="another grid"):
        sweep(grid(tmp_path, {"billing": ["host"]}), journal, solve=echo)


def slowly(task: str) -> str:
    """A point as it came, after a while."""
    time.sleep(0.2)
    return json.dumps(json.loads(task)["point"])


def test_no_point_is_lost_on_ray_when_a_worker_is_killed(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="Ray is an extra of its own: pip install 'rackplan[ray]'")
    found = grid(tmp_path, {"traffic.classes.0.requests_per_s": list(range(1, 31))})
    killed: list[int] = []

    def told(done: int, of: int) -> None:
        if done == 10 and not killed:
            workers = subprocess.run(["pgrep", "-f", "ray::slowly"], capture_output=True, text=True, check=False).stdout
            for process in map(int, workers.split()[:1]):
                os.kill(process, signal.SIGKILL)
                killed.append(process)

    rows = sweep(found, tmp_path / "journal.jsonl", 2, "ray", told, slowly)
    assert killed
    assert [row["traffic.classes.0.requests_per_s"] for row in rows] == list(range(1, 31))
    assert len((tmp_path / "journal.jsonl").read_text().splitlines()) == 30
