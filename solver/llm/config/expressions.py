"""Regular expressions of module names, matched in time linear in the name whatever a file holds.

An expression is read into the positions between its characters and moved through by sets of positions (Thompson 1968),
each set and character looked up once; so ``(a+)+$`` costs no more than ``a``. Understood are literals, ``.``, classes,
groups, ``|``, ``* + ? {m,n}``, anchors, the escapes of digits, words and spaces, and look-aheads at the start.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from solver.errors import BadInput

Test = Callable[[str], bool]

END = "\0"
"""Stands after the last character of a name, so that ``$`` is a character like others."""
MAX_POSITIONS = 20_000
MAX_SETS = 20_000
MAX_REPEATS = 400
MAX_DEPTH = 60

_CLASSES: dict[str, Test] = {
    "d": str.isdecimal,
    "w": lambda c: c.isalnum() or c == "_",
    "s": str.isspace,
    "D": lambda c: not c.isdecimal() and c != END,
    "W": lambda c: not (c.isalnum() or c == "_" or c == END),
    "S": lambda c: not c.isspace() and c != END,
}


class _Node:
    """A position: moves on a character that passes ``test``, or freely to all of ``free``."""

    __slots__ = ("free", "number", "onward", "test")

    def __init__(self, number: int) -> None:
        self.number = number
        self.test: Test | None = None
        self.onward: _Node | None = None
        self.free: list[_Node] = []


_Piece = tuple[_Node, _Node]


class _Reader:
    """Reads an expression into positions, by recursive descent."""

    def __init__(self, text: str, where: str) -> None:
        self.text, self.where, self.at, self.count, self.depth = text, where, 0, 0, 0
        self.wanted: list[tuple[bool, _Piece]] = []

    def read(self) -> _Piece:
        """Read everything; look-aheads at the start are kept apart in ``wanted``."""
        if self.text.startswith("^"):
            self.at = 1
        while self.text.startswith(("(?!", "(?="), self.at):
            denied = self.text[self.at + 2] == "!"
            self.at += 3
            self.wanted.append((not denied, self._choice()))
            self._take(")")
        piece = self._choice()
        if self.at < len(self.text):
            raise self._bad()
        return piece

    def _choice(self) -> _Piece:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise self._bad()
        branches = [self._sequence()]
        while self.text.startswith("|", self.at):
            self.at += 1
            branches.append(self._sequence())
        self.depth -= 1
        if len(branches) == 1:
            return branches[0]
        start, end = self._new(), self._new()
        for first, last in branches:
            start.free.append(first)
            last.free.append(end)
        return start, end

    def _sequence(self) -> _Piece:
        start = end = self._new()
        while self.at < len(self.text) and self.text[self.at] not in "|)":
            first, last = self._repeated()
            end.free.append(first)
            end = last
        return start, end

    def _repeated(self) -> _Piece:
        begun = self.at
        piece = self._atom()
        while self.at < len(self.text) and self.text[self.at] in "*+?{":
            found = re.compile(r"\{(\d{1,4})(,(\d{0,4}))?\}").match(self.text, self.at)
            if self.text[self.at] == "{" and not found:
                raise self._bad()
            ended = self.at
            if found:
                least = int(found[1])
                most = least if found[2] is None else int(found[3]) if found[3] else None
                self.at = found.end()
            else:
                least, most = {"*": (0, None), "+": (1, None), "?": (0, 1)}[self.text[self.at]]
                self.at += 1
            if max(least, most or 0) > MAX_REPEATS:
                raise self._bad()
            if self.text.startswith(("?", "+"), self.at):
                self.at += 1
            piece = self._times(piece, begun, ended, least, most)
        return piece

    def _times(self, piece: _Piece, begun: int, ended: int, least: int, most: int | None) -> _Piece:
        """Repeat what stands between two places of the text, of which ``piece`` is the first copy."""
        start = end = self._new()
        for number in range(max(least, most or least, 1)):
            first, last = piece if number == 0 else self._copy(begun, ended)
            end.free.append(first)
            if number >= least:
                after = self._new()
                end.free.append(after)
                last.free.append(after)
                last = after
            if most is None and number >= max(least, 1) - 1:
                last.free.append(first)
            end = last
        return start, end

    def _copy(self, begun: int, ended: int) -> _Piece:
        back, self.at = self.at, begun
        piece = self._atom()
        if self.at != ended:
            raise self._bad()
        self.at = back
        return piece

    def _atom(self) -> _Piece:
        char = self.text[self.at]
        self.at += 1
        if char == "(":
            if self.text.startswith("?", self.at):
                named = re.compile(r"\?(?::|P<\w+>|<\w+>)").match(self.text, self.at)
                if not named:
                    raise self._bad()
                self.at = named.end()
            piece = self._choice()
            self._take(")")
            return piece
        if char in "*+?{^":
            raise self._bad()
        start, end = self._new(), self._new()
        start.test, start.onward = self._test(char), end
        return start, end

    def _test(self, char: str) -> Test:
        if char == ".":
            return lambda c: c != END
        if char == "$":
            return END.__eq__
        if char == "[":
            return self._class()
        if char == "\\":
            return self._escaped()
        return char.__eq__

    def _escaped(self) -> Test:
        char = self.text[self.at : self.at + 1]
        self.at += 1
        if char in _CLASSES:
            return _CLASSES[char]
        if not char or char.isalnum():
            raise self._bad()
        return char.__eq__

    def _class(self) -> Test:
        """Read a class: characters, ranges and escapes between brackets."""
        denied = self.text.startswith("^", self.at)
        self.at += denied
        tests: list[Test] = []
        first = True
        while first or not self.text.startswith("]", self.at):
            if self.at >= len(self.text):
                raise self._bad()
            char = self.text[self.at]
            self.at += 1
            first = False
            if char == "\\":
                tests.append(self._escaped())
            elif self.text.startswith("-", self.at) and self.text[self.at + 1 : self.at + 2] not in ("", "]"):
                low, high = char, self.text[self.at + 1]
                self.at += 2
                tests.append(lambda c, low=low, high=high: low <= c <= high)  # type: ignore[misc]
            else:
                tests.append(char.__eq__)
        self.at += 1
        return lambda c: c != END and any(test(c) is True for test in tests) != denied

    def _take(self, char: str) -> None:
        if not self.text.startswith(char, self.at):
            raise self._bad()
        self.at += 1

    def _new(self) -> _Node:
        self.count += 1
        if self.count > MAX_POSITIONS:
            raise self._bad()
        return _Node(self.count)

    def _bad(self) -> BadInput:
        begun = max(min(self.at, len(self.text)) - 1, 0)
        shown, near = f"re:{self.text[:57]}", self.text[begun : begun + 10]
        return BadInput(f"{self.where}: module pattern {shown!r} is not understood at {near!r}")


class _Machine:
    """Moves through the positions of one piece; what a set of positions becomes is looked up once."""

    def __init__(self, piece: _Piece) -> None:
        self.last = piece[1]
        self.start = self._reach([piece[0]])
        self.moves: dict[tuple[frozenset[_Node], str], frozenset[_Node]] = {}

    def run(self, name: str) -> bool:
        """Whether the piece matches from the start of a name."""
        here = self.start
        for char in name + END:
            if self.last in here:
                return True
            step = (here, char)
            if step not in self.moves:
                if len(self.moves) > MAX_SETS:
                    self.moves.clear()
                ahead = [n.onward for n in here if n.test is not None and n.onward is not None and n.test(char) is True]
                self.moves[step] = self._reach(ahead)
            here = self.moves[step]
            if not here:
                return False
        return self.last in here

    @staticmethod
    def _reach(nodes: list[_Node]) -> frozenset[_Node]:
        found: set[_Node] = set()
        waiting = list(nodes)
        while waiting:
            node = waiting.pop()
            if node not in found:
                found.add(node)
                waiting.extend(node.free)
        return frozenset(found)


_TOKEN = re.compile(r"\{[\d,]*\}|\\.|\[\^?\]?[^\]]*\]|[()|*+?{}.^$]|[^\\\[()|*+?{}.^$]")


def _literals(text: str) -> list[str]:
    """Return the runs of literal text that every match must contain, the first from its start if it starts with one."""
    runs, depth = [""], 0
    tokens = _TOKEN.findall(text)
    for token, after in zip(tokens, [*tokens[1:], ""], strict=True):
        depth += (token == "(") - (token == ")")
        if token == "|" and depth == 0:
            return [""]
        char = token[1:] if token[0] == "\\" and not token[1:].isalnum() else token
        if depth == 0 and len(char) == 1 and char not in "()" and (token[0] == "\\" or token not in "*+?{}.^$|"):
            if after[:1] in ("*", "?", "{"):
                runs.append("")
            else:
                runs[-1] += char
        elif token != "^":
            runs.append("")
    return runs


class NamePattern:
    """A regular expression that matches from the start of a name and need not reach its end, as ``re.match`` does.

    Attributes
    ----------
    start: literal text that it starts with.
    anywhere: it starts with a wildcard, so that what stands before a name does not matter.

    >>> NamePattern("layers[.](?:[3-9]|[1-6][0-9])[.]mlp", "f").matches("layers.42.mlp.gate")
    True
    """

    def __init__(self, text: str, where: str) -> None:
        reader = _Reader(text, where)
        piece = reader.read()
        self.machine = _Machine(piece)
        literals = _literals(text)
        self.start, self.needed = literals[0], max(literals, key=len)
        self.anywhere = text.removeprefix("^").startswith((".*", ".+"))
        self.wanted = [(demanded, _Machine(ahead)) for demanded, ahead in reader.wanted]

    def matches(self, name: str) -> bool:
        """Whether it matches."""
        if self.needed not in name or not name.startswith(self.start):
            return False
        if any(ahead.run(name) != demanded for demanded, ahead in self.wanted):
            return False
        return self.machine.run(name)
