"""What all tests share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

SHARED = Path(__file__).parents[1].parent / "shared" / "data"

for folder in (Path(__file__).parent, *sorted(Path(__file__).parent.rglob("*/"))):
    if folder.name != "__pycache__":
        sys.path.append(str(folder))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Reference data that lies beside the project in some workplaces; it never enters the project."""
    if not SHARED.is_dir():
        pytest.skip("reference data is not beside the project here")
    return SHARED
