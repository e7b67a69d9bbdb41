"""Imports run one way: no cycle between modules, and none between the folders and files that lie side by side in a room.

Imports inside functions and under ``TYPE_CHECKING`` count, so nothing is hidden by putting it off.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("solver", "topologies")
#: Formulas for readers and notebooks, each with a test against published figures; some are called by nothing else.
FORMULAS = ("solver.economics", "solver.training.activations")


def module_of(path: Path) -> str:
    """``solver/llm/__init__.py`` is ``solver.llm``."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


MODULES = {module_of(path): path for package in PACKAGES for path in (ROOT / package).rglob("*.py")}


def imported(source: str, modules: dict[str, Path]) -> Iterator[str]:
    """Modules of ours that a source names in its imports; ``from a import b`` is ``a.b`` where that is a module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in modules)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                target = full if full in modules else node.module
                if target in modules:
                    yield target


def import_graph() -> nx.DiGraph[str]:
    """An edge from every module to those that it imports."""
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(MODULES)
    for module, path in MODULES.items():
        found = imported(path.read_text(encoding="utf-8"), MODULES)
        graph.add_edges_from((module, other) for other in found if other != module)
    return graph


GRAPH = import_graph()
FOLDERS = sorted(module for module, path in MODULES.items() if path.name == "__init__.py")


def side_by_side(folder: str) -> nx.DiGraph[str]:
    """The graph among what lies in a folder: its files, and each folder in it as one vertex."""
    depth = folder.count(".") + 2
    graph: nx.DiGraph[str] = nx.DiGraph()
    for start, end in GRAPH.edges:
        if all(module == folder or module.startswith(f"{folder}.") for module in (start, end)):
            one, other = (".".join(module.split(".")[:depth]) for module in (start, end))
            if one != other:
                graph.add_edge(one, other)
                graph.edges[one, other].setdefault("imports", []).append(f"{start} imports {end}")
    return graph


def cycles(graph: nx.DiGraph[str]) -> list[list[str]]:
    """Sets of vertices that reach each other."""
    return [sorted(part) for part in nx.strongly_connected_components(graph) if len(part) > 1]


def test_no_module_imports_itself_by_way_of_others() -> None:
    assert cycles(GRAPH) == []


@pytest.mark.parametrize("folder", [folder for folder in FOLDERS if folder not in PACKAGES])
def test_what_lies_side_by_side_imports_one_way(folder: str) -> None:
    graph = side_by_side(folder)
    for members in cycles(graph):
        edges = graph.subgraph(members).edges(data="imports")
        pytest.fail("\n".join(line for _, _, lines in edges for line in lines))


def test_a_cycle_would_be_seen() -> None:
    modules = dict.fromkeys(["a", "a.b", "a.c"], ROOT)
    hidden = "def f():\n    from a import c\n    import a.b\n"
    assert sorted(imported(hidden, modules)) == ["a.b", "a.c"]
    assert cycles(nx.DiGraph([("a", "b"), ("b", "c"), ("c", "a"), ("c", "d")])) == [["a", "b", "c"]]
    assert len(GRAPH) > 400
    assert GRAPH.has_edge("solver.cli", "solver.cli.solve")


def test_the_optimiser_reads_as_one_line() -> None:
    """solve -> confidence -> feedback -> assembly -> layout -> arithmetic; training beside it uses the mapping of layouts."""
    order = [f"solver.optimize.{name}" for name in ("solve", "confidence", "feedback", "assembly", "layout", "arithmetic")]
    rooms = side_by_side("solver.optimize")
    assert set(rooms["solver.optimize.training"]) == {"solver.optimize.layout"}
    rooms.remove_node("solver.optimize.training")
    assert list(nx.topological_sort(rooms)) == order


def test_the_longest_chain_of_imports_is_no_longer_than_it_was() -> None:
    """Every link is a module that must be understood before the one before it; it had 45 when this was written."""
    chain = nx.dag_longest_path(GRAPH)
    assert len(chain) <= 49, " -> ".join(chain)


def named(tree: ast.Module) -> Iterator[str]:
    """Names that a module uses, as names, attributes or in imports under another name; its docstrings do not count."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.name for alias in node.names if alias.asname is not None)


def offered(tree: ast.Module) -> Iterator[str]:
    """What a module lists in ``__all__``."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            yield from ast.literal_eval(node.value)


def test_nothing_lies_idle() -> None:
    """Every function and class is used by another module or its own, offered in ``__all__``, a command, or a notebook's."""
    trees = {module: ast.parse(path.read_text(encoding="utf-8")) for module, path in MODULES.items()}
    used = Counter(name for tree in trees.values() for name in [*named(tree), *offered(tree)])
    notebooks = " ".join(path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    idle = [
        f"{module}.{node.name}"
        for module, tree in trees.items()
        if not module.startswith(FORMULAS)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not used[node.name]
        and not node.name.startswith("__")
        and not (isinstance(node, ast.FunctionDef) and any(isinstance(d, ast.Call) for d in node.decorator_list))
        and not re.search(rf"\b{node.name}\b", notebooks)
    ]
    assert idle == []


#: Folders of tests that are about the whole, and not about one room.
OVERALL = {"benchmarks", "fuzz", "laws", "notebooks", "references"}


def test_tests_mirror_the_packages() -> None:
    """Every room has tests of its own, and a folder of tests lies where its subject lies."""
    tests = ROOT / "tests"
    folders = {path.relative_to(tests) for path in tests.rglob("*/") if path.name != "__pycache__"}
    rooms = {Path(p.name) for p in (ROOT / "solver").iterdir() if (p / "__init__.py").exists()}
    assert rooms <= folders
    assert all(any((tests / room).rglob("test_*.py")) for room in rooms)
    for folder in folders:
        if folder.parts[0] not in OVERALL | {"topologies"}:
            assert (ROOT / "solver" / folder / "__init__.py").exists(), f"tests/{folder} has no subject"


def test_no_two_classes_share_a_name() -> None:
    """A class without an underscore means one thing in the whole house."""
    met: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                met.setdefault(node.name, []).append(module)
    assert {name: places for name, places in met.items() if len(places) > 1} == {}
