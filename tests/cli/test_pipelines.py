"""``rackplan pipelines``: a file of machines becomes a plan, a drawing and JSON; bad files become one line."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from command_line import rackplan
from fleets import greatest_flow

from solver.pipelines import SINK, SOURCE, read_machines

README = Path(__file__).parents[2] / "solver" / "pipelines" / "README.md"
TABLE = "throughput_tokens_per_s_by_type_and_layers_held"
LINKS = "links_directed_tokens_per_s"


def machines() -> dict[str, Any]:
    """The example of the room's README."""
    found = re.search(r"```json\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def written(folder: Path, content: object) -> Path:
    path = folder / "machines.json"
    path.write_text(json.dumps(content))
    return path


def test_the_example_is_planned_and_drawn(tmp_path: Path) -> None:
    ran = rackplan("pipelines", written(tmp_path, machines()), "--curve")
    assert ran.status == 0, ran.error
    assert ran.out.startswith("700.0 tokens/s through 3 stages (3.0 on average): no placement has more\n")
    drawn = [line for line in ran.out.splitlines() if "█" in line]
    assert [line.split()[0] for line in drawn] == ["0-1", "2", "3"]
    assert [line.count("█") for line in drawn] == [24, 12, 12]
    assert [line.index("█") - drawn[0].index("█") for line in drawn] == [0, 24, 36]
    assert re.findall(r"^ +(\d) +([\d.]+) +(\d+)%", ran.out, flags=re.MULTILINE) == [
        ("3", "700.0", "100"),
        ("2", "600.0", "86"),
    ]


def test_json_says_who_holds_what_and_what_flows(tmp_path: Path) -> None:
    path = written(tmp_path, machines())
    ran = rackplan("pipelines", path, "--json", "--seed", 1)
    assert ran.status == 0, ran.error
    told = json.loads(ran.out)
    runs = {m["machine"]: (m["layers"][0], m["layers"][1] + 1) for m in told["machines"]}
    assert told["tokens_per_s"] == pytest.approx(greatest_flow(read_machines(path), runs), rel=1e-5)
    assert sum(rate for start, _, rate in told["flows"] if start == "source") == pytest.approx(told["tokens_per_s"])
    assert "curve" not in told
    curve = json.loads(rackplan("pipelines", path, "--json", "--curve").out)["curve"]
    assert [plan["depth"] for plan in curve] == [3, 2]


def test_depth_is_kept_and_idle_machines_are_named(tmp_path: Path) -> None:
    ran = rackplan("pipelines", written(tmp_path, machines()), "--depth", 2)
    assert "600.0 tokens/s through 2 stages" in ran.out
    assert "1 of 3 machines are not needed: " in ran.out
    ran = rackplan("pipelines", written(tmp_path, machines()), "--depth", 1)
    assert (ran.status, ran.out) == (1, "")
    assert "no pipeline of at most 1 stages was found" in ran.error


def test_room_for_caches_and_latency_of_links_count(tmp_path: Path) -> None:
    content = machines()
    content[LINKS] = [[*link, 0.5] for link in content[LINKS]]
    room = {kind: dict.fromkeys(table, 800) for kind, table in content[TABLE].items()}
    deep = rackplan("pipelines", written(tmp_path, content | {"sequences_by_type_and_layers_held": room}))
    assert "600.0 tokens/s through 2 stages" in deep.out
    token_s = 3 * 0.5 + 16 / 600 + 16 / 700 + 2 * 16 / 5e6 + 16 / 6e4
    assert f"room for {800 / token_s:.1f} tokens/s of that" in deep.out
    dear = rackplan("pipelines", written(tmp_path, content | {"overhead_s": 1.0, "micro_batch": 1}), "--json")
    assert json.loads(dear.out)["token_latency_s"] == pytest.approx(3 + 4 * 0.5, rel=0.01)


def test_without_links_every_machine_reaches_every_other(tmp_path: Path) -> None:
    content = machines()
    del content[LINKS]
    fleet = read_machines(written(tmp_path, content))
    ends = range(3)
    assert fleet.links.keys() == (
        {(a, b) for a in ends for b in ends if a != b} | {(SOURCE, a) for a in ends} | {(a, SINK) for a in ends}
    )


BAD = {
    "a missing field": ({TABLE: None}, "is missing; a file of machines needs layers, node_types"),
    "layers that are no number": ({"layers": "many"}, "layers: 'many'"),
    "machines that are no list": ({"node_types": "A100"}, "node_types: a list"),
    "a table that is a number": ({TABLE: {"A100": 3, "L4": {}}}, "table {layers held: number}"),
    "layers held that are none": ({TABLE: {"A100": {"x": 1}, "L4": {"1": 1}}}, "L4|A100: 'x'"),
    "a rate that is none": ({TABLE: {"A100": {"1": "fast"}, "L4": {"1": 1}}}, "A100.1: 'fast'"),
    "a rate below zero": ({TABLE: {"A100": {"1": -1}, "L4": {"1": 1}}}, "throughput -1"),
    "links that are a number": ({LINKS: 7}, "a list of"),
    "a link of two": ({LINKS: [[0, 1]]}, r"tokens_per_s\.0: write"),
    "a link to nowhere": ({LINKS: [[0, "drain", 1]]}, "'drain' is neither"),
    "a link to a machine that is not there": ({LINKS: [[0, 9, 1]]}, "link 0 -> 9"),
    "a link twice": ({LINKS: [[0, 1, 1], [0, 1, 2]]}, "listed twice"),
    "a misspelt field": ({"overheads": 1}, "did you mean 'overhead_s'"),
    "an overhead below zero": ({"overhead_s": -1}, "cannot be stepped"),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD)
def test_bad_files_become_one_line(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    content = {field: value for field, value in (machines() | change).items() if value is not None}
    ran = rackplan("pipelines", written(tmp_path, content))
    assert (ran.status, ran.out) == (2, "")
    assert re.search(said, ran.error), ran.error
    assert ran.error.count("\n") == 1
    assert "machines.json" in ran.error


def test_layers_without_room_are_said(tmp_path: Path) -> None:
    ran = rackplan("pipelines", written(tmp_path, machines() | {"layers": 40}))
    assert ran.status == 1
    assert "room for 7 layers; the LLM has 40" in ran.error
