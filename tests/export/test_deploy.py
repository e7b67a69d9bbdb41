"""deploy.py starts workers before routers, waits for them, and stops all of them; stand-ins answer for the engines."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployments import own_ports
from packaged_plans import solved

from solver.export import export

#: A program that notes when it started, is healthy after a while, and serves until it is stopped.
STAND_IN = """#!{python}
import http.server, os, sys, time
words = sys.argv[1:]
port = int(words[words.index("--port") + 1]) if "--port" in words else 30000
class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if time.time() > ready else 503)
        self.end_headers()
    def log_message(self, *_): pass
ready = time.time() + 0.5
server = http.server.HTTPServer(("0.0.0.0", port), Healthy)
with open(os.environ["NOTES"], "a") as notes:
    notes.write(f"{{os.path.basename(sys.argv[0])}} {{port}} {{time.time()}} {{os.environ.get('CUDA_VISIBLE_DEVICES', '')}}\\n")
server.serve_forever()
"""


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(autouse=True)
def _ports() -> Iterator[None]:
    with own_ports():
        yield


def test_up_and_down(tmp_path: Path) -> None:
    out, programs, notes = tmp_path / "out", tmp_path / "bin", tmp_path / "notes"
    export(solved("llama-70b-16xh100"), "vllm").save(out)
    table = json.loads((out / "hosts.json").read_text())
    ports = [int(e["environment"]["PORT"]) for e in table["start"]] + [each["port"] for each in table["routers"]]
    if any(map(listens, ports)):
        pytest.skip(f"ports {ports} of this machine are in use")
    programs.mkdir()
    for name in ("vllm", "vllm-router", "nginx"):
        (programs / name).write_text(STAND_IN.format(python=sys.executable))
        (programs / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{programs}:{os.environ['PATH']}", "NOTES": str(notes)}
    nodes = ["127.0.0.1"] * len(table["addresses"])
    up = [sys.executable, out / "deploy.py", "up", "--timeout", "30", "--nodes", *nodes]
    ran = subprocess.run(up, capture_output=True, text=True, check=False, env=environment)
    try:
        assert ran.returncode == 0, ran.stderr
        assert f"http://127.0.0.1:{table['serve']['port']}/v1" in ran.stdout
        started = [line.split() for line in notes.read_text().splitlines()]
        last_worker = max(float(when) for name, _, when, *_ in started if name == "vllm")
        first_router = min(float(when) for name, _, when, *_ in started if name != "vllm")
        assert first_router > last_worker + 0.4, "workers were ready before"
        devices = {int(port): seen[0] for name, port, _, *seen in started if name == "vllm"}
        planned = {int(e["environment"]["PORT"]): e["environment"]["CUDA_VISIBLE_DEVICES"] for e in table["start"]}
        assert devices == planned
    finally:
        subprocess.run(["bash", out / "down.sh"], check=True, env=environment)
    time.sleep(0.3)
    assert not any(map(listens, ports))


def test_names_of_the_plan_are_no_addresses(tmp_path: Path) -> None:
    export(solved("llama-70b-16xh100"), "vllm").save(tmp_path)
    ran = subprocess.run([sys.executable, tmp_path / "deploy.py", "up"], capture_output=True, text=True, check=False)
    assert ran.returncode == 1
    assert "hosts.json" in ran.stderr
    assert "Traceback" not in ran.stderr
