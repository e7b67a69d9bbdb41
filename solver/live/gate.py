"""Who may come in: this machine's browser, with the token that was printed, and no page of another origin."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

#: Methods that change nothing.
_SAFE = ("GET", "HEAD")


def _secret() -> str:
    return secrets.token_urlsafe(32)


@dataclass(frozen=True)
class Keys:
    """What opens one sitting.

    Attributes
    ----------
    token: in the printed address. ticket: what the browser's cookie holds in exchange.
    """

    port: int
    token: str = field(default_factory=_secret, repr=False)
    ticket: str = field(default_factory=_secret, repr=False)

    @property
    def address(self) -> str:
        """What is printed."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @property
    def hosts(self) -> tuple[str, ...]:
        """Names by which the browser may know the server; another name was made to lead here by somebody else."""
        return f"127.0.0.1:{self.port}", f"localhost:{self.port}"

    @property
    def cookie(self) -> str:
        """Name of the cookie; ports share cookies, so it holds the port."""
        return f"rackplan-{self.port}"


class Gate:
    """Middleware that lets requests pass which the keys open, and exchanges the token for the cookie."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self._app, self._keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = self._answer(Request(scope)) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    def _answer(self, request: Request) -> Response | None:
        """What a request gets at the gate; None where it may pass."""
        keys = self._keys
        if request.headers.get("host") not in keys.hosts:
            return _refused("this server answers to 127.0.0.1 alone")
        if not _same_origin(request.headers, request.method):
            return _refused("a page of another origin may not ask this server")
        token = request.query_params.get("token")
        if request.url.path == "/" and token is not None and _equal(token, keys.token):
            answer = RedirectResponse("/", 303, {"Referrer-Policy": "no-referrer", "Cache-Control": "no-store"})
            answer.set_cookie(keys.cookie, keys.ticket, httponly=True, samesite="strict")
            return answer
        if not _equal(request.cookies.get(keys.cookie, ""), keys.ticket):
            return _refused("open the address that rackplan printed")
        return None


def _same_origin(headers: Headers, method: str) -> bool:
    """Whether the request comes from the server's own page: one that changes something must say so."""
    origin = headers.get("origin")
    return method in _SAFE if origin is None else origin == f"http://{headers['host']}"


def _equal(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode(), secret.encode())


def _refused(why: str) -> Response:
    return PlainTextResponse(f"{why}\n", 403)
