"""What an instance is, whatever its frames are numbered: to carry it to another store.

Frames name the number of the one that they build on, so they are carried under their
own numbers, or written anew as one group that builds on nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from edgeflow.engine import frames
from edgeflow.late import dataclass

if TYPE_CHECKING:
    from edgeflow.engine.frames import Codec
    from edgeflow.store import Loaded

PLACE = {"part", "prev"}
"""What a header says of its frame, and not of the instance."""
START = b'{"start":'
RECEIVES = (b'"receive"', b'"receive_many"')


@dataclass(frozen=True, slots=True)
class Content:
    """What the frames of an instance say; equal ones replay and go on alike."""

    header: dict[str, Any]
    """What the last flush said of the instance: status, due, deaths and so on."""
    records: tuple[bytes, ...]

    @property
    def birth(self) -> str | None:
        """What tells the instance from all others that ever had its id."""
        starts = (r for r in self.records if r.startswith(START))
        found = [frames.parse(line)["start"] for line in starts]
        return found[-1]["birth"] if found else None

    @property
    def received(self) -> dict[str, str]:
        """Names of received messages by their ids, in the order of their receipt."""
        lines = (r for r in self.records if any(kind in r for kind in RECEIVES))
        done = (frames.parse(line) for line in lines)
        return {
            item["id"]: item["name"]
            for data in done
            if "path" in data and data["path"][-1][0] in {"receive", "receive_many"}
            for item in data.get("value") or ()
        }

    def framed(self, limit: int, codec: Codec) -> tuple[bytes, ...]:
        """Make frames of at most `limit` bytes that build on nothing: one group.

        As long as its last frame is missing the group counts as not written. A frame
        that holds one value above the limit is above it all the same.
        """
        return frames.build({**self.header, "prev": 0}, self.records, limit, codec)


def content(loaded: Loaded, codec: Codec) -> Content:
    """Read what the frames of an instance say.

    Raises:
        JournalDamaged: if frames are missing, damaged, of another codec or newer.
    """
    chain = frames.read(loaded.frames, codec)
    header = {key: value for key, value in chain.header.items() if key not in PLACE}
    return Content(header, tuple(chain.records()))
