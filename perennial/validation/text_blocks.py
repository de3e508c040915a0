"""A byte stream cut into blocks of whole lines; lines beyond the limit are refused without being held."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from perennial.validation.blocks import FileRejected, Refused, shown
from perennial.validation.outcome import Limits
from perennial.validation.sources import ByteStream

__all__ = ["Piece", "TextBlocks"]

_UTF8_MARK = b"\xef\xbb\xbf"
_OTHER_MARKS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16", b"\x00\x00\xfe\xff": "UTF-32"}


@dataclass(frozen=True)
class Piece:
    """Whole lines, valid until the next piece is asked for; or one line that was too long, `refused`."""

    content: bytearray
    final: bool = False
    refused: Refused | None = None


class TextBlocks:
    """Iterates over pieces of a stream; what a reader does not take of a piece comes again with the next one."""

    def __init__(self, stream: ByteStream, limits: Limits) -> None:
        self._stream, self._limits, self._room = stream, limits, bytes(limits.block_bytes)
        self._rest = bytearray()
        self._ended = False
        self._held = bytearray()
        self._fill()
        for mark, name in _OTHER_MARKS.items():
            if self._rest.startswith(mark) or (
                name == "UTF-16" and self._rest[1:2] == b"\0" and self._rest[3:4] == b"\0"
            ):
                raise FileRejected("encoding", f"the file must be UTF-8. Got {name} instead")
        if self._rest.startswith(_UTF8_MARK):
            del self._rest[:3]

    def first_line(self) -> bytes | None:
        """
        The first line that is not blank, without its end; None if there is none.

        Raises
        ------
        FileRejected
            It is too long, or lines end in lone carriage returns.
        """
        while self._rest:
            end = self._rest.find(b"\n")
            if end < 0 and not self._ended:
                raise FileRejected("header", f"the header must have at most {self._limits.max_line_bytes} bytes")
            line = bytes(self._rest[: end if end >= 0 else None])
            if b"\r" in line.rstrip(b"\r"):
                raise FileRejected("line_ends", "lines must end in LF or CRLF. Got lone carriage returns instead")
            if len(line) > self._limits.max_line_bytes:
                raise FileRejected("header", f"the header must have at most {self._limits.max_line_bytes} bytes")
            del self._rest[: end + 1 if end >= 0 else len(self._rest)]
            if line.strip(b" \t\r"):
                return line
        return None

    def peek(self, size: int) -> bytes:
        """The first whole lines of what comes next."""
        head = bytes(self._rest[:size])
        return head[: head.rfind(b"\n") + 1] if len(self._rest) > size else head

    def give_back(self, piece: Piece, taken: int) -> None:
        """Say that only the first `taken` bytes of the last piece were used."""
        if piece.content is not self._held:
            raise ValueError("only the last piece can be given back: the next one begins where it ended")
        self._rest = self._held[taken:] + self._rest

    def __iter__(self) -> Iterator[Piece]:
        while True:
            self._fill()
            if not self._rest:
                return
            if self._ended:
                self._held, self._rest = self._rest, bytearray()
                yield Piece(self._held, final=True)
                continue
            cut = self._rest.rfind(b"\n") + 1
            if not cut and len(self._rest) > self._limits.max_line_bytes:
                yield Piece(bytearray(), refused=self._skip_line())
                continue
            self._held = self._rest
            self._rest = self._held[cut:]
            del self._held[cut:]
            yield Piece(self._held)

    def _fill(self) -> None:
        """Read on until there is a block, and a line end, or the stream is over, or the line is too long."""
        while not self._ended:
            held = len(self._rest)
            self._rest.extend(self._room)
            with memoryview(self._rest) as view:
                got = self._stream.read_into(view[held:])
            del self._rest[held + got :]
            self._ended = got < len(self._room)
            if len(self._rest) > self._limits.max_line_bytes or b"\n" in self._rest:
                return

    def _skip_line(self) -> Refused:
        """Drop the rest of a line that has no end within the limit."""
        text = shown(bytes(self._rest[: 4 * self._limits.max_text_characters]), self._limits.max_text_characters)
        while True:
            end = self._rest.find(b"\n")
            if end >= 0:
                del self._rest[: end + 1]
                break
            self._rest.clear()
            if self._ended:
                break
            self._fill()
        return Refused(0, f"row must have at most {self._limits.max_line_bytes} bytes", text)
