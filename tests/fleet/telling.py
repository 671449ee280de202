"""What the processes of a fleet tell outside of edgeflow, a file for each process.

Each line is a word, the time in s since the epoch, the id of an instance, and more:

- begins, ends: a step; its place, which is its number and the attempt; then its key.
- durable: a place, once an observer is told that its outcome is durable.
- opened, wrote: commits that were acknowledged; number, status. `opened` by an OPEN.
- fenced: a commit that met another writer's; whether it was an OPEN. lost: a lease.
- waits, received; sleeps, woke: of a body, live; not while it is replayed.
- claimed: how long a claim took in s, how many it found; no instance.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from edgeflow.errors import Conflict
from edgeflow.testing.processes.log import Log

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgeflow.events import Event
    from edgeflow.store import Commit, Committed, Store

NAMES = ("plan", "book", "pack", "ride", "rest", "arrive")
"""The steps of a member, in order: a step's number is where it stands here, from 1."""


class Telling:
    """Writes lines about what this process does."""

    def __init__(self, path: Path) -> None:
        """Begin a file."""
        self._log = Log(path)

    def say(self, word: str, instance: str, *values: object) -> None:
        """Write a line."""
        self._log.write(word, time.time(), instance, *values)

    def hear(self, event: Event) -> None:
        """Be an observer."""
        if event.kind in {"step_completed", "attempt_failed"}:
            name = event.path.rpartition(" > ")[2].partition("[")[0]
            place = [NAMES.index(name) + 1, event.attempt]
            self.say("durable", event.instance, place)

    def watch(self, store: Store) -> Store:
        """Tell of the calls to a store: itself, so that it keeps all its powers."""
        commit, renew, claim = store.commit, store.renew, store.claim

        async def telling_commit(instance: str, what: Commit) -> Committed:
            self.say("asks", instance, what.status)
            try:
                answer = await commit(instance, what)
            except Conflict:
                self.say("fenced", instance, what.opens)
                raise
            word = "opened" if what.opens else "wrote"
            self.say(word, instance, what.last, what.status)
            return answer

        async def telling_renew(instance: str, *values: Any) -> bool:
            answer = await renew(instance, *values)
            if not answer:
                self.say("lost", instance)
            return answer

        async def telling_claim(*values: Any) -> Sequence[str]:
            began = time.monotonic()
            found = await claim(*values)
            self.say("claimed", "", time.monotonic() - began, len(found))
            return found

        for call in (telling_commit, telling_renew, telling_claim):
            setattr(store, call.__name__.removeprefix("telling_"), call)
        return store
