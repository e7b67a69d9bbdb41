"""Files: whole or not there, never over an input, and refused before the work starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from solver.cli.outputs import ready
from solver.errors import BadInput
from topologies.writing import replacing, write_file


def test_a_file_is_replaced_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    write_file(target, "old")
    target.chmod(0o640)
    write_file(target, "new")
    assert target.read_text() == "new"
    assert target.stat().st_mode & 0o777 == 0o640
    assert list(tmp_path.iterdir()) == [target]


def test_what_fails_half_way_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "plan.json"
    write_file(target, "old")

    def half_way() -> None:
        with replacing(target) as place:
            place.write_text("half")
            raise OSError(28, "No space left on device")

    with pytest.raises(BadInput, match="No space"):
        half_way()
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_keeps_pointing_where_it_does(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    write_file(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_a_full_device_is_one_line() -> None:
    with pytest.raises(BadInput, match="cannot be written"):
        write_file("/dev/full", "text")
    command = [sys.executable, "-c", "from solver.cli import main; main()", "list", "devices"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_places_are_looked_at_beforehand(tmp_path: Path) -> None:
    there = tmp_path / "scenario.yaml"
    there.write_text("llm: {}")
    ready([tmp_path / "a.json", tmp_path / "b.html", None], [there, "deepseek-v3-2xnvl72", None])
    for outputs, inputs, word in (
        ([tmp_path / "missing" / "plan.json"], [], "folder does not exist"),
        ([there], [str(there)], "read by the same command"),
        ([tmp_path / "a.json", tmp_path / "sub" / ".." / "a.json"], [], "two outputs"),
        ([tmp_path], [], "is a folder"),
    ):
        with pytest.raises(BadInput, match=word):
            ready(outputs, inputs)
