"""What processes tell outside of edgeflow: lines that no kill can take back."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

Line: TypeAlias = list[Any]
"""A word that says what it is, and plain JSON."""


class Log:
    """Appends lines; each is with the system when `write` returns."""

    def __init__(self, path: Path) -> None:
        """Go on in this file, or begin it."""
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)

    def write(self, word: str, *values: object) -> None:
        """Append a line, in one piece."""
        os.write(self._file, json.dumps([word, *values]).encode() + b"\n")


def read(path: Path, start: int = 0) -> list[Line]:
    """Give the lines from this byte on."""
    if not path.exists():
        return []
    with path.open("rb") as file:
        file.seek(start)
        return [json.loads(line) for line in file]
