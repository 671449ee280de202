"""An unclosed connection must not hang the interpreter.

aiosqlite's thread is no daemon, and `atexit` comes only after such threads were
joined. So a daemon thread waits for the end of whoever opened the connection.
"""

from __future__ import annotations

import threading
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import aiosqlite

_lock = threading.Lock()
_watched: dict[threading.Thread, _Watch] = {}


class _Watch:
    def __init__(self, owner: threading.Thread) -> None:
        self.unclosed: weakref.WeakSet[aiosqlite.Connection] = weakref.WeakSet()
        self.thread = threading.Thread(target=self._wait, args=(owner,), daemon=True)

    def _wait(self, owner: threading.Thread) -> None:
        owner.join()
        with _lock:
            _watched.pop(owner, None)
        for db in list(self.unclosed):
            # aiosqlite leaves open what its future holds
            db.stop()  # pyright: ignore[reportUnknownMemberType]


def stop_at_exit(db: aiosqlite.Connection) -> None:
    """Stop the connection, if it is still open, when the thread that runs us ends."""
    owner = threading.current_thread()
    if owner.daemon:  # then aiosqlite's thread inherits that, and hangs nothing
        return
    with _lock:
        watch = _watched.get(owner)
        if watch is None or not watch.thread.is_alive():  # none survives a fork
            watch = _watched[owner] = _Watch(owner)
            watch.thread.start()
        watch.unclosed.add(db)
