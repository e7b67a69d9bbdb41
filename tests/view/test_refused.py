"""A scenario without a plan gets a page too: what conflicts, and every way out, the cheapest first."""

from __future__ import annotations

import re

from tests.cli.command_line import rackplan
from tests.view.reading import read

TIGHT = ("--llm", "llama-3.1-8b", "--cluster", "hgx:nodes=1,device=h100,devices_per_host=2", "--set",
         "options.disaggregate=false", "--prompt-tokens", 2000, "--output-tokens", 300)  # fmt: skip


def test_a_refusal_is_a_page(tmp_path):
    target = tmp_path / "none.html"
    ran = rackplan("solve", *TIGHT, "--requests-per-s", 900, "--ttft-p95", "1s", "--tpot-p95", "30ms", "--html", target)
    assert ran.status == 1
    page = target.read_text(encoding="utf-8")
    shown = read(page)
    cheapest = ran.error.split("Cheapest to give up: ")[1].strip()
    assert f"Cheapest to give up: {cheapest}" in shown.one("section", id="answer").text
    for rule in ("at most 2 devices", "at least 900 requests/s"):
        assert rule in shown.one("section", id="answer").text
    assert "TPOT" not in shown.one("section", id="answer").text, "900 requests/s are too many at any speed"
    ways = shown.one("section", id="ways").text
    assert re.search(r"throughput.*requests/s is reachable", ways, re.DOTALL)
    bars = [float(width) for width in re.findall(r"width:([\d.]+)em", page[page.index("Ways out") :])]
    assert bars == sorted(bars, reverse=True)
    assert len(bars) >= 1
