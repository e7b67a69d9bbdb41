"""Router packages read the commands that exports write for them."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from deployments import Deployed, own_ports
from packaged_plans import SCENARIOS, solved

from solver.export import export

#: Reads arguments as the package's launcher does, and prints what it understood.
READ = """
import dataclasses, json, sys
from {}.launch_router import parse_router_args
print(json.dumps(dataclasses.asdict(parse_router_args(sys.argv[1:])), default=str))
"""
PACKAGES = {"vllm": "vllm_router", "sglang": "sglang_router"}


@pytest.mark.parametrize("engine", PACKAGES)
@pytest.mark.parametrize("name", SCENARIOS)
def test_routers_read_their_commands(name: str, engine: str, engines: Path, tmp_path: Path) -> None:
    ours = Deployed(solved(name, engine), engine, tmp_path)
    for router, started in ours.routers().items():
        if router == "front":
            continue
        words = started.words[1:] if engine == "vllm" else started.words[3:]
        python = engines / engine / "bin" / "python"
        read = subprocess.run(
            [python, "-c", READ.format(PACKAGES[engine]), *words], capture_output=True, text=True, check=True
        )
        understood = json.loads(read.stdout.splitlines()[-1])
        flags = started.flags()
        assert understood["port"] == started.number("--port")
        assert len(understood["worker_urls"] or []) == len(flags.get("--worker-urls", []))
        assert len(understood["decode_urls"] or []) == len(flags.get("--decode", []))
        prefills = [value for value in flags.get("--prefill", []) if value.startswith("http")]
        assert [url for url, _ in understood["prefill_urls"] or []] == prefills
        assert understood["vllm_pd_disaggregation" if engine == "vllm" else "pd_disaggregation"] == bool(prefills)


needs_nginx = pytest.mark.skipif(shutil.which("nginx") is None, reason="nginx is not here")


@needs_nginx
@pytest.mark.parametrize("name", SCENARIOS)
def test_nginx_reads_the_front(name: str, tmp_path: Path) -> None:
    found = solved(name)
    ours = Deployed(found, found.pools[0].engine, tmp_path)
    if not any(router["name"] == "front" for router in ours.hosts["routers"]):
        pytest.skip("the plan needs no front")
    table = {**ours.hosts, "addresses": dict.fromkeys(ours.hosts["addresses"], "127.0.0.1")}
    (tmp_path / "hosts.json").write_text(json.dumps(table))
    ours.routers()
    read = subprocess.run(
        ["nginx", "-t", "-p", tmp_path, "-c", "front.conf"], capture_output=True, text=True, check=False
    )
    assert read.returncode == 0, read.stderr


class Named(BaseHTTPRequestHandler):
    """A server that says which it is."""

    def do_GET(self) -> None:
        body = str(self.server.server_address[1]).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def _ports() -> Iterator[None]:
    with own_ports():
        yield


@needs_nginx
@pytest.mark.usefixtures("_ports")
def test_the_front_gives_every_router_its_share(tmp_path: Path) -> None:
    """Real nginx before stand-ins of the routers: shares of 2,000 requests, and classes by their header."""
    found = solved("qwen3-235b-16xh200")
    export(found, "vllm").save(tmp_path)
    table = json.loads((tmp_path / "hosts.json").read_text())
    shares = {each["router"]: each["share"] for each in table["shares"]["chat"]}
    ports = {each["port"]: shares[each["name"]] for each in table["routers"] if each["name"] != "front"}
    servers = [ThreadingHTTPServer(("127.0.0.1", port), Named) for port in ports]
    for server in servers:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    front = subprocess.Popen(["bash", tmp_path / "front.sh"], stderr=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{table['serve']['port']}"
        for _ in range(100):
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{url}/health", timeout=5):
                break
            time.sleep(0.1)
        counts: Counter[int] = Counter()
        for _ in range(2000):
            with urllib.request.urlopen(f"{url}/v1/models", timeout=5) as answer:
                counts[int(answer.read())] += 1
        assert {port: count / 2000 for port, count in counts.items()} == pytest.approx(ports, abs=0.03)
    finally:
        front.terminate()
        front.wait(10)
        for server in servers:
            server.shutdown()
            server.server_close()
