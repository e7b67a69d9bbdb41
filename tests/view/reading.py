"""What is on a page, read with the standard library's parser."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from typing import Any

VOID = {"meta", "link", "br", "input", "img"}


@dataclass
class Element:
    """An element with its attributes, its text and its children."""

    name: str
    attributes: dict[str, str | None]
    children: list[Element] = field(default_factory=list)
    own: list[str] = field(default_factory=list)

    def __iter__(self) -> Iterator[Element]:
        """The element and everything below it."""
        yield self
        for child in self.children:
            yield from child

    def find(self, name: str, **attributes: str) -> Iterator[Element]:
        """Elements of a name with these attributes."""
        for element in self:
            if element.name == name and all(element.attributes.get(k) == v for k, v in attributes.items()):
                yield element

    def one(self, name: str, **attributes: str) -> Element:
        """The only such element."""
        (found,) = self.find(name, **attributes)
        return found

    @property
    def text(self) -> str:
        """All text, own text first."""
        return " ".join([*self.own, *(child.text for child in self.children)]).strip()

    @property
    def classes(self) -> list[str]:
        return (self.attributes.get("class") or "").split()


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.path = [Element("document", {})]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, dict(attrs))
        self.path[-1].children.append(element)
        if tag not in VOID:
            self.path.append(element)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.path[-1].children.append(Element(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.path[-1].name == tag, f"</{tag}> closes <{self.path[-1].name}>"
        self.path.pop()

    def handle_data(self, data: str) -> None:
        self.path[-1].own.append(data)


@cache
def read(page: str) -> Element:
    """The page as a tree; fails where an element is closed by the end of another."""
    reader = _Reader()
    reader.feed(page)
    reader.close()
    assert len(reader.path) == 1, f"never closed: {[element.name for element in reader.path[1:]]}"
    return reader.path[0]


def data_of(page: Element) -> dict[str, Any]:
    """What the page's script knows."""
    return json.loads(page.one("script", id="data").text)


def cells(root: Element) -> dict[int, Element]:
    """Devices drawn below an element, by their number."""
    return {int(e.attributes["data-i"] or ""): e for e in root.find("g") if "data-i" in e.attributes}
