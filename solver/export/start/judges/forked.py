"""Checks in child processes, so that what one command sets cannot touch the next: requests on stdin, verdicts on stdout."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

Verdict = dict[str, Any]


def serve(check: Callable[[Mapping[str, Any]], Verdict], request: Mapping[str, Any], version: str) -> None:
    """Judge every command of a request; one line of JSON for each."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # engines print; only verdicts belong on stdout
    for command in request["commands"]:
        verdict = _in_child(check, command)
        print(json.dumps({"name": command["name"], "version": version, **verdict}), file=out, flush=True)


def _in_child(check: Callable[[Mapping[str, Any]], Verdict], command: Mapping[str, Any]) -> Verdict:
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        os.environ.update(command["environment"])
        with os.fdopen(write, "w") as pipe:
            json.dump(_judged(check, command), pipe, default=str)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    return json.loads(text) if text else {"accepted": False, "says": "the engine's process died"}


def _judged(check: Callable[[Mapping[str, Any]], Verdict], command: Mapping[str, Any]) -> Verdict:
    try:
        return {"accepted": True, "says": "", **check(command)}
    except (Exception, SystemExit) as error:
        words = " ".join(str(error).partition("[type=")[0].split())
        return {"accepted": False, "says": f"{type(error).__name__}: {words}"[:600]}


def request() -> Mapping[str, Any]:
    """What stdin asks."""
    found: Mapping[str, Any] = json.load(sys.stdin)
    return found
