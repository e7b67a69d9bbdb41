"""The examples in docstrings of stages and of the report on experts run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import solver.experts.report
import solver.pipelines


def modules(package: object) -> list[str]:
    """All modules of a package, itself included."""
    found = pkgutil.walk_packages(package.__path__, f"{package.__name__}.")  # type: ignore[attr-defined]
    return [package.__name__, *(module.name for module in found)]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", modules(solver.pipelines) + modules(solver.experts.report))
def test_examples_run(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
