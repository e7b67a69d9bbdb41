"""The live page from a browser's side, with searches in processes of their own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import plans
import pytest
import yaml
from packaged_plans import solved
from reading import read
from sitting import LONG_S, RATE, SEEDED, Sitting, now, real, settled
from starlette.testclient import TestClient

from solver.check import violations
from solver.live.application import application, events
from solver.live.gate import Keys
from solver.live.job import Job
from solver.live.messages import Message, Planned, Refused
from solver.live.session import Session
from solver.plan import Plan
from solver.plan.diff import difference
from solver.plan.diff_words import words
from solver.view import html
from solver.workload import Scenario

HERE = "http://127.0.0.1:40000"


@pytest.fixture
def session() -> Iterator[Session]:
    made = real()
    yield made
    made.close()


@pytest.fixture
def browser(session: Session) -> Iterator[TestClient]:
    keys = Keys(40000)
    with TestClient(application(session, keys), base_url=HERE, headers={"Origin": HERE}) as client:
        client.get(keys.address)
        yield client


def edit(browser: TestClient, **texts: str) -> Any:
    return browser.post("/edit", content=json.dumps({name.replace("__", "."): text for name, text in texts.items()}))


def test_the_page_has_a_form_of_the_scenario_beside_the_plan(browser: TestClient) -> None:
    root = read(browser.get("/").text)
    values = {element.attributes["name"]: element.attributes["value"] for element in root.find("input")}
    assert (values[RATE], values["slo.tpot_p95"], values["prices.b200"]) == ("30", "20 ms", "")
    groups = {"promises", "rates", "devices", "prices", "pins", "further promises"}
    assert {label.text for label in root.find("legend")} == groups
    assert root.one("iframe").attributes["src"] == "/plan?0"
    assert browser.get("/plan?0").text == html.render(solved(plans.SMALL))


def test_a_change_is_solved_again_and_the_plan_differs(browser: TestClient, session: Session) -> None:
    before = session.step.plan
    assert edit(browser, **{RATE: "90"}).status_code == 204
    state = settled(session)
    after = session.step.plan
    assert after.scenario.traffic.requests_per_s == 90
    assert after.objective.usd_per_hour > before.objective.usd_per_hour
    assert after.confirmation is not None
    assert violations(after) == []
    assert state["changes"] == list(words(difference(before, after)))
    assert len(state["changes"]) > 1
    assert browser.get(f"/plan?{state['shown']}").text == html.render(after)
    assert browser.post("/undo").status_code == 204
    assert browser.get("/plan").text == html.render(before)


def test_downloads_are_the_plan_and_a_scenario_that_solves_to_it(browser: TestClient, session: Session) -> None:
    edit(browser, slo__tpot_p95="15ms", prices__b200="4")
    settled(session)
    plan, scenario = browser.get("/plan.json"), browser.get("/scenario.yaml")
    assert Plan.model_validate_json(plan.text) == session.step.plan
    read_back = Scenario.from_mapping(yaml.safe_load(scenario.text), "download")
    assert read_back == session.step.plan.scenario
    assert (read_back.slo.tpot_p95_s, read_back.prices) == (0.015, {"b200": 4.0})
    for answer, name in ((plan, "plan.json"), (scenario, "scenario.yaml")):
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'


def test_a_bad_value_is_answered_in_one_line(browser: TestClient, session: Session) -> None:
    answer = edit(browser, slo__tpot_p95="30")
    assert (answer.status_code, answer.text) == (422, "TPOT p95 30: say 30ms or 30s")
    assert now(session)["problem"] == answer.text
    assert now(session)["shown"] == 0


@pytest.mark.parametrize(
    "body", ["", "[]", "{", '{"slo.tpot_p95": 30}', '{"slo.tpot_p95": null}', "\udcff", "[" * 10_000]
)
def test_what_is_no_edit_is_answered_in_one_line(browser: TestClient, body: str) -> None:
    answer = browser.post("/edit", content=body.encode("utf-8", "surrogateescape"))
    assert (answer.status_code, answer.text) == (422, "an edit is a JSON mapping of the form's fields to texts")


def test_promises_that_cannot_hold_leave_the_plan(browser: TestClient, session: Session) -> None:
    edit(browser, slo__tpot_p95="1us")
    problem = settled(session)["problem"]
    assert "No plan exists" in problem
    assert "\n" not in problem
    assert session.step.plan == solved(plans.SMALL)


def test_the_latest_of_two_edits_wins(browser: TestClient, session: Session) -> None:
    edit(browser, **{RATE: "60"})
    edit(browser, **{RATE: "90"})
    settled(session)
    assert session.step.plan.scenario.traffic.requests_per_s == 90
    assert session.step.before == solved(plans.SMALL)


class Heard:
    """Collects what a job tells."""

    def __init__(self) -> None:
        self.messages: list[Message] = []

    def wait(self, enough: Callable[[list[Message]], bool]) -> None:
        async def look() -> None:
            while not enough(self.messages):
                await asyncio.sleep(0.02)

        asyncio.run(asyncio.wait_for(look(), LONG_S))


def test_a_cancelled_process_is_gone_and_silent() -> None:
    heard = Heard()
    job = Job(solved(plans.SMALL).scenario, Path("."), SEEDED, heard.messages.append)
    assert job.running
    job.cancel()
    assert not job.running
    assert heard.messages == []


def test_a_job_tells_the_plan_first_and_its_confirmation_after() -> None:
    heard = Heard()
    Job(solved(plans.SMALL).scenario, Path("."), SEEDED, heard.messages.append)
    heard.wait(lambda messages: any(isinstance(m, Planned) and m.final for m in messages))
    first, last = (Plan.model_validate_json(m.text) for m in heard.messages if isinstance(m, Planned))
    assert first == solved(plans.SMALL)
    assert first.confirmation is None
    assert last.confirmation is not None


def test_a_process_that_dies_is_told_of() -> None:
    heard = Heard()
    job = Job(solved(plans.SMALL).scenario, Path("."), SEEDED, heard.messages.append)
    job._process.kill()
    heard.wait(bool)
    assert heard.messages == [Refused("the search ended without an answer (exit status -9)")]


def test_events_tell_every_change_and_end_with_the_sitting() -> None:
    sitting = Sitting()

    async def told() -> list[dict[str, Any]]:
        states = []
        async for event in events(sitting.session):
            assert event.startswith("data: ")
            assert event.endswith("\n\n")
            states.append(json.loads(event.removeprefix("data: ")))
            if len(states) == 1:
                sitting.session.edit({RATE: "60"})
            else:
                sitting.session.close()
        return states

    states = asyncio.run(told())
    assert [state["phase"] for state in states] == ["ready", "solving"]
    assert states[0]["version"] < states[1]["version"]
