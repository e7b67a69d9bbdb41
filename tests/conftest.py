"""What all tests share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from chromium import Chromium

# As the command line does: threads of numpy's would wait for each other, and for those of the tests beside.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

SHARED = Path(__file__).parents[1].parent / "shared" / "data"

for folder in (Path(__file__).parent, *sorted(Path(__file__).parent.rglob("*/"))):
    if folder.name != "__pycache__":
        sys.path.append(str(folder))


def pytest_configure(config: pytest.Config) -> None:
    """A test process of several takes the packaged plans from where the others put them."""
    if hasattr(config, "workerinput"):
        from packaged_plans import share

        share(Path(config.workerinput["packaged_plans"]))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Where the packaged plans of this run lie."""
    from packaged_plans import share

    node.workerinput["packaged_plans"] = str(share())


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Reference data that lies beside the project in some workplaces; it never enters the project."""
    if not SHARED.is_dir():
        pytest.skip("reference data is not beside the project here")
    return SHARED


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    """A real browser; what needs one is skipped where Chromium is missing."""
    from chromium import Chromium, installed

    program = installed()
    if program is None:
        pytest.skip("no Chromium is installed here")
    with Chromium(program, tmp_path_factory.mktemp("profile")) as opened:
        yield opened
