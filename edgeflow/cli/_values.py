"""Values on a command line: JSON text, a file of it, or standard input."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, NoReturn

from edgeflow.cli._errors import UsageError


def read_value(text: str, what: str) -> Any:
    """Read `text` if it is JSON, else the file of that name, or stdin for "-".

    Raises:
        UsageError: if there is no JSON; `what` names the argument.
    """
    if text == "-":
        return _parse(_decoded(sys.stdin.buffer.read(), what), f"{what} from stdin")
    try:
        return _parse(text, what)
    except UsageError as error:
        path = Path(text)
        if _is_file(path):
            return _parse(_decoded(_read(path), text), text)
        looks = text.lstrip()[:1]
        if looks in {"{", "[", '"'}:
            raise
        raise UsageError(
            f"{what}: {text!r} is neither JSON nor a file (a string needs its quotes: "
            f"'{json.dumps(text)}')"
        ) from error


def _is_file(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long, or with a null byte
        return False


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _decoded(data: bytes, place: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"{place} is no UTF-8 text: {error}") from error


def _parse(text: str, place: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno} column {error.colno}"
        raise UsageError(f"{place} is no JSON: {error.msg} at {where}") from error
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{place} is no JSON: {error}") from error


def _refuse(constant: str) -> NoReturn:
    msg = f"{constant} is not a number in JSON"
    raise ValueError(msg)
