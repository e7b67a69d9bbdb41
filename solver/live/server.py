"""The web server of a sitting."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn
from starlette.types import ASGIApp

#: Seconds that answers under way may take when the server ends.
PATIENCE_S = 2


class LiveServer(uvicorn.Server):
    """Serves one sitting.

    Parameters
    ----------
    close: ends the sitting, with its search; called when the server is told to end, before it waits for open answers.
    """

    def __init__(self, app: ASGIApp, close: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_level="warning",
                lifespan="off",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=PATIENCE_S,
            )
        )
        self._close = close

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._close()
        await super().shutdown(sockets)
