"""Examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = ["amounts", "colouring", "experts", "experts_drawing", "markup", "palette"]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(f"solver.view.{name}"))
    assert result.failed == 0
    assert result.attempted > 0
