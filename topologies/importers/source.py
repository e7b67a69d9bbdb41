"""A file as text, with its name and lines for what is said about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from topologies.errors import BadInput

MAX_BYTES = 64 * 2**20
"""Largest file that is read [bytes]: some 200,000 InfiniBand ports."""
MAX_LINE = 100_000
MAX_NAME = 253
"""Longest name of a host, a switch or a domain [letters]: that of a name in the DNS."""

_COLOUR = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028\u2029]")


@dataclass(frozen=True)
class Source:
    """The text of one file.

    Attributes
    ----------
    name: the path as it was given.
    text: without the codes by which terminals underline and colour.
    folder: where files lie that it names.

    >>> str(Source("hosts.txt", "").error(3, "no such switch"))
    'hosts.txt:3: no such switch'
    """

    name: str
    text: str
    folder: Path | None = None

    @classmethod
    def of(cls, path: str | Path) -> Source:
        """Read a file.

        Raises
        ------
        BadInput: it cannot be read, is too large, or is not text.
        """
        name = "".join(letter if letter.isprintable() else "?" for letter in str(path))
        try:
            with Path(path).open("rb") as file:
                data = file.read(MAX_BYTES + 1)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise BadInput(f"cannot read {name!r}: {reason}") from error
        if len(data) > MAX_BYTES:
            raise BadInput(f"{name}: the file is larger than {MAX_BYTES / 2**20:.0f} MiB, the most that is read")
        return cls.parse(name, data, Path(path).parent)

    @classmethod
    def parse(cls, name: str, data: bytes, folder: Path | None = None) -> Source:
        """The text of some bytes, which must be UTF-8 without control codes."""
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise BadInput(f"{name}:1: the file is UTF-16; save it as UTF-8")
        try:
            text = _COLOUR.sub("", data.decode("utf-8-sig"))
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise BadInput(f"{name}:{line}: not UTF-8 text (byte 0x{data[error.start]:02x})") from error
        text = text.replace("\r\n", "\n").replace("\r", "\n")
        if found := _CONTROL.search(text):
            line = text.count("\n", 0, found.start()) + 1
            raise BadInput(f"{name}:{line}: not a text file (control code U+{ord(found[0]):04X})")
        if not text.strip():
            raise BadInput(f"{name}: the file is empty")
        return cls(name, text, folder)

    @property
    def stem(self) -> str:
        """The name without folder and endings."""
        return Path(self.name).name.split(".")[0] or "host0"

    def lines(self) -> Iterator[tuple[int, str]]:
        """Lines with their numbers from 1; one that no tool would write is an error."""
        for number, line in enumerate(self.text.split("\n"), start=1):
            if len(line) > MAX_LINE:
                raise self.error(number, f"the line has {len(line):,} letters; {MAX_LINE:,} is the most")
            yield number, line

    @property
    def last_line(self) -> int:
        """Number of the last line that holds anything."""
        return self.text.rstrip().count("\n") + 1

    def error(self, line: int | None, message: str) -> BadInput:
        """What is wrong with a line, ready to be raised."""
        return BadInput(f"{self.where(line)}: {' '.join(message.split())}")

    def name_at(self, line: int | None, name: str) -> str:
        """A name that the file gives to something, which must be one line that people can read."""
        if not name or len(name) > MAX_NAME or not name.isprintable():
            raise self.error(line, f"{name[:60]!r} is no name: 1 to {MAX_NAME} printable letters are")
        return name

    def where(self, line: int | None) -> str:
        """The file, and the line where it is known."""
        return f"{self.name}:{line}" if line else self.name
