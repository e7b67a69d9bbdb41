"""Who may come in: the browser that brought the token, by the server's own name, from the server's own page."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from sitting import Sitting
from starlette.testclient import TestClient

from solver.live.application import application
from solver.live.gate import Keys

PORT = 40_000
HERE = f"http://127.0.0.1:{PORT}"
#: Every address that answers something, and how.
ADDRESSES = [
    ("GET", "/"),
    ("GET", "/live.js"),
    ("GET", "/live.css"),
    ("GET", "/plan"),
    ("GET", "/events"),
    ("GET", "/plan.json"),
    ("GET", "/scenario.yaml"),
    ("POST", "/edit"),
    ("POST", "/undo"),
    ("POST", "/stop"),
]


@pytest.fixture(scope="module")
def keys() -> Keys:
    return Keys(PORT)


@pytest.fixture
def stranger(keys: Keys) -> Iterator[TestClient]:
    """A browser that has not been let in."""
    with TestClient(application(Sitting().session, keys), base_url=HERE, follow_redirects=False) as client:
        yield client


@pytest.fixture
def guest(stranger: TestClient, keys: Keys) -> TestClient:
    """A browser that was."""
    stranger.get("/", params={"token": keys.token})
    return stranger


def test_the_token_is_exchanged_for_a_cookie(stranger: TestClient, keys: Keys) -> None:
    answer = stranger.get(keys.address)
    assert (answer.status_code, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert keys.token not in answer.headers["set-cookie"]
    page = stranger.get("/")
    assert page.status_code == 200
    assert keys.token not in page.text
    assert keys.ticket not in page.text


def test_every_sitting_has_keys_of_its_own(keys: Keys) -> None:
    other = Keys(PORT)
    assert len({keys.token, keys.ticket, other.token, other.ticket}) == 4
    assert keys.token not in repr(keys)
    assert keys.ticket not in repr(keys)


@pytest.mark.parametrize("token", ["", "wrong", "ü"])
def test_a_wrong_token_opens_nothing(stranger: TestClient, token: str) -> None:
    answer = stranger.get("/", params={"token": token})
    assert answer.status_code == 403
    assert "set-cookie" not in answer.headers
    assert answer.text == "open the address that rackplan printed\n"


@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_nothing_is_open_without_the_cookie(stranger: TestClient, keys: Keys, method: str, address: str) -> None:
    assert stranger.request(method, address, headers={"Origin": HERE}).status_code == 403
    stranger.cookies.set(keys.cookie, keys.token)
    assert stranger.request(method, address, headers={"Origin": HERE}).status_code == 403


@pytest.mark.parametrize("host", ["rackplan.example", "127.0.0.1", f"127.0.0.1.example:{PORT}", "127.0.0.1:40001", ""])
@pytest.mark.parametrize(("method", "address"), [*ADDRESSES, ("GET", "/?token")])
def test_another_name_is_refused(guest: TestClient, keys: Keys, host: str, method: str, address: str) -> None:
    """A name that was made to lead here, with all keys in hand."""
    address = address.replace("?token", f"?token={keys.token}")
    answer = guest.request(method, address, headers={"Host": host, "Origin": f"http://{host}"})
    assert (answer.status_code, answer.text) == (403, "this server answers to 127.0.0.1 alone\n")


@pytest.mark.parametrize("origin", ["http://rackplan.example", "null", f"https://127.0.0.1:{PORT}", "http://127.0.0.1"])
@pytest.mark.parametrize(("method", "address"), ADDRESSES)
def test_another_origin_is_refused(guest: TestClient, origin: str, method: str, address: str) -> None:
    assert guest.request(method, address, headers={"Origin": origin}).status_code == 403


@pytest.mark.parametrize("address", [address for method, address in ADDRESSES if method == "POST"])
def test_what_changes_something_names_its_origin(guest: TestClient, address: str) -> None:
    assert guest.post(address).status_code == 403
    assert guest.post(address, headers={"Origin": HERE}).status_code in (204, 422)


def test_the_other_name_of_this_machine_is_welcome(stranger: TestClient, keys: Keys) -> None:
    there = f"http://localhost:{PORT}"
    assert stranger.get(f"{there}/", params={"token": keys.token}).status_code == 303
    assert stranger.post(f"{there}/undo", headers={"Origin": there}).status_code == 204


def test_answers_allow_nothing_from_elsewhere(guest: TestClient) -> None:
    policy = guest.get("/").headers["content-security-policy"]
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy
    assert "*" not in policy
    assert "unsafe" not in policy
    for address in ("/", "/live.js", "/live.css", "/plan", "/plan.json", "/scenario.yaml"):
        headers = guest.get(address).headers
        assert headers["cache-control"] == "no-store"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
        assert not any(name.startswith("access-control") for name in headers)
