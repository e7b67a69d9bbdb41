"""The web server of a sitting."""

from __future__ import annotations

import socket

import uvicorn

from solver.live.application import application
from solver.live.gate import Keys
from solver.live.session import Session

#: Seconds that answers under way may take when the server ends.
PATIENCE_S = 2


class LiveServer(uvicorn.Server):
    """Serves one sitting, and ends it, with its search, when told to end."""

    def __init__(self, session: Session, keys: Keys) -> None:
        super().__init__(
            uvicorn.Config(
                application(session, keys),
                log_level="warning",
                lifespan="off",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=PATIENCE_S,
            )
        )
        self._session = session

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._session.close()
        await super().shutdown(sockets)
