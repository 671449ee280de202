"""Whether a journal is caught in the middle of a change: for a thread that looks at it.

Code that changes it runs in `with wholeness:`; where that lets code of others run,
which may be stuck, it lends the journal to it, and takes it back.
"""

from __future__ import annotations


class Wholeness:
    """Says whether all changes are there that are durable together or not at all."""

    __slots__ = ("_depth", "turns")

    def __init__(self) -> None:
        """Be whole."""
        self._depth = 0
        self.turns = 0
        """How often that may have changed."""

    @property
    def is_whole(self) -> bool:
        """Whether nothing is in the middle of a change."""
        return self._depth == 0

    def __enter__(self) -> None:
        self._depth += 1
        self.turns += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        self.turns += 1

    def lend(self) -> int:
        """Be whole within a change; give what `take_back` is to be told."""
        depth, self._depth = self._depth, 0
        self.turns += 1
        return depth

    def take_back(self, depth: int) -> None:
        """Go on with the change."""
        self._depth = depth
        self.turns += 1
