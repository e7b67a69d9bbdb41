"""``rackplan solve --from --without``: a plan after a loss, from the command line."""

from __future__ import annotations

import json

import pytest
from command_line import rackplan

SCENARIO = """\
llm: {config: llama-3.3-70b}
cluster: {builder: hgx, nodes: 8, device: h100, hosts_per_rack: 2}
traffic: {classes: [{name: chat, prompt_tokens: 3000, output_tokens: 500, requests_per_s: 25}]}
slo: {ttft_p95: 2s, tpot_p95: 40ms}
"""


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replan")
    (folder / "scenario.yaml").write_text(SCENARIO)
    plan = folder / "plan.json"
    ran = rackplan("solve", folder / "scenario.yaml", "--seed", 1, "--time-limit", 10, "-o", plan)
    assert ran.status == 0, ran.error
    return plan


def test_after_a_loss_what_is_left_stays(running, tmp_path):
    after = tmp_path / "after.json"
    ran = rackplan("solve", "--from", running, "--without", "rack0/host1", "--seed", 1, "--time-limit", 10, "-o", after)
    assert ran.status == 0, ran.error
    before, now = json.loads(running.read_text()), json.loads(after.read_text())
    assert not any(placed["device"].startswith("rack0/host1/") for placed in now["placement"])
    told = json.loads(rackplan("diff", running, after, "--json").out)
    lost = {(p["pool"], p["replica"]) for p in before["placement"] if p["device"].startswith("rack0/host1/")}
    everything = {(p["pool"], p["replica"]) for p in before["placement"]}
    assert lost
    assert sum(pool["kept"] for pool in told["pools"]) >= 0.9 * len(everything - lost)
    assert rackplan("check", after).status == 0


def test_a_scenario_may_be_named_beside_the_plan(running, tmp_path):
    after = tmp_path / "after.json"
    more = ["--requests-per-s", 30, "--seed", 1, "--time-limit", 10]
    ran = rackplan("solve", running.parent / "scenario.yaml", "--from", running, *more, "-o", after)
    assert ran.status == 0, ran.error
    assert json.loads(after.read_text())["prediction"]["requests_per_s"] == pytest.approx(30)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--without", "rack9"], "no device is, or is in, 'rack9'"),
        (["--without", "rack0,rack0/host7"], "rack0/host7"),
        (["--without", "rack0,rack1,rack2,rack3"], "no healthy device"),
    ],
)
def test_a_loss_that_makes_no_sense_is_bad_input(running, arguments, says):
    ran = rackplan("solve", "--from", running, *arguments)
    assert ran.status == 2
    assert says in ran.error
    assert ran.error.count("\n") == 1


def test_what_runs_must_be_a_plan(running):
    ran = rackplan("solve", "--from", running.parent / "scenario.yaml")
    assert (ran.status, "not JSON" in ran.error) == (2, True)
