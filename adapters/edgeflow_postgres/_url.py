"""`postgres://user:password@host:port/database?ns=…&pool=…`, and what libpq knows."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypedDict
from urllib.parse import unquote_plus

from edgeflow.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIXES = ("postgres://", "postgresql://")
_ALLOWED = "ns=<namespace>, pool=<connections>, timeout=<seconds> and hints=on|off"
# Up to the first "@", says libpq, if no "/" comes before it: "?" may.
_OWNER = re.compile(r"(?<=://)[^/@]*@")
_CREDENTIALS = re.compile(r"(?<=://).*@", re.DOTALL)


class Options(TypedDict, total=False):
    """What the query of a URL may set for us."""

    namespace: str
    pool: int
    timeout: float
    hints: bool


def parse(url: str) -> tuple[str, Options]:
    """Take our options out; the rest of the URL goes to libpq as it is.

    Raises:
        ConfigError: if it has another scheme, or one of our options is bad.
    """
    check(url)
    owner = _OWNER.search(url)
    start = owner.end() if owner else 0
    place, _, query = url[start:].partition("?")
    address = url[:start] + place
    ours: dict[str, str] = {}
    theirs: list[str] = []
    for pair in query.split("&") if query else []:
        key, _, value = pair.partition("=")
        if key in {"ns", "pool", "timeout", "hints"}:
            ours[key] = unquote_plus(value)
        else:
            theirs.append(pair)
    rest = f"?{'&'.join(theirs)}" if theirs else ""
    return address + rest, _options(shown(url), ours)


def check(url: str) -> None:
    """Refuse what names no PostgreSQL database.

    Raises:
        ConfigError: if the scheme is another one.
    """
    if not url.startswith(PREFIXES):
        raise ConfigError(
            f"store {shown(url)!r}: write postgres://user@host:5432/database"
        )


def shown(url: str) -> str:
    """Name the database without user, password and options, for errors and logs."""
    if "://" not in url:
        return "…"  # whatever it is, there may be a password in it
    place, _, _ = _OWNER.sub("", url, count=1).partition("?")
    return _CREDENTIALS.sub("", place)


def _options(name: str, given: Mapping[str, str]) -> Options:
    options: Options = {}
    if "ns" in given:
        options["namespace"] = given["ns"]
    if "pool" in given:
        options["pool"] = int(_number(name, "pool", given["pool"], r"\d+"))
    if "timeout" in given:
        options["timeout"] = _number(name, "timeout", given["timeout"], r"\d*\.?\d+")
    if "hints" in given:
        if given["hints"] not in {"on", "off"}:
            raise _bad(name, "hints", given["hints"])
        options["hints"] = given["hints"] == "on"
    return options


def _number(name: str, key: str, text: str, form: str) -> float:
    if not re.fullmatch(form, text, re.ASCII):
        raise _bad(name, key, text)
    return float(text)


def _bad(name: str, key: str, text: str) -> ConfigError:
    return ConfigError(f"store {name!r}: {key} is {text!r}; write {_ALLOWED}")
