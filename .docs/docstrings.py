"""Docstrings as the packages write them, for mkdocstrings: roles become links, sections lists, examples and tables code.

A role whose target a page shows becomes a link (an attribute's to its class), one whose target exists without a page
stays code, and one that names nothing becomes a link to nothing, which fails a strict build.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from pydoc import locate

import griffe

ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):`([\w.]+)`")
SECTION = re.compile(r"^(Attributes|Parameters|Raises|Returns)\n-+\n((?:.+\n?)+)", re.MULTILINE)
ENTRY = re.compile(r"^(\w+(?:, \w+)*): ", re.MULTILINE)
TABLE = re.compile(r"^=+ +=[= ]*(?:\n.+)+", re.MULTILINE)
EXAMPLE = re.compile(r"^>>> .+(?:\n.+)*", re.MULTILINE)
PAGES = Path(__file__).parent / "pages"


class Docstrings(griffe.Extension):
    """Rewrites every docstring of a package once it is loaded."""

    def __init__(self) -> None:
        self._shown = dict(_shown())

    def on_package(self, *, pkg: griffe.Module, **_: object) -> None:
        """Rewrite the docstrings of a package."""
        for owner in _objects(pkg):
            if owner.docstring is not None:
                owner.docstring.value = self._markdown(owner.docstring.value, owner)

    def _markdown(self, text: str, owner: griffe.Object) -> str:
        """A docstring as Markdown."""

        def section(found: re.Match[str]) -> str:
            name = ":class:`\\1`" if found[1] == "Raises" else r"`\1`"
            return f"**{found[1]}**\n\n{ENTRY.sub(f'- {name}: ', found[2])}"

        for language, block in (("pycon", EXAMPLE), ("text", TABLE)):
            text = block.sub(rf"```{language}\n\g<0>\n```\n", text)
        text = SECTION.sub(section, text)
        return ROLE.sub(lambda role: self._reference(role[1], owner), text)

    def _reference(self, name: str, owner: griffe.Object) -> str:
        """A role as Markdown."""
        path = _path(name, owner)
        if path is None:
            return f"[`{name}`][{name}]"
        outer = path.rpartition(".")[0]
        page = self._shown.get(path) or (isinstance(locate(outer), type) and self._shown.get(outer))
        return f"[`{name}`][{page}]" if page else f"`{name}`"


def _shown() -> Iterator[tuple[str, str]]:
    """What the pages show: the full name by which it is defined or shown, and the one by which it is shown."""
    for page in PAGES.glob("*.md"):
        for name in re.findall(r"^::: ([\w.]+)$", page.read_text(encoding="utf-8"), re.MULTILINE):
            yield name, name
            for inner in getattr(locate(name), "__all__", ()):
                shown = f"{name}.{inner}"
                yield shown, shown
                yield _defined(locate(shown), shown), shown


def _objects(owner: griffe.Object) -> Iterator[griffe.Object]:
    """An object and all that is defined in it."""
    yield owner
    for member in owner.members.values():
        if not member.is_alias:
            yield from _objects(member)


def _path(name: str, owner: griffe.Object) -> str | None:
    """Full name of what a role names, sought outwards from where it stands, and last among the errors, which may come
    from further in."""
    scope: griffe.Object | None = owner
    while scope is not None:
        if path := _inside(name.split("."), scope):
            return path
        scope = scope.parent
    for path in (name, f"solver.errors.{name}"):
        value = locate(path)
        if value is not None:
            return _defined(value, path)
    return None


def _inside(names: list[str], scope: griffe.Object) -> str | None:
    """Full name of a member of a member ..., fields that Python sees only in instances too."""
    found: griffe.Object | griffe.Alias = scope
    try:
        for name in names:
            found = found.all_members[name]
        return found.canonical_path
    except (KeyError, griffe.AliasResolutionError):
        return None


def _defined(value: object, name: str) -> str:
    """Full name of a class or function where it is defined; of anything else, the name that led to it."""
    return f"{value.__module__}.{value.__qualname__}" if hasattr(value, "__qualname__") else name
