"""The general settings, which every platform has."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from edgeflow.config.kinds import (
    BYTES,
    COUNT,
    FLAG,
    NUMBER,
    PATH,
    POSITIVE_SECONDS,
    SECONDS,
    SECRET,
    STORE,
    TEXT,
    Kind,
    choice,
)
from edgeflow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Key:
    """One setting."""

    kind: Kind
    default: Any
    """None: there is none; `help` says what that means."""
    help: str
    """What it means, in a line."""
    secret: bool = False
    """Its value is never shown."""


KEYS: Mapping[str, Key] = MappingProxyType(
    {
        "store": Key(STORE, "sqlite:///edgeflow.db", "where instances are kept"),
        "platform": Key(TEXT, None, "what runs the code; none: it is detected"),
        "durability": Key(
            choice("step", "behind", "suspend"),
            "step",
            "when a step's result is flushed",
        ),
        "linger": Key(SECONDS, 0.1, "waits up to this long are spent in memory"),
        "version": Key(TEXT, None, "of the code; another one reopens what is blocked"),
        "strict_names": Key(
            FLAG, default=False, help="refuse a second use of a name in one scope"
        ),
        "max_dirty_bytes": Key(
            BYTES, 256 * 1024, "flush when so much is dirty, in every mode"
        ),
        "max_dirty_age": Key(
            SECONDS, 1.0, "how long anything stays dirty while steps run"
        ),
        "max_parked": Key(
            NUMBER, 1000, "instances at rest that a worker keeps in memory"
        ),
        "max_running": Key(COUNT, 100, "instances that a worker executes at once"),
        "keep_finished": Key(
            SECONDS, None, "when an ended instance is deleted; none: never"
        ),
        "lease": Key(
            POSITIVE_SECONDS, 30.0, "how long others leave a running instance alone"
        ),
        "poll": Key(
            POSITIVE_SECONDS, 1.0, "the longest pause between looks for due instances"
        ),
        "grace": Key(SECONDS, 8.0, "what running steps get to end at a shutdown"),
        "margin": Key(SECONDS, 1.0, "before a deadline, when running steps are cut"),
        "max_run": Key(
            POSITIVE_SECONDS,
            None,
            "what a handler's run may take where the platform gives no deadline",
        ),
        "secret": Key(
            SECRET, None, "shared secret of the doors of a handler", secret=True
        ),
        "ingress": Key(
            choice("closed", "platform"),
            "closed",
            "platform: it authenticates each HTTP request before we see it",
        ),
        "prefix": Key(PATH, "/edgeflow", "below which a handler's doors are"),
        "max_body": Key(BYTES, 1024 * 1024, "the longest HTTP body that is read"),
    }
)
