"""Serves a sitting on this machine until it is interrupted."""

from __future__ import annotations

import socket
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from threading import Thread

from solver.errors import BadInput
from solver.live.job import starter
from solver.live.session import Session
from solver.optimize.arithmetic.run import Effort
from solver.plan import Plan


def serve(plan: Plan, folder: Path, effort: Effort, announce: Callable[[str], None]) -> None:
    """Serve a plan on 127.0.0.1, at a port that is free, until Ctrl-C.

    Parameters
    ----------
    folder: where relative paths in the scenario start. effort: of each edit.
    announce: called with the address, which holds the token, before the first request is answered.

    Raises
    ------
    BadInput: the packages of the extra ``live`` are not installed, or a file that the plan's scenario names is not there.
    """
    missing = [name for name in ("starlette", "uvicorn") if find_spec(name) is None]
    if missing:
        raise BadInput(f"the live page needs {' and '.join(missing)}: pip install 'rackplan[live]'")
    from solver.live.application import application
    from solver.live.gate import Keys
    from solver.live.server import LiveServer

    with socket.create_server(("127.0.0.1", 0)) as door:
        keys = Keys(door.getsockname()[1])
        session = Session(plan, folder, starter(folder, effort))
        Thread(target=lambda: session.step.page, daemon=True).start()  # drawn while the browser opens
        server = LiveServer(application(session, keys), session.close)
        announce(keys.address)
        try:
            server.run(sockets=[door])
        except KeyboardInterrupt:
            return
