"""topologies/README.md says what the schema says, and its cluster of one's own is one."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import topologies
from topologies.schema import FABRICS, JOINS, KINDS, LATENCY_S, LINK_ATTRIBUTES, VERTEX_ATTRIBUTES, Attribute

ROOT = Path(topologies.__file__).parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")


def row(name: str, attribute: Attribute) -> str:
    everything = {KINDS: "every vertex", FABRICS: "every link"}
    owners = everything.get(attribute.owners, ", ".join(attribute.owners))
    default = {"...": "required", "None": "derived", "''": '`""`'}.get(
        "..." if attribute.default is ... else repr(attribute.default), f"`{attribute.default!r}`"
    )
    kind = f"{attribute.type}, {attribute.unit}" if attribute.unit else attribute.type
    return f"| `{name}` | {owners} | {kind} | {default} | {attribute.meaning} |"


def test_the_tables_are_the_schema() -> None:
    known = VERTEX_ATTRIBUTES | LINK_ATTRIBUTES
    assert re.findall(r"^\| `[a-z_]+` \| [^|]+ \| [^|]+ \| [^|]+ \| .*$", TEXT, flags=re.MULTILINE) == [
        row(name, attribute) for name, attribute in known.items()
    ]


def test_fabrics_join_what_they_may() -> None:
    for fabric in FABRICS:
        pairs = sorted(" - ".join(sorted(kinds) * (3 - len(kinds))) for kinds in JOINS[fabric])
        assert f"| `{fabric}` | {'; '.join(pairs)} | {LATENCY_S[fabric] * 1e6:g} us |" in TEXT


def test_a_cluster_of_one_s_own_is_drawn_as_printed() -> None:
    (source,), (drawn,) = (
        re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL) for language in ("python", "text")
    )
    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        exec(source, {})
    assert told.getvalue().strip() == drawn.strip()


def test_the_rooms_are_all_there_are() -> None:
    table = TEXT.split("## The rooms")[1]
    named = {name.rstrip("/") for name in re.findall(r"`([\w./]+)`", table)}
    there = {path.name for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    minor = {"__init__.py", "__pycache__", "errors.py", "naming.py", "units.py", "views.py"}
    assert named == there - minor
