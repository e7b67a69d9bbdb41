"""Examples in docstrings run."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = [
    "solver.llm",
    "solver.llm.attention_shapes",
    "solver.llm.dtypes",
    "solver.llm.ffn",
    "solver.llm.network",
    "solver.llm.precision",
    "solver.llm.config.files",
    "solver.llm.config.expressions",
    "solver.llm.config.families",
    "solver.llm.config.modules",
    "solver.llm.recurrent_shapes",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_hold(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.failed == 0
    assert result.attempted > 0
