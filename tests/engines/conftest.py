"""Where the engines are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from solver.export.start import ENVIRONMENTS


@pytest.fixture(scope="session")
def engines() -> Path:
    """The folder that ``tests/engines/setup`` built."""
    named = os.environ.get(ENVIRONMENTS)
    if not named:
        pytest.skip(f"the engines are not here: run tests/engines/setup DIR and set {ENVIRONMENTS}=DIR")
    return Path(named)
