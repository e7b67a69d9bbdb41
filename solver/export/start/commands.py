"""Exported scripts run with a stand-in for the engine: what they would start, and with which variables."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from solver.errors import SolverDefect

#: Programs that scripts of workers start, by engine, and the words that come before their arguments.
_PROGRAMS = {"vllm": ("vllm", 1), "sglang": ("python3", 2)}
#: What a stand-in does: it prints its arguments and its variables.
_STAND_IN = '#!/bin/sh\nprintf "%s\\0" "$@" "--environment--"\nexec env -0\n'


@dataclass(frozen=True)
class StartCommand:
    """What one kind of host of a pool starts.

    Attributes
    ----------
    name: of the script. pool: whose replicas it starts.
    follower: on a replica's last host instead of its first.
    words: arguments after the program.
    environment: variables that the script has set.
    """

    name: str
    pool: str
    follower: bool
    words: tuple[str, ...]
    environment: Mapping[str, str]


def start_commands(folder: Path, engine: str) -> Iterator[StartCommand]:
    """Commands of an exported folder: of every pool a replica's first host, and its last where it has several."""
    starts = json.loads((folder / "hosts.json").read_text(encoding="utf-8"))["start"]
    for pool in dict.fromkeys(entry["pool"] for entry in starts):
        first, *others = [entry for entry in starts if (entry["pool"], entry["replica"]) == (pool, 0)]
        for entry in [first, *others[-1:]]:
            words, environment = _run(folder / entry["script"], entry["environment"], engine)
            name = Path(entry["script"]).stem + (" follower" if entry is not first else "")
            yield StartCommand(name, pool, entry is not first, words, environment)


def _run(script: Path, given: Mapping[str, str], engine: str) -> tuple[tuple[str, ...], dict[str, str]]:
    program, skipped = _PROGRAMS[engine]
    with tempfile.TemporaryDirectory() as folder:
        stand_in = Path(folder) / program
        stand_in.write_text(_STAND_IN, encoding="utf-8")
        stand_in.chmod(0o755)
        path = f"{folder}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        ran = subprocess.run(["bash", script], capture_output=True, check=False, env={**given, "PATH": path})
    if ran.returncode:
        raise SolverDefect(f"the exported script {script.name} does not run: {ran.stderr.decode()[-300:]}")
    words, _, variables = ran.stdout.decode().partition("--environment--\0")
    pairs = (line.partition("=") for line in variables.split("\0") if line)
    environment = {name: value for name, _, value in pairs if name not in ("PATH", "PWD", "OLDPWD", "SHLVL", "_")}
    return tuple(words.split("\0")[:-1])[skipped:], environment
