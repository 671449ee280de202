"""The messages of one instance."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from edgeflow.store import Envelope


class Inbox:
    """Unread messages with their bodies, and every id that ever arrived."""

    def __init__(self) -> None:
        """Start empty."""
        self._arrived: dict[str, tuple[int, Envelope]] = {}  # id: place, no body
        self._unread: dict[int, Envelope] = {}  # by place of arrival

    def put(self, message: Envelope) -> bool:
        """Add a message; False if its id is known."""
        if message.id in self._arrived:
            return False
        place = len(self._arrived)
        self._arrived[message.id] = (place, replace(message, body=b""))
        self._unread[place] = replace(message, body=bytes(message.body))
        return True

    def knows(self, message_id: str) -> bool:
        """Whether the id ever arrived."""
        return message_id in self._arrived

    def consume(self, ids: Iterable[str]) -> None:
        """Drop the bodies; ids that never arrived change nothing."""
        for message_id in ids:
            if message_id in self._arrived:
                self._unread.pop(self._arrived[message_id][0], None)

    def restore(self, message_id: str, body: bytes) -> None:
        """Make a message unread again, at the place where it arrived."""
        if message_id in self._arrived:
            place, message = self._arrived[message_id]
            self._unread[place] = replace(message, body=bytes(body))

    def unread(self) -> list[Envelope]:
        """List unread messages in order of arrival."""
        return [self._unread[place] for place in sorted(self._unread)]

    def consumed(self) -> list[str]:
        """List the ids of consumed messages in order of arrival."""
        places = self._arrived.items()
        return [name for name, (place, _) in places if place not in self._unread]

    def earliest(self, names: Collection[str]) -> float | None:
        """Return when the first unread message under one of the names is visible."""
        times = (m.at for m in self._unread.values() if m.name in names)
        return min(times, default=None)
