"""The facade, the examples and what the package may import."""

from __future__ import annotations

import ast
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import topologies

MODULES = sorted(module.name for module in pkgutil.walk_packages(topologies.__path__, "topologies."))
SOURCES = sorted(Path(topologies.__file__).parent.rglob("*.py"))


def test_what_is_exported_is_what_is_meant():
    assert topologies.__all__ == sorted(topologies.__all__, key=lambda n: (not n.isupper(), not n[0].isupper(), n))
    assert all(hasattr(topologies, name) for name in topologies.__all__)
    modules = {name.split(".")[1] for name in MODULES}
    helpers = {"Any", "TYPE_CHECKING", "annotations", "import_module"}
    public = {name for name in vars(topologies) if not name.startswith("_")} - helpers
    assert public - modules <= set(topologies.__all__)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_only_what_the_design_allows_is_imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        named = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        named += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        for top in (name.split(".")[0] for name in named):
            assert top in sys.stdlib_module_names | {"networkx", "numpy", "yaml", "ClusterShell", "topologies"}, (
                f"{path}:{node.lineno}: {top}"
            )


def test_the_import_is_light():
    code = "import sys, topologies; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"scipy", "pandas", "matplotlib", "ortools", "pydantic", "solver", "yaml", "ClusterShell"} & set(loaded)
