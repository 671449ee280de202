"""What a key-value backend must offer, so that a whole store fits on top of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from edgeflow.store import MIB, Limits

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOM = 64 * 1024
"""What a flush or a message may need beside its bodies, in bytes."""
SPARE = 4096
"""How many bytes of small frames a commit can carry beside the largest one."""


@runtime_checkable
class KV(Protocol):
    """An ordered map from short texts to bytes. `edgeflow.testing.KVSuite` tests it.

    Reads and scans see every write that has ended. Nothing expires, nothing is lost.
    Keys have ASCII letters, digits and `-=_.`, in parts of 1 to 250 bytes between
    slashes; at most 800 bytes in all.

    Every method may raise `StoreUnavailable` if the backend cannot be reached; then
    nothing was written. Whatever else a write raises, it may have been done.
    """

    @property
    def limits(self) -> Limits:
        """How large a value may be, and what is promised: `value_limits` makes it."""
        ...

    async def open(self) -> None:
        """Connect. Called once before anything else, and again after `close`."""
        ...

    async def close(self) -> None:
        """Release everything. A second call does nothing."""
        ...

    async def get(self, key: str) -> bytes | None:
        """Read a value; None if there is none."""
        ...

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        """Write a value, as a whole or not at all.

        With `if_absent` nothing is written, and False is the answer, if the key has a
        value, be it an empty one: of many writers at once exactly one is told True.
        Without it the answer is True.

        Raises:
            NotImplementedError: if the backend has no `if_absent`; says why.
        """
        ...

    async def delete(self, key: str) -> None:
        """Remove a value; if there is none, do nothing."""
        ...

    async def scan(
        self, prefix: str, start: str | None = None, limit: int | None = None
    ) -> Sequence[tuple[str, bytes]]:
        """Read the pairs whose keys begin with `prefix`, in the order of their bytes.

        `start` leaves out the keys before it, `limit` says how many to give at most.
        The answer need not be of one moment, but a key that was there all the time is
        in it, and later keys are read later.
        """
        ...


def value_limits(
    max_value: int,
    *,
    durable: bool = True,
    persistent: bool = True,
    shared: bool = True,
) -> Limits:
    """Make the limits of a backend whose values have up to `max_value` bytes.

    The promises are those of `edgeflow.store.Limits`.
    """
    room = max_value - ROOM
    if room <= SPARE:
        raise ValueError(f"values of {max_value} bytes are too small for a store")
    return Limits(
        max_frame=min(8 * MIB + 4096, room - SPARE),
        max_group=min(64 * MIB, room),
        joins_sends=False,
        durable=durable,
        persistent=persistent,
        shared=shared,
    )
