"""XML without its dangers: no entity is expanded, no other file is fetched, and depth and size are limited."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.parsers import expat

from topologies.importers.source import Source

MAX_DEPTH = 100
MAX_ELEMENTS = 500_000


@dataclass(slots=True)
class Element:
    """One element: its name without namespace, attributes, text, children and the line where it starts."""

    tag: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)
    pieces: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """Its own text, stripped."""
        return "".join(self.pieces).strip()

    def all(self, tag: str) -> Iterator[Element]:
        """Its children of that name."""
        return (child for child in self.children if child.tag == tag)

    def find(self, *path: str) -> Element | None:
        """The first descendant along a path of names."""
        here: Element | None = self
        for tag in path:
            here = next(here.all(tag), None) if here else None
        return here

    def value(self, *path: str) -> str:
        """The text at a path; empty where there is none."""
        found = self.find(*path)
        return found.text if found else ""


def parse(source: Source) -> Element:
    """The root element of an XML file.

    A plain DOCTYPE is skipped unread; one that declares entities is refused.

    Raises
    ------
    BadInput: not well-formed, too deep or too large; names the line.
    """
    reader = _Reader(source)
    try:
        reader.parser.Parse(source.text, True)
    except expat.ExpatError as error:
        raise source.error(error.lineno, f"not well-formed XML: {expat.ErrorString(error.code)}") from error
    root = reader.root
    if root is None:
        raise source.error(1, "the XML file holds no element")
    return root


class _Reader:
    """Handlers of the parser, building the tree."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.root: Element | None = None
        self._open: list[Element] = []
        self._count = 0
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.EntityDeclHandler = self._entity

    def _doctype(self, name: str, system: str | None, public: str | None, internal: bool) -> None:
        if internal:
            raise self.source.error(self._line, "the DOCTYPE declares things of its own; only a plain one is read")

    def _entity(self, *declared: object) -> None:
        raise self.source.error(self._line, "the XML file declares an entity; none is expanded")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._count += 1
        if len(self._open) >= MAX_DEPTH or self._count > MAX_ELEMENTS:
            limit = f"{MAX_ELEMENTS:,} elements" if self._count > MAX_ELEMENTS else f"{MAX_DEPTH} levels"
            raise self.source.error(self._line, f"the XML file has more than {limit}")
        element = Element(tag.rpartition(":")[2], attributes, self._line)
        if self._open:
            self._open[-1].children.append(element)
        elif self.root is None:
            self.root = element
        self._open.append(element)

    def _end(self, tag: str) -> None:
        self._open.pop()

    def _characters(self, text: str) -> None:
        if self._open:
            self._open[-1].pieces.append(text)

    @property
    def _line(self) -> int:
        return self.parser.CurrentLineNumber
