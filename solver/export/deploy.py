"""Starts and stops the deployment of this folder, as hosts.json says: workers, then routers, each when the last are ready.

    python3 deploy.py up [--slurm] [--nodes ADDRESS ...] [--shared] [--timeout SECONDS]
    python3 deploy.py down [--nodes ADDRESS ...]

Over ssh (without it where an address is this machine's), or inside a Slurm job. Standard library alone.
"""

from __future__ import annotations

import argparse
import json
import shlex
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
LOCAL = ("localhost", "127.0.0.1")
#: Variables whose values are hosts.
OF_HOSTS = ("HEAD", "ADDRESS", "RANKS")


def main() -> None:
    parser = argparse.ArgumentParser(description="Start or stop the deployment of this folder.")
    parser.add_argument("what", choices=["up", "down"])
    parser.add_argument("--slurm", action="store_true", help="start steps of this Slurm job instead of ssh")
    parser.add_argument("--nodes", nargs="+", help="addresses for the hosts of hosts.json, in its order")
    parser.add_argument("--shared", action="store_true", help="this folder is on every host already")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds until everything must be ready")
    options = parser.parse_args()
    table = json.loads((HERE / "hosts.json").read_text(encoding="utf-8"))
    if options.nodes:
        table["addresses"] = dict(zip(table["addresses"], options.nodes, strict=True))
        (HERE / "hosts.json").write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
    unknown = sorted(address for address in table["addresses"].values() if "/" in address)
    if unknown:
        raise SystemExit(
            f"{', '.join(unknown)}: no addresses, but the plan's names of hosts. Write addresses into hosts.json, or give "
            f"{len(table['addresses'])} of them after --nodes"
        )
    if options.what == "down":
        down(table)
    else:
        up(table, options)


def up(table: dict[str, Any], options: argparse.Namespace) -> None:
    """Everything in order; a worker is ready once it has captured its graphs and answers."""
    if not options.slurm and not options.shared:
        for address in sorted(set(table["addresses"].values()) - set(LOCAL)):
            copy = f"tar -C {shlex.quote(str(HERE))} -c . | ssh {shlex.quote(address)} "
            place = shlex.quote(str(HERE))
            subprocess.run(copy + shlex.quote(f"mkdir -p {place} && tar -C {place} -x"), shell=True, check=True)
    steps = []
    end = time.monotonic() + options.timeout
    for entries in (workers(table), table["routers"]):
        steps += [step for entry in entries if (step := start(table, entry, options.slurm))]
        for entry in entries:
            if "health" in entry:
                wait(table, entry, end)
    serve = table["serve"]
    print(f"serves at http://{table['addresses'][serve['host']]}:{serve['port']}/v1", flush=True)
    for step in steps:
        step.wait()


def workers(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Entries of workers with their names and ports."""
    return [
        {
            **entry,
            "name": f"{Path(entry['script']).stem}-{entry['replica']}-{entry['environment']['NODE_RANK']}",
            "port": entry["environment"]["PORT"],
        }
        for entry in table["start"]
    ]


def start(table: dict[str, Any], entry: dict[str, Any], slurm: bool) -> subprocess.Popen[bytes] | None:
    """Start one script on its host; its output and its process id lie in ``run/``."""
    address, name = table["addresses"][entry["host"]], entry["name"]
    words = ["env", *(f"{key}={value}" for key, value in environment(table, entry).items()), "bash", entry["script"]]
    script = shlex.join(words)
    inside = f"cd {shlex.quote(str(HERE))} && mkdir -p run"
    if slurm:
        step = ["srun", "--overlap", "--nodes=1", "--ntasks=1", "-w", address, "bash", "-c"]
        return subprocess.Popen([*step, f"{inside} && exec {script} > run/{name}.log 2>&1"])
    background = f"setsid nohup {script} > run/{name}.log 2>&1 < /dev/null & echo $! > run/{name}.pid"
    on(address, f"{inside} && {{ {background}; }}")
    return None


def environment(table: dict[str, Any], entry: dict[str, Any]) -> dict[str, str]:
    """Variables of an entry, hosts by their addresses."""
    found = dict(entry.get("environment", {}))
    for name in OF_HOSTS:
        parts = [part.partition("=") for part in found.get(name, "").split()]
        if parts:
            found[name] = " ".join(table["addresses"][host] + sign + rest for host, sign, rest in parts)
    return found


def wait(table: dict[str, Any], entry: dict[str, Any], end: float) -> None:
    """Until an entry's server is healthy."""
    url = f"http://{table['addresses'][entry['host']]}:{entry['port']}{entry['health']}"
    while time.monotonic() < end:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(1)
    raise SystemExit(f"{entry['name']} is not ready at {url}; see run/{entry['name']}.log on {entry['host']}")


def down(table: dict[str, Any]) -> None:
    """Stop the routers, then the workers, each with all its children."""
    for entry in [*reversed(table["routers"]), *reversed(workers(table))]:
        pid = f"{shlex.quote(str(HERE))}/run/{entry['name']}.pid"
        on(table["addresses"][entry["host"]], f"[ ! -f {pid} ] || {{ kill -- -$(cat {pid}) || true; rm -f {pid}; }}")


def on(address: str, command: str) -> None:
    """Run a command on a host."""
    there = ["bash", "-c", command] if address in LOCAL else ["ssh", address, command]
    subprocess.run(there, check=True)


if __name__ == "__main__":
    main()
