"""The names of all keys.

| key                                     | holds                                    |
|-----------------------------------------|------------------------------------------|
| `format`                                | the version of this layout               |
| `f/<id>/<position>`                     | what one commit wrote; empty: only fences |
| `h/<id>/<position>`                     | copy of a frame's header, all effects done |
| `h/<id>/<position>.gone`                | deleted at that position, or about to be |
| `m/<id>/<life>/<message>/<copy>`        | a message; once consumed without a body  |
| `u/<id>/<life>/<stamp>/<message>/<copy>` | index of the unread messages            |
| `w/<ms>/<id>/<what>`                    | look at the instance from then on        |
| `c/<id>/<position>/<number>`            | lease above that frame; the last counts  |

A position numbers the commits of an id and never begins again; a life is the position
at which the life before was deleted, 0 for the first one; a copy is the position that
made a consumed message unread again, 0 for what was sent.
"""

from __future__ import annotations

from hashlib import sha256
from string import ascii_letters, digits
from typing import NamedTuple

LONG = 180
"""The longest part of a key that an id or a message's id is written out in."""

PLAIN = frozenset(digits + ascii_letters) - {"z"}
"""What stands for itself."""
WAKES = "w/"
HEADS = "h/"
FORMAT = "format"
GONE = ".gone"
NEVER = 10**13 - 1


class Note(NamedTuple):
    """A message without its body; JSON keeps it as a list."""

    id: str
    name: str
    at: float
    stamp: int
    copy: int


def escape(text: str) -> str:
    """Write any text with ASCII letters, digits and `-=_`, in the same order."""
    written = "".join(map(_escape, text.encode())) or "-"
    if len(written) > LONG:
        digest = sha256(text.encode()).hexdigest()
        return f"{written[:120]}.{digest[:40]}"
    return written


def _escape(byte: int) -> str:
    char = chr(byte)
    if char in PLAIN:
        return char
    # Each of these signs sorts where the bytes do that it stands for.
    sign = "-" if char < "0" else "=" if char < "A" else "_" if char < "a" else "z"
    return f"{sign}{byte:02x}"


def milliseconds(seconds: float) -> int:
    """Round a time down, into what fits a key."""
    return int(min(max(seconds * 1000, 0), NEVER))


def wake_time(key: str) -> int:
    """Tell from when on a wake key counts, in ms."""
    return int(key.split("/")[1])


def moved(position: int, stamp: int) -> str:
    """Name a wake that a lease above the frame at a position asks for."""
    return f"l.{position}.{stamp}"


def is_moved(key: str) -> bool:
    """Whether it is the key of such a wake."""
    return key.rpartition("/")[2].startswith("l.")


def after_wakes(now: float) -> str:
    """Give a key that lies behind all wake keys up to `now`."""
    return f"{WAKES}{milliseconds(now) + 1:013d}"


def behind(key: str) -> str:
    """Give the first key that can come after another one."""
    return key + "-"


def position_of(key: str) -> int:
    """Tell the position in a key of a frame, a head or a lease."""
    return int(key.split("/")[2].removesuffix(GONE))


class Keys:
    """The keys of one instance."""

    def __init__(self, instance: str) -> None:
        """Write the id as a part of keys, once."""
        self.part = escape(instance)
        self.frames = f"f/{self.part}/"
        self.heads = f"{HEADS}{self.part}/"
        self.messages = f"m/{self.part}/"
        self.index = f"u/{self.part}/"
        self.leases = f"c/{self.part}/"

    def frame(self, position: int) -> str:
        return f"{self.frames}{position:016d}"

    def head(self, position: int) -> str:
        return f"{self.heads}{position:016d}"

    def gone(self, position: int) -> str:
        return self.head(position) + GONE

    def lease(self, position: int, number: int) -> str:
        return f"{self.leases}{position:016d}/{number:08d}"

    def inbox(self, life: int) -> str:
        return f"{self.messages}{life:016d}/"

    def copies(self, life: int, message: str) -> str:
        return f"{self.inbox(life)}{escape(message)}/"

    def message(self, life: int, message: str, copy: int = 0) -> str:
        return f"{self.copies(life, message)}{copy:016d}"

    def unread(self, life: int) -> str:
        return f"{self.index}{life:016d}/"

    def entry(self, life: int, note: Note) -> str:
        place = f"{note.stamp:020d}/{escape(note.id)}/{note.copy:016d}"
        return f"{self.unread(life)}{place}"

    def call(self, life: int, note: Note) -> str:
        """Give the wake key of a message."""
        digest = sha256(note.id.encode()).hexdigest()[:16]
        return self.wake(note.at, f"m.{life}.{note.stamp}.{note.copy}.{digest}")

    def wake(self, when: float, what: str) -> str:
        return f"{WAKES}{milliseconds(when):013d}/{self.part}/{what}"
