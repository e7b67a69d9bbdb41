"""Plans exported, and their scripts run with a stand-in for the engine."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from solver.export import export
from solver.plan import Plan

#: Programs that scripts start.
PROGRAMS = ("vllm", "python3", "trtllm-serve", "mpirun", "vllm-router", "nginx", "sshd")


@dataclass(frozen=True)
class Started:
    """What a script would run: words, and the variables that it sets or was given."""

    words: tuple[str, ...]
    environment: Mapping[str, str]

    def flags(self) -> dict[str, list[str]]:
        """Flags and their values; of flags given several times all values."""
        found: dict[str, list[str]] = {}
        last = ""
        for word in self.words:
            if word.startswith("--"):
                last = word
                found.setdefault(last, [])
            elif last:
                found[last].append(word)
        return found

    def number(self, flag: str, default: int = 1) -> int:
        """Value of a flag that takes a number."""
        values = self.flags().get(flag)
        return int(values[0]) if values else default


def run_script(folder: Path, script: str, environment: Mapping[str, str]) -> Started:
    """Run a script of a folder with stand-ins for every program that it may start."""
    with tempfile.TemporaryDirectory() as stand_ins:
        # A real python3 answers what scripts ask of hosts.json; only engines and routers are stood in for.
        for name in PROGRAMS:
            stand_in = Path(stand_ins) / name
            real = f'[ "${{1:-}}" != -c ] || exec {json.dumps(os.path.realpath("/usr/bin/python3"))} "$@"\n'
            stand_in.write_text(
                "#!/bin/bash\n"
                + (real if name == "python3" else "")
                + 'printf "%s\\0" "$(basename "$0")" "$@" "--environment--"; env -0\n'
            )
            stand_in.chmod(0o755)
        path = {"PATH": f"{stand_ins}:/usr/bin:/bin"}
        ran = subprocess.run(["bash", folder / script], capture_output=True, check=True, env={**environment, **path})
    words, _, variables = ran.stdout.decode().partition("--environment--\0")
    pairs = (line.partition("=") for line in variables.split("\0") if line)
    return Started(tuple(words.split("\0")[:-1]), {name: value for name, _, value in pairs})


@contextmanager
def own_ports() -> Iterator[None]:
    """While tests of other processes that serve at the exports' fixed ports wait."""
    with (Path(tempfile.gettempdir()) / f"rackplan-tests-{os.getuid()}.ports").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


class Deployed:
    """An exported folder of scripts, read back."""

    def __init__(self, found: Plan, engine: str, folder: Path) -> None:
        self.plan, self.engine, self.folder = found, engine, folder
        bundle = export(found, engine)
        bundle.save(folder)
        self.warnings = bundle.warnings
        self.hosts: dict[str, Any] = json.loads((folder / "hosts.json").read_text())

    def entries(self, pool: str, replica: int | None = None) -> list[dict[str, Any]]:
        """What starts for a pool, or one replica of it."""
        return [e for e in self.hosts["start"] if e["pool"] == pool and replica in (None, e["replica"])]

    def started(self, entry: Mapping[str, Any]) -> Started:
        """What an entry starts."""
        return run_script(self.folder, entry["script"], entry["environment"])

    def routers(self) -> dict[str, Started]:
        """What the routers' scripts start, by name."""
        return {each["name"]: run_script(self.folder, each["script"], {}) for each in self.hosts["routers"]}
