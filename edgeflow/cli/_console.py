"""Standard output and error of a command: colours, signs, width, a live last line."""

from __future__ import annotations

import io
import os
import shutil
import sys
from contextlib import contextmanager
from threading import RLock
from typing import IO, TYPE_CHECKING, TextIO

from edgeflow.cli._text import cells, cut, to_json

if TYPE_CHECKING:
    from collections.abc import Generator

COLOURS = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "cyan": "36",
}
SIGNS = {
    "pending": ("○", "o", "cyan"),
    "running": ("▸", ">", "cyan"),
    "started": ("▸", ">", "cyan"),
    "suspended": ("◷", "=", "yellow"),
    "retrying": ("↻", "~", "yellow"),
    "blocked": ("■", "#", "red"),
    "undoing": ("↺", "<", "yellow"),
    "completed": ("✓", "+", "green"),
    "failed": ("✗", "x", "red"),
    "cancelled": ("⊘", "-", "dim"),
    "open": ("▸", ">", "cyan"),
    "begun": ("▸", ">", "cyan"),
    "called": ("◷", "=", "yellow"),
    "received": ("↓", "v", "cyan"),
}
ERASE = "\r\x1b[2K"


class Output:
    """One stream, and what may be written to it."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`; what its encoding lacks is written as an escape."""
        self.stream: TextIO = stream
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
        self.tty = stream.isatty()
        self.colours = (
            self.tty
            and not os.environ.get("NO_COLOR")
            and os.environ.get("TERM") != "dumb"
        )
        try:
            "✓│…".encode(stream.encoding or "ascii")
            self.unicode = True
        except (UnicodeEncodeError, LookupError):
            self.unicode = False

    @property
    def width(self) -> int:
        """Columns of the terminal; plenty if it is none."""
        if not self.tty:
            return 10_000
        return shutil.get_terminal_size().columns

    def paint(self, text: str, *styles: str) -> str:
        """Colour text, where colours are wanted."""
        codes = ";".join(COLOURS[style] for style in styles if style)
        if not (self.colours and codes and text):
            return text
        return f"\x1b[{codes}m{text}\x1b[0m"

    def sign(self, status: str) -> str:
        """Give the coloured sign of a status."""
        sign, plain, colour = SIGNS.get(status, ("?", "?", "dim"))
        return self.paint(sign if self.unicode else plain, colour)

    def colour_of(self, status: str) -> str:
        """Give the colour of a status."""
        return SIGNS.get(status, ("", "", "dim"))[2]

    def line(self, text: str = "") -> None:
        """Write a line at once, so that who reads a pipe is not kept waiting."""
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def json(self, value: object) -> None:
        """Write plain JSON on one line."""
        self.line(to_json(value, ascii_only=not self.unicode))


class Live:
    """Standard error with a last line that changes in place, on a terminal."""

    def __init__(self, output: Output) -> None:
        """Write to `output`; while it is no terminal, lines just follow each other."""
        self.output = output
        self._last = ""
        self._lock = RLock()  # steps print from threads
        self._dead = False

    def line(self, text: str) -> None:
        """Write a line above the last one."""
        self.write(f"{text}\n")

    def write(self, text: str) -> None:
        """Write whole lines above the last one."""
        with self._lock:
            self._put(f"{ERASE}{text}{self._last}" if self._last else text)

    def last(self, text: str) -> None:
        """Change the last line; nothing takes it away."""
        if not self.output.tty:
            return
        with self._lock:
            if text != self._last:
                self._put(f"{ERASE}{text}")
                self._last = text

    def _put(self, text: str) -> None:
        if self._dead:
            return
        try:
            self.output.stream.write(text)
            self.output.stream.flush()
        except OSError:  # a closed pipe: nobody looks, and the instance goes on
            self._dead = True


class Above(io.TextIOBase):
    """Stands in for a stream of the process: whole lines go above the live one."""

    def __init__(self, live: Live, stream: TextIO) -> None:
        """Write to `live` what was meant for `stream`."""
        self._live = live
        self._stream = stream
        self._begun = ""

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self._stream.encoding

    @property
    def buffer(self) -> IO[bytes]:
        return self._live.output.stream.buffer

    def fileno(self) -> int:
        return self._live.output.stream.fileno()

    def isatty(self) -> bool:
        return self._live.output.tty

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        lines, newline, rest = (self._begun + text).rpartition("\n")
        self._begun = rest
        if newline:
            self._live.write(lines + newline)
        return len(text)

    def finish(self) -> None:
        """Write what has no end of line."""
        if self._begun:
            self._live.line(self._begun)
            self._begun = ""


class Console:
    """What a command writes to: results on `out`, all else on `err`."""

    def __init__(self) -> None:
        """Use the streams of this process."""
        self.out = Output(sys.stdout)
        self.err = Output(sys.stderr)
        self.live = Live(self.err)

    @contextmanager
    def lent(self) -> Generator[None]:
        """Let foreign code print: to stderr, above the live line; stdout is ours."""
        kept = sys.stdout, sys.stderr
        guests = Above(self.live, kept[0]), Above(self.live, kept[1])
        sys.stdout, sys.stderr = guests
        try:
            yield
        finally:
            sys.stdout, sys.stderr = kept
            for guest in guests:
                guest.finish()
            self.live.last("")


def fit(output: Output, parts: list[tuple[str, str]], *, used: int = 0) -> str:
    """Join (text, style) parts, cut to the width of the terminal less `used`."""
    left, line = output.width - 1 - used, ""
    for text, style in parts:
        shown = cut(text, left)
        left -= cells(shown)
        line += output.paint(shown, style) if style else shown
        if left <= 0:
            break
    return line
