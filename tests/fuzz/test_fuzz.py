"""Whatever is in a scenario, plan, cluster or grid file, reading it ends soon, in an answer or in one clear line."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import damage
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import topologies
from solver.check import violations
from solver.cost.instance import Instance
from solver.errors import BadInput
from solver.optimize.arithmetic.run import Effort
from solver.optimize.solve import solve_scenario
from solver.plan import Plan
from solver.study.grid import Grid
from solver.workload import Scenario
from solver.workload.files import override, read_content

CLASS = {
    "name": "chat", "prompt_tokens": 1000, "output_tokens": 200, "requests_per_s": 4, "prompt_cv": 0.5, "burstiness": 2,
    "reused_tokens": {"shared": 100, "private": 200}, "idle_s": {"median": 60, "p90": 600}, "return_fraction": 0.5,
}  # fmt: skip
SCENARIO: dict[str, Any] = {
    "llm": {"config": "llama-3.1-8b", "weights": "fp8", "kv_cache": "fp8"},
    "cluster": {"builder": "hgx", "nodes": 1, "device": "h100", "devices_per_host": 4},
    "traffic": {"classes": [CLASS], "routing": "sticky"},
    "slo": {"ttft_p95": "2s", "tpot_p95": "40ms"},
    "options": {"max_pools": 2, "gap": 0.01, "kv_tiers": ["hbm", "dram"], "kv_ages_s": [1, 60]},
    "constraints": {"max_tp": 8, "pools": [{"role": "unified", "parallelism": {"tp": 2}, "replicas": 1}]},
    "billing": "device",
    "prices": {"h100": 2.0, "dram_usd_per_GB_hour": 0.01},
}
GRID = {"scenario": SCENARIO, "set": {"slo.tpot_p95": ["20ms", "30ms"], "traffic.classes.0.output_tokens": [100, 200]}}
WRITERS: list[Callable[[Any], str]] = [json.dumps, yaml.safe_dump]

few = settings(max_examples=100, derandomize=True, deadline=5000, suppress_health_check=list(HealthCheck))


@cache
def cluster() -> dict[str, Any]:
    return topologies.to_plain(topologies.hgx(nodes=1, device="h100", devices_per_host=4))


@cache
def plan() -> dict[str, Any]:
    found = solve_scenario(Scenario.from_mapping(SCENARIO, "fuzz"), Effort(time_limit_s=120, workers=1)).found
    assert found is not None
    return json.loads(found.model_dump_json(by_alias=True))  # type: ignore[no-any-return]


@pytest.fixture(scope="module", autouse=True)
def made_before_the_clock_runs() -> None:
    cluster(), plan()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("damaged")


def answered(read: Callable[[str], object], path: Path, raw: bytes) -> None:
    """Read a damaged file: an answer, or one printable line of moderate length."""
    path.write_bytes(raw)
    try:
        read(str(path))
    except BadInput as error:
        message = str(error)
        assert message.isprintable()
        assert 5 < len(message) < 1100


def read_scenario(path: str) -> None:
    content, folder = read_content(path)
    instance = Instance.of(Scenario.from_mapping(override(content, ()), path), folder)
    instance.scenario.model_dump_json(by_alias=True)
    for fleet in instance.fleets:
        instance.calibration("vllm", fleet.device.name)


def read_plan(path: str) -> None:
    for sentence in violations(Plan.load(path)):
        assert sentence


def read_cluster(path: str) -> None:
    assert topologies.describe(topologies.load(path))


def read_grid(path: str) -> None:
    grid = Grid.read(path)
    _, point = next(grid.points())
    Scenario.from_mapping(json.loads(grid.task(point))["content"], path)


@few
@given(data=st.data())
def test_scenarios(folder: Path, data: st.DataObject) -> None:
    given_cluster = data.draw(st.sampled_from([SCENARIO["cluster"], {"graph": cluster()}]))
    scenario = data.draw(damage.bent({**SCENARIO, "cluster": given_cluster}))
    answered(read_scenario, folder / "scenario.yaml", data.draw(st.sampled_from(WRITERS))(scenario).encode())


@few
@given(data=st.data())
def test_torn_scenarios(folder: Path, data: st.DataObject) -> None:
    answered(read_scenario, folder / "scenario.yaml", data.draw(damage.torn(yaml.safe_dump(SCENARIO).encode())))


@few
@given(data=st.data())
def test_plans(folder: Path, data: st.DataObject) -> None:
    answered(read_plan, folder / "plan.json", json.dumps(data.draw(damage.bent(plan()))).encode())


@few
@given(data=st.data())
def test_torn_plans(folder: Path, data: st.DataObject) -> None:
    answered(read_plan, folder / "plan.json", data.draw(damage.torn(json.dumps(plan()).encode())))


@few
@given(data=st.data())
def test_clusters(folder: Path, data: st.DataObject) -> None:
    answered(read_cluster, folder / "cluster.json", json.dumps(data.draw(damage.bent(cluster()))).encode())


@few
@given(data=st.data())
def test_grids(folder: Path, data: st.DataObject) -> None:
    answered(read_grid, folder / "grid.yaml", json.dumps(data.draw(damage.bent(GRID))).encode())
