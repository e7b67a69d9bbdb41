"""Files of traces written by hand, and where the recorded ones are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from trace_rows import CONVERSATIONS, mooncake_lines

RECORDED = Path(__file__).parents[2].parent / "shared" / "data" / "traces"


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Write lines to a file and say where it is."""

    def written(lines: Sequence[str], name: str = "trace.jsonl") -> Path:
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return written


@pytest.fixture
def conversations(write: Callable[..., Path]) -> Path:
    """Eight requests of five sessions behind one shared block."""
    return write(mooncake_lines(CONVERSATIONS))


@pytest.fixture(scope="session")
def recorded() -> Path:
    """Folder of recorded traces beside the checkout."""
    if not RECORDED.is_dir():
        pytest.skip(f"needs the recorded traces in {RECORDED}")
    return RECORDED
