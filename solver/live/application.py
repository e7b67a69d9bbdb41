"""The routes of the live page."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from importlib.resources import files

import yaml
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from solver.errors import BadFile, BadInput
from solver.live.gate import Gate, Keys
from solver.live.page import shell
from solver.live.session import Session
from solver.view.palette import theme_rules
from solver.workload.documents import parse_json

#: What every answer carries. The page may load what this server serves and nothing else, and nobody may frame it.
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
#: The plan's page brings its own policy, and lies in our frame.
PLAN_POLICY = "frame-ancestors 'self'"
#: Seconds after which a stream looks whether its browser is still there.
BEAT_S = 0.5


def application(session: Session, keys: Keys) -> Starlette:
    """The live page of a sitting, for those whom the keys let in."""
    routes = _Routes(session)
    return Starlette(
        routes=[
            Route("/", routes.shell),
            Route("/live.css", routes.style),
            Route("/live.js", routes.script),
            Route("/plan", routes.plan),
            Route("/events", routes.events),
            Route("/edit", routes.edit, methods=["POST"]),
            Route("/undo", routes.undo, methods=["POST"]),
            Route("/stop", routes.stop, methods=["POST"]),
            Route("/plan.json", routes.plan_file),
            Route("/scenario.yaml", routes.scenario_file),
        ],
        middleware=[Middleware(Gate, keys=keys)],
    )


class _Routes:
    """What each address answers."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def shell(self, request: Request) -> Response:
        page = shell(self._session.step.fields, self._session.shown)
        return HTMLResponse(page, headers=HEADERS | {"Content-Security-Policy": POLICY})

    def style(self, request: Request) -> Response:
        return Response(theme_rules() + _asset("live.css"), headers=HEADERS, media_type="text/css")

    def script(self, request: Request) -> Response:
        return Response(_asset("live.js"), headers=HEADERS, media_type="text/javascript")

    def plan(self, request: Request) -> Response:
        """The newest plan's page; its address carries a number, so that the frame loads it anew."""
        return HTMLResponse(self._session.step.page, headers=HEADERS | {"Content-Security-Policy": PLAN_POLICY})

    def events(self, request: Request) -> Response:
        return StreamingResponse(events(self._session), headers=HEADERS, media_type="text/event-stream")

    async def edit(self, request: Request) -> Response:
        try:
            await run_in_threadpool(self._session.edit, _texts(await request.body()))
        except BadInput as error:
            return PlainTextResponse(str(error), 422, HEADERS)
        return Response(status_code=204, headers=HEADERS)

    def undo(self, request: Request) -> Response:
        self._session.undo()
        return Response(status_code=204, headers=HEADERS)

    def stop(self, request: Request) -> Response:
        self._session.stop()
        return Response(status_code=204, headers=HEADERS)

    def plan_file(self, request: Request) -> Response:
        return _file("plan.json", self._session.step.plan.dumps(), "application/json")

    def scenario_file(self, request: Request) -> Response:
        content = self._session.step.plan.scenario.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        return _file("scenario.yaml", yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "application/yaml")


async def events(session: Session) -> AsyncIterator[str]:
    """Everything there is to know, as server-sent events, whenever it changes; ends with the sitting."""
    version = -1
    while not session.closed:
        state = await run_in_threadpool(session.after, version, BEAT_S)
        if state is not None:
            version = state["version"]
            yield f"data: {json.dumps(state)}\n\n"


def _texts(body: bytes) -> dict[str, str]:
    """The form as the script sends it.

    Raises
    ------
    BadInput: it is not a JSON mapping of names to texts.
    """
    try:
        texts = parse_json(body.decode(), "edit")
    except (UnicodeDecodeError, BadFile):
        texts = None
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise BadInput("an edit is a JSON mapping of the form's fields to texts")
    return texts


def _file(name: str, text: str, kind: str) -> Response:
    disposition = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(text, headers=HEADERS | disposition, media_type=kind)


def _asset(name: str) -> str:
    return files("solver.live").joinpath("assets", name).read_text(encoding="utf-8")
