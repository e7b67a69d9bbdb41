"""A sitting: the latest edit wins, what is wrong leaves the plan as it is, undo takes the last edit back."""

from __future__ import annotations

import pytest
from sitting import RATE, Sitting

from solver.errors import BadInput
from solver.live.messages import Planned, Progressed, Refused
from solver.plan import Plan


@pytest.fixture
def sitting() -> Sitting:
    return Sitting()


def answer(sitting: Sitting, number: int, final: bool = True) -> Plan:
    """A search ends with a plan of its scenario."""
    search = sitting.searches[number]
    plan = sitting.session.step.plan.model_copy(update={"scenario": search.scenario})
    search.tell(Planned(plan.dumps(), final))
    return plan


def test_an_edit_is_searched_and_its_plan_shown_with_what_has_changed(sitting: Sitting) -> None:
    sitting.session.edit({RATE: "60"})
    assert (sitting.state["phase"], sitting.state["shown"]) == ("solving", 0)
    sitting.searches[0].tell(Progressed(None, 1.0))
    assert sitting.state["progress"].endswith("no layout yet, bound 1")
    plan = answer(sitting, 0)
    assert sitting.plan == plan
    assert (sitting.state["phase"], sitting.state["shown"], sitting.state["progress"]) == ("ready", 1, "")
    assert sitting.state["changes"][:1] == [f"scenario.{RATE}: 30.0 -> 60.0"]
    assert sitting.state["fields"][RATE] == "60"


def test_the_plan_comes_first_and_its_confirmation_takes_its_place(sitting: Sitting) -> None:
    before = sitting.plan
    sitting.session.edit({RATE: "60"})
    answer(sitting, 0, final=False)
    assert (sitting.state["phase"], sitting.state["shown"]) == ("confirming", 1)
    answer(sitting, 0)
    assert (sitting.state["phase"], sitting.state["shown"]) == ("ready", 2)
    assert sitting.state["changes"][:1] == [f"scenario.{RATE}: 30.0 -> 60.0"]
    sitting.session.undo()
    assert sitting.plan == before


def test_the_latest_edit_wins(sitting: Sitting) -> None:
    sitting.session.edit({RATE: "60"})
    sitting.session.edit({RATE: "90"})
    assert [search.cancelled for search in sitting.searches] == [True, False]
    answer(sitting, 0)
    sitting.searches[0].tell(Refused("too late to be heard"))
    assert (sitting.state["phase"], sitting.state["shown"], sitting.state["problem"]) == ("solving", 0, "")
    answer(sitting, 1)
    assert sitting.state["fields"][RATE] == "90"
    assert sitting.state["undo"]
    sitting.session.undo()
    assert not sitting.state["undo"]


def test_a_bad_value_leaves_the_plan_and_a_search_that_is_under_way(sitting: Sitting) -> None:
    plan = sitting.plan
    sitting.session.edit({RATE: "60"})
    with pytest.raises(BadInput):
        sitting.session.edit({RATE: "many"})
    assert sitting.plan == plan
    assert not sitting.searches[0].cancelled
    sitting.searches[0].tell(Progressed(2.0, 1.0))
    assert "is not a number" in sitting.state["problem"]
    answer(sitting, 0)
    assert (sitting.state["problem"], sitting.state["fields"][RATE]) == ("", "60")


def test_what_has_no_plan_says_why_and_leaves_the_plan(sitting: Sitting) -> None:
    plan = sitting.plan
    sitting.session.edit({RATE: "60"})
    sitting.searches[0].tell(Refused("No plan exists.\nThese rules cannot all hold."))
    assert sitting.plan == plan
    assert sitting.state["problem"] == "No plan exists. These rules cannot all hold."
    assert (sitting.state["phase"], sitting.state["undo"]) == ("ready", False)


def test_undo_takes_back_what_is_searched_for_and_then_plans(sitting: Sitting) -> None:
    plans_so_far = [sitting.plan]
    for number, rate in enumerate(("60", "90")):
        sitting.session.edit({RATE: rate})
        plans_so_far.append(answer(sitting, number))
    sitting.session.edit({RATE: "120"})
    for plan in (plans_so_far[2], plans_so_far[1], plans_so_far[0], plans_so_far[0]):
        shown = sitting.state["shown"]
        sitting.session.undo()
        assert sitting.plan == plan
        assert sitting.state["shown"] == shown + 1
    assert sitting.searches[2].cancelled
    answer(sitting, 2)
    assert sitting.plan == plans_so_far[0]


def test_stop_ends_the_search(sitting: Sitting) -> None:
    sitting.session.edit({RATE: "60"})
    sitting.session.stop()
    assert sitting.searches[0].cancelled
    assert (sitting.state["phase"], sitting.state["shown"]) == ("ready", 0)


def test_the_way_back_to_the_plan_that_is_shown_needs_no_search(sitting: Sitting) -> None:
    sitting.session.edit({RATE: "60"})
    sitting.session.edit({RATE: "30.0"})
    assert [search.cancelled for search in sitting.searches] == [True]
    assert sitting.state["phase"] == "ready"


def test_what_is_shown_already_goes_on_being_confirmed(sitting: Sitting) -> None:
    sitting.session.edit({RATE: "60"})
    answer(sitting, 0, final=False)
    sitting.session.edit({RATE: "60.0"})
    assert (sitting.state["phase"], len(sitting.searches)) == ("confirming", 1)
    assert not sitting.searches[0].cancelled


def test_who_waits_is_told_when_the_sitting_ends(sitting: Sitting) -> None:
    sitting.session.edit({RATE: "60"})
    assert sitting.session.after(sitting.state["version"], 0.0) is None
    sitting.session.close()
    assert sitting.searches[0].cancelled
    assert sitting.session.after(-1, 10.0) is None
