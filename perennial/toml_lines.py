"""
On which line of a TOML text each key, table and array item stands.

`tomllib` gives values without positions. This scan gives positions without values, for text that `tomllib` has already
accepted: so it may assume that the syntax is right, and only has to find keys and skip over values.

>>> lines = key_lines('[a]\\nb = 1\\nc = [\\n  2,\\n  {d = 3},\\n]\\n[[e.f]]\\n"g h" = 4')
>>> lines[("a", "b")], lines[("a", "c", 1, "d")], lines[("e", "f", 0, "g h")]
(2, 5, 8)
"""

from __future__ import annotations

import tomllib
from typing import Final

__all__ = ["Path", "key_lines", "nearest_line"]

Path = tuple[str | int, ...]
_BLANK: Final = " \t\r\n"
_ENDS: Final = ",]}#\r\n"


def key_lines(text: str) -> dict[Path, int]:
    """The line, counted from 1, of every path of `text`, which `tomllib` must accept."""
    return _Scan(text).document()


def nearest_line(lines: dict[Path, int], path: Path) -> int:
    """The line of `path`, or of the closest table around it; 1 when nothing of it is in the text."""
    for length in range(len(path), 0, -1):
        if path[:length] in lines:
            return lines[path[:length]]
    return 1


class _Scan:
    """A cursor over the text that notes where keys are."""

    def __init__(self, text: str) -> None:
        self.text, self.at, self.lines = text, 0, dict[Path, int]()
        self.counts: dict[Path, int] = {}

    def document(self) -> dict[Path, int]:
        table: Path = ()
        while self._skip_blank():
            if self.text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
        return self.lines

    def _here(self) -> int:
        return self.text.count("\n", 0, self.at) + 1

    def _note(self, path: Path, line: int) -> None:
        for length in range(1, len(path) + 1):
            self.lines.setdefault(path[:length], line)

    def _skip_blank(self) -> bool:
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in _BLANK:
                self.at += 1
            else:
                return True
        return False

    def _header(self) -> Path:
        line, many = self._here(), self.text.startswith("[[", self.at)
        self.at += 2 if many else 1
        path = self._resolved(self._key(), last_too=not many)
        if many:
            index = self.counts.get(path, -1) + 1
            self.counts[path] = index
            path = (*path, index)
        self.at = self.text.index("]", self.at) + (2 if many else 1)
        self._note(path, line)
        return path

    def _resolved(self, names: tuple[str, ...], *, last_too: bool) -> Path:
        """Names of a header with the index of the array table that they lie in."""
        path: Path = ()
        for position, name in enumerate(names):
            path = (*path, name)
            if path in self.counts and (last_too or position < len(names) - 1):
                path = (*path, self.counts[path])
        return path

    def _key(self) -> tuple[str, ...]:
        names = []
        while True:
            self._skip_blank()
            start = self.at
            if self.text[self.at] in "\"'":
                self._skip_string()
                names.append(str(tomllib.loads(f"key = {self.text[start : self.at]}")["key"]))
            else:
                while self.text[self.at] not in " \t.=]":
                    self.at += 1
                names.append(self.text[start : self.at])
            self._skip_blank()
            if self.text[self.at] != ".":
                return tuple(names)
            self.at += 1

    def _pair(self, table: Path) -> None:
        line = self._here()
        path = (*table, *self._key())
        self._note(path, line)
        self.at = self.text.index("=", self.at) + 1
        self._value(path)

    def _value(self, path: Path) -> None:
        self._skip_blank()
        first = self.text[self.at]
        if first in "\"'":
            self._skip_string()
        elif first == "[":
            self._array(path)
        elif first == "{":
            self._inline_table(path)
        else:
            while self.at < len(self.text) and self.text[self.at] not in _ENDS:
                self.at += 1

    def _array(self, path: Path) -> None:
        self.at += 1
        index = 0
        while self._skip_blank() and self.text[self.at] != "]":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._note((*path, index), self._here())
            self._value((*path, index))
            index += 1
        self.at += 1

    def _inline_table(self, path: Path) -> None:
        self.at += 1
        while self._skip_blank() and self.text[self.at] != "}":
            if self.text[self.at] == ",":
                self.at += 1
                continue
            self._pair(path)
        self.at += 1

    def _skip_string(self) -> None:
        quote = self.text[self.at]
        mark = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(mark)
        while not self.text.startswith(mark, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(mark)
        if len(mark) == 3:  # up to two quotes may stand right before the closing three
            while self.at < len(self.text) and self.text[self.at] == quote:
                self.at += 1
