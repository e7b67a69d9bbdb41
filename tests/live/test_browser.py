"""The live page in a headless Chromium: edits are searched, what is wrong is said, and no request leaves the machine."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from socket import create_server

import pytest
from axe import violations
from chromium import Chromium
from sitting import RATE, real

from solver.live.application import application
from solver.live.gate import Keys
from solver.live.server import LiveServer


@pytest.fixture
def address() -> Iterator[str]:
    """A sitting that is served."""
    with create_server(("127.0.0.1", 0)) as door:
        keys = Keys(door.getsockname()[1])
        session = real()
        server = LiveServer(application(session, keys), session.close)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [door]})
        thread.start()
        yield keys.address
        server.should_exit = True
        thread.join()


def until(browser: Chromium, condition: str) -> None:
    """Wait until something is true in the page."""
    look = f"new Promise(done => {{ const look = () => ({condition}) ? done() : setTimeout(look, 50); look(); }})"
    browser.evaluate(look, 90)


def put(browser: Chromium, name: str, text: str) -> None:
    """Write into a field as somebody who types and leaves it."""
    field = f"document.querySelector({json.dumps(f'[name={json.dumps(name)}]')})"
    browser.evaluate(
        f"{field}.value = {json.dumps(text)}; {field}.dispatchEvent(new Event('change', {{bubbles: true}}))"
    )


def text(browser: Chromium, selector: str) -> str:
    return str(browser.evaluate(f"document.querySelector('{selector}').textContent"))


HEADLINE = "document.querySelector('#plan').contentDocument.querySelector('h1')?.textContent"
READY = "document.querySelector('#stop').disabled && document.querySelector('#progress').textContent === ''"


def test_a_sitting(browser: Chromium, address: str) -> None:
    here = address.partition("?")[0]
    browser.shape(1280)
    browser.visit(address)
    assert browser.evaluate("location.href") == here
    assert browser.evaluate("document.cookie") == "", "scripts do not see the cookie"
    until(browser, f"{HEADLINE} && {READY}")
    put(browser, "slo.tpot_p95", "30")
    until(browser, "document.querySelector('#problem').textContent !== ''")
    assert text(browser, "#problem") == "TPOT p95 30: say 30ms or 30s"
    put(browser, "slo.tpot_p95", "20 ms")
    put(browser, RATE, "60")
    put(browser, RATE, "90")
    until(browser, f"document.querySelectorAll('#changes li').length > 1 && {READY}")
    assert "30.0 -> 90.0" in text(browser, "#changes")
    until(browser, "document.querySelector('#plan').contentWindow.location.search === '?2'")
    assert browser.evaluate(f"document.querySelector('[name=\"{RATE}\"]').value") == "90"
    browser.evaluate("document.querySelector('#undo').click()")
    until(browser, f"document.querySelector('[name=\"{RATE}\"]').value === '30'")
    assert browser.evaluate("document.querySelector('#difference').hidden")
    assert browser.evaluate("document.querySelector('#undo').disabled")
    refused = [message for message in browser.messages if "422" not in message]
    assert refused == []
    assert {f"{here}plan?{number}" for number in range(4)} <= set(browser.requests)
    assert all(request.startswith((here, "data:")) for request in browser.requests), browser.requests


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("dark", [False, True])
def test_the_page_fits(browser: Chromium, address: str, width: int, dark: bool) -> None:
    browser.shape(width, dark=dark)
    browser.visit(address)
    until(browser, HEADLINE)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert violations(browser) == []
    assert browser.messages == []
