"""Reading test: with ``solver/README.md`` alone a newcomer adds a rule, a family; three such changes are replayed.

Each happens on a copy of the project and may touch nothing but the files that its row of the README names; the copied test
passes there with the change, and fails without it.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from test_floors import FLOORS

ROOT = Path(__file__).parents[1]
README = ROOT / "solver" / "README.md"
TEXT = README.read_text(encoding="utf-8")
Edit = Callable[[str], str]


def rows() -> dict[str, list[str]]:
    """The files that each row of the table names, those of its test too."""
    table = TEXT.split("## Where to add what")[1].split("\n## ")[0]
    found = re.findall(r"^\| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", table, flags=re.MULTILINE)
    return {
        what: [path for path in re.findall(r"`([\w./-]+)`", files + test) if "/" in path]
        for what, files, test in found
        if what != "What"
    }


@pytest.mark.parametrize("what", rows())
def test_every_file_that_a_row_names_is_there(what: str) -> None:
    assert len(rows()[what]) >= 2
    for path in rows()[what]:
        assert (ROOT / path).is_file(), path
    assert any(path.startswith("tests/") for path in rows()[what])


def test_the_floors_that_are_drawn_are_those_that_are_tested() -> None:
    drawn = re.findall(r"^\| (\d+) \| ([^|]+) \|", TEXT, flags=re.MULTILINE)
    rooms = {room: int(floor) for floor, names in drawn for room in re.findall(r"`(\w+)`", names)}
    assert rooms == {room or "__init__": floor for room, floor in FLOORS.items()}


def test_modules_that_are_named_exist() -> None:
    """``layout.search`` and the like, in the life of a scenario, lie in the room that was named before."""
    life = TEXT.split("## The life of a scenario")[1].split("\n## ")[0]
    modules = {
        str(path.relative_to(ROOT).with_suffix("")).replace("/", ".") for path in (ROOT / "solver").rglob("*.py")
    }
    modules |= {name.removesuffix(".__init__") for name in modules}
    assert len(re.findall(r"^\d+\. ", life, flags=re.MULTILINE)) == 10
    for name in re.findall(r"`([a-z_.]+)`", life):
        assert any(re.search(rf"\.{re.escape(name)}(\.|$)", module) for module in modules), name
    assert any(module.endswith("workload.scenario") for module in modules)


class Newcomer:
    """A copy of the project, and edits to the files that one row of the README names."""

    def __init__(self, folder: Path, what: str) -> None:
        self._folder = folder
        self._allowed = rows()[what]
        self._env = os.environ | {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1"}
        for name in ("solver", "topologies", "tests"):
            shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".pytest_cache"))
        told = "import solver; print(solver.__file__)"
        where = subprocess.run([sys.executable, "-c", told], cwd=folder, env=self._env, capture_output=True, text=True)
        assert Path(where.stdout.strip()).is_relative_to(folder), where.stderr

    def edits(self, path: str, edit: Edit) -> None:
        """Change a file that the README names."""
        assert path in self._allowed, f"{path} is not named"
        file = self._folder / path
        before = file.read_text(encoding="utf-8")
        file.write_text(edit(before), encoding="utf-8")
        assert file.read_text(encoding="utf-8") != before, f"{path}: nothing changed"

    def passes(self, *arguments: str) -> bool:
        """Whether tests pass on the copy; the first that fails decides."""
        command = [sys.executable, "-m", "pytest", "-qx", "-n", "0", "--import-mode=importlib", "-p", "no:cacheprovider"]
        ran = subprocess.run([*command, *arguments], cwd=self._folder, env=self._env, capture_output=True, text=True)
        assert ran.returncode in (0, 1), ran.stdout + ran.stderr
        return ran.returncode == 0


def appended(text: str) -> Edit:
    return lambda before: before + text


def inserted(after: str, text: str) -> Edit:
    """A text behind the first place where another ends."""

    def edit(before: str) -> str:
        assert after in before, f"{after!r} is not there"
        head, _, tail = before.partition(after)
        return head + after + text + tail

    return edit


def replays(newcomer: Newcomer, test: Sequence[str], package: dict[str, Edit], tests: dict[str, Edit]) -> None:
    """The test fails while only it was added, and passes once the package has what it is about."""
    for path, edit in tests.items():
        newcomer.edits(path, edit)
    assert not newcomer.passes(*test)
    for path, edit in package.items():
        newcomer.edits(path, edit)
    assert newcomer.passes(*test)


def test_a_toy_engine_rule(tmp_path: Path) -> None:
    """An engine that does not like seven stages."""
    rule = {
        "name": "toy: seven stages",
        "scope": "replica",
        "when": "pp == 7",
        "because": "the toy engine cannot count to seven",
        "consequence": "refuses",
        "source": "a toy",
    }
    replays(
        Newcomer(tmp_path, "a rule of an engine"),
        ["tests/engines/test_rules.py"],
        {
            "solver/engines/vllm.json": inserted('"rules": [\n', json.dumps(rule) + ",\n"),
            "solver/check/engines/start.py": inserted(
                "def _vllm(asked: Asked) -> Iterator[str]:\n",
                '    if asked.degrees.pp == 7:\n        yield "it cannot count to seven"\n',
            ),
        },
        {
            "tests/engines/layouts.py": inserted(
                "VLLM = [\n", '    Edge("vllm", "toy: seven stages", DENSE, {"pp": 7}, {"pp": 6}),\n'
            )
        },
    )


RULE = """

@rule("few replicas", "no pool has more than two replicas")
def few_replicas(program: LayoutProgram) -> Iterator[Demand]:
    for choice in program.choices:
        yield at_most(choice.replicas, 2)
"""
ITS_TEST = """

def test_few_replicas() -> None:
    market = tiny_market()
    columns = [tiny_column(market, high=4)]
    assert cuts_off(rules.few_replicas, market, columns, lambda v: v["replicas.0"] <= 2) == {"replicas.0"}
"""


def test_a_toy_rule_of_the_program(tmp_path: Path) -> None:
    """Pools of at most two replicas."""
    listed = "solver/optimize/layout/rules/__init__.py"
    newcomer = Newcomer(tmp_path, "a rule of the layout program")
    replays(
        newcomer,
        ["tests/optimize/layout/rules"],
        {
            "solver/optimize/layout/rules/pools.py": appended(RULE),
            listed: lambda before: inserted("RULES: tuple[Rule, ...] = (\n", "    few_replicas,\n")(
                before.replace("import bands, one_column", "import bands, few_replicas, one_column")
            ),
        },
        {"tests/optimize/layout/rules/test_pools.py": appended(ITS_TEST)},
    )
    newcomer.edits(listed, lambda before: before.replace("    few_replicas,\n", "", 1))
    assert not newcomer.passes("tests/optimize/layout/rules/test_every_rule.py")


CONFIG = {
    "model_type": "toyformer",
    "architectures": ["ToyFormerForCausalLM"],
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "num_hidden_layers": 2,
    "vocab_size": 100,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}


def test_a_toy_family_of_llms(tmp_path: Path) -> None:
    """Grouped queries of four heads over two, a gated FFN, RMS norms: counted by hand."""
    layer = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64
    counted = [2 * layer + 2 * 100 * 64 + 64, CONFIG]
    replays(
        Newcomer(tmp_path, "a family of LLMs"),
        ["tests/llm/test_published_implementations.py", "tests/llm/test_families.py"],
        {
            "solver/llm/config/families/dense.py": inserted(
                "DENSE: dict[str, Family] = {\n", '    "toyformer": Family(LLAMA, MLP_BIASED),\n'
            )
        },
        {
            "tests/llm/published_implementations.json": lambda before: json.dumps(
                json.loads(before) | {"toyformer": counted}
            )
        },
    )
