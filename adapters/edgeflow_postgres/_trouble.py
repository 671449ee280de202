"""What PostgreSQL's errors mean, as sentences that say what to do."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psycopg

from edgeflow.errors import OutcomeUnknown, StoreError, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

TRANSIENT = {"40001", "40P01"}
"""Serialization failure and deadlock: rolled back, and worth another try."""
LONGEST_PAUSE = 0.05
"""Seconds before such a try, at most."""

ENDING = {"57P01", "57P02", "57P05"}
"""The server ends this session: it may have committed before it said so."""
NOT_KNOWN = ("08", "40003")
"""How codes begin that a pooler gives when it has lost the server in the middle."""

# https://www.postgresql.org/docs/current/errcodes-appendix.html
_SENTENCES: Mapping[str, str] = {
    "25006": (
        "{name} is read-only, a standby perhaps: name the primary, or several hosts "
        "with target_session_attrs=read-write"
    ),
    "3F000": "{name} has lost edgeflow's schema: call open() to make it anew",
    "42P01": "{name} has lost tables of edgeflow ({error}): call open() or restore it",
    "42883": (
        "{name} was taken over by another edgeflow, which has removed the functions of "
        "this one ({error}): upgrade edgeflow"
    ),
    "42501": (
        "the role of this process may not use {name} as it must ({error}): grant it "
        "usage on the schema edgeflow, and select, insert, update and delete on its "
        "tables"
    ),
    "53100": "the disk of {name} is full: make room, then try again",
    "53200": (
        "{name} is out of memory ({error}): give it more, or raise "
        "max_locks_per_transaction if it asks for that"
    ),
    "53300": (
        "{name} takes no more connections ({error}): use fewer processes, a smaller "
        "pool=, or a pooler"
    ),
    "57P03": "{name} takes no connections now ({error}): wait until it is up",
}

# A failed connection has no code: what libpq quotes of the server, in English.
_SIGNS: Mapping[str, str] = {
    "too many clients": _SENTENCES["53300"],
    "remaining connection slots": _SENTENCES["53300"],
    "the database system is": _SENTENCES["57P03"],
    "authentication failed": (
        "{name} refuses user or password ({error}): correct them in the URL"
    ),
    "no password supplied": "{name} wants a password ({error}): put it into the URL",
    "does not exist": "{name} is not there ({error}): create it, or name another one",
    "session is read-only": _SENTENCES["25006"],
    "server is in hot standby mode": _SENTENCES["25006"],
}


def pause(tries: int) -> float:
    """Say how many seconds to wait after so many tries that were rolled back.

    They differ, so that two that hinder each other do not do so again.
    """
    return random.uniform(0, min(LONGEST_PAUSE, 0.001 * 2**tries))  # noqa: S311  no secret


def unreachable(name: str, error: Exception) -> StoreUnavailable:
    """Say why there is no connection; `name` is the database's, without a password."""
    text = one_line(error)
    for sign, sentence in _SIGNS.items():
        if sign in text:
            return StoreUnavailable(sentence.format(name=name, error=text))
    return StoreUnavailable(
        f"{name} cannot be reached ({text}): look whether it runs, and whether host, "
        "port and TLS settings are right"
    )


@dataclass(frozen=True, slots=True)
class Loss:
    """What is known of the connection on which a call failed."""

    is_lost: bool = False
    is_writing: bool = False
    """Whether the call writes something that may be there now, if it is lost."""
    silent: float | None = None
    """After how many seconds without an answer we have cut it ourselves."""


def explain(name: str, error: psycopg.Error, loss: Loss) -> StoreError | None:
    """Turn an error of a call into ours; None if the call itself was wrong."""
    text = one_line(error)
    code = error.sqlstate or ""
    if loss.is_lost or code in ENDING or code.startswith(NOT_KNOWN):
        what = f"the connection to {name} was lost in the middle of a call ({text})"
        if loss.silent is not None:
            silent = f"{loss.silent:g} s"
            what = f"{name} gave no answer within {silent}: see what holds it up"
        return OutcomeUnknown(what) if loss.is_writing else StoreUnavailable(what)
    sentence = _SENTENCES.get(code)
    if sentence is not None:
        return StoreUnavailable(sentence.format(name=name, error=text))
    if isinstance(error, (psycopg.DataError, psycopg.ProgrammingError)):
        return None
    return StoreUnavailable(
        f"{name} refused to work ({text}): see the server's log, then try again"
    )


def one_line(error: Exception) -> str:
    """Give what an error says, without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
