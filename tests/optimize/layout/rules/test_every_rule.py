"""Every rule of the program is in the list, and has a test that shows what it alone cuts off."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from solver.optimize.layout import rules

PACKAGE = Path(rules.__file__).parent


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.parse(path.read_text(encoding="utf-8")).body if isinstance(node, ast.FunctionDef))


def written() -> list[tuple[str, str]]:
    """Module and function of everything that is decorated as a rule."""
    return [
        (path.stem, function.name)
        for path in sorted(PACKAGE.glob("*.py"))
        for function in functions(path)
        for decorator in function.decorator_list
        if isinstance(decorator, ast.Call) and isinstance(decorator.func, ast.Name) and decorator.func.id == "rule"
    ]


def test_every_rule_is_demanded_once() -> None:
    assert sorted(rule.demands.__name__ for rule in rules.RULES) == sorted(name for _, name in written())
    for what in ("name", "because"):
        said = [getattr(rule, what) for rule in rules.RULES]
        assert len(set(said)) == len(said)


@pytest.mark.parametrize(("module", "name"), written())
def test_every_rule_has_a_test_of_its_own(module: str, name: str) -> None:
    """``rules/MODULE.py`` is tested by ``test_MODULE.py``, rule by rule, in functions that hand it to ``cuts_off``."""
    path = Path(__file__).with_name(f"test_{module}.py")
    assert path.exists(), f"{path.name} is missing"
    tests = {function.name: function for function in functions(path)}
    assert f"test_{name}" in tests, f"{path.name} has no test_{name}"
    handed = [
        ast.unparse(call.args[0])
        for call in ast.walk(tests[f"test_{name}"])
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "cuts_off"
    ]
    assert handed == [f"rules.{name}"]
