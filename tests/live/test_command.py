"""``rackplan open``: prints the address, serves until Ctrl-C, and says in a line what it lacks."""

from __future__ import annotations

import http.cookiejar
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import plans
import pytest
from command_line import rackplan
from packaged_plans import solved
from sitting import LONG_S, RATE

RACKPLAN = Path(sys.executable).with_name("rackplan")


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("plan") / "plan.json"
    solved(plans.SMALL).save(target)
    return target


@pytest.fixture
def server(saved: Path) -> Iterator[subprocess.Popen[str]]:
    command = [RACKPLAN, "open", saved, "--seed", "1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_serves_an_edit_and_ends(server: subprocess.Popen[str]) -> None:
    assert server.stdout is not None
    address = server.stdout.readline().strip()
    here = address.partition("/?token=")[0]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", here)
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    browser = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))
    assert "What if?" in browser.open(address, timeout=LONG_S).read().decode()
    texts = json.dumps({RATE: "90"}).encode()
    request = urllib.request.Request(f"{here}/edit", texts, headers={"Origin": here}, method="POST")
    assert browser.open(request, timeout=LONG_S).status == 204
    with browser.open(f"{here}/events", timeout=LONG_S) as stream:
        states = (json.loads(line.removeprefix(b"data: ")) for line in stream if line.startswith(b"data: "))
        shown = next(state for state in states if state["shown"])
        assert shown["fields"][RATE] == "90"
        server.send_signal(signal.SIGINT)
        assert server.wait(LONG_S) == 0, "although a browser still listens"
    assert server.stderr is not None
    assert server.stderr.read() == ""


def test_without_the_extra_it_names_it(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("solver.live.serving.find_spec", lambda name: None)
    ran = rackplan("open", saved)
    assert (ran.status, ran.out) == (2, "")
    assert ran.error == "rackplan: the live page needs starlette and uvicorn: pip install 'rackplan[live]'\n"


def test_not_a_plan(tmp_path: Path) -> None:
    wrong = tmp_path / "plan.json"
    wrong.write_text("{}", encoding="utf-8")
    ran = rackplan("open", wrong)
    assert ran.status == 2
    assert str(wrong) in ran.error
    assert ran.error.count("\n") == 1
