"""In a process that is watched: what it does, and what it finds and leaves behind."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from edgeflow.engine import frames, opening
from edgeflow.engine.frames import PlainCodec
from edgeflow.engine.inbox import reply_address, unseal
from edgeflow.engine.scope import key_of, show
from edgeflow.store import Frame, Query
from edgeflow.testing.processes.log import read
from edgeflow.testing.recorder import RecordingStore
from edgeflow.values import loads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.app import App
    from edgeflow.engine.frames import Codec
    from edgeflow.engine.journal import Journal
    from edgeflow.engine.scope import Key, Path
    from edgeflow.engine.wiring import Wiring
    from edgeflow.events import Event
    from edgeflow.store import Commit, Committed, Store
    from edgeflow.testing.posts import Post
    from edgeflow.testing.processes.judge import Record
    from edgeflow.testing.processes.killer import Killer
    from edgeflow.testing.processes.log import Log

ID = "it"
"""The id of the instance, unless the program chooses one itself."""

STEPS = frozenset({"step", "undo"})
"""The kinds of entries that attempts are made for."""


class Watched(RecordingStore):
    """The store of a process, and the witness of its steps: both are written down."""

    def __init__(self, inner: Store, log: Log, killer: Killer) -> None:
        """Stand before `inner`."""
        super().__init__(inner)
        self.awaited: dict[str, tuple[str, ...]] = {}
        """Which messages the instances wait for, as far as it is known here."""
        self.news = asyncio.Event()
        """Whether something was written since it was cleared."""
        self._codec: Codec = PlainCodec()
        self._log = log
        self._killer = killer
        self._number = 0

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self._number += 1
        number, last = self._number, commit.seq + len(commit.frames) - 1
        sends = [message.to for message in commit.sends]
        self._log.write("asked", number, instance, last, sends, self._steps(commit))
        self._killer.passes("before_commit")
        with self._killer.in_commit():
            answer = await super().commit(instance, commit)
        self._log.write("acked", number)
        self._killer.passes("after_commit")
        rests = commit.status == "suspended"
        self.awaited[instance] = commit.awaiting if rests else ()
        self.news.set()
        return answer

    def began(self, instance: str, key: Key, path: str, attempt: int) -> None:
        self._log.write("began", instance, key, path, attempt)
        self._killer.passes("in_step")

    def ended(self, instance: str, key: Key, path: str, attempt: int) -> None:
        self._killer.passes("after_step")

    def _steps(self, commit: Commit) -> list[Record]:
        """Read what a commit holds of steps."""
        bodies = enumerate(commit.frames, start=commit.seq)
        parts = [frames.unwrap(Frame(*each), self._codec) for each in bodies]
        lines = [frames.parse(line) for part in parts for line in part.lines]
        entries = [line for line in lines if "path" in line and "status" in line]
        return [
            _record(entry["path"], entry["status"], entry.get("attempts", 0))
            for entry in entries
            if entry["path"][-1][0] in STEPS
        ]

    def hear(self, event: Event) -> None:
        """Be an observer."""
        if event.kind == "suspended":
            self._killer.passes("suspended")

    def watch(self, app: App) -> None:
        """See what this app does; it has to work on this store."""
        app.wiring.witness = self
        self._codec = app.wiring.codec
        app.observe(self.hear)


# --- what is in the store ---------------------------------------------------------


async def found(wiring: Wiring) -> dict[str, Any]:
    """Tell of every instance its last frame, and how its steps stand."""
    return {
        instance: {
            "seq": journal.seq,
            "entries": [
                _record(entry.path, entry.status, entry.attempts)
                for entry in journal.entries.values()
                if entry.kind in STEPS
            ],
        }
        for instance, journal in (await _journals(wiring)).items()
    }


async def left(wiring: Wiring, log: Log, mail: Sequence[Post]) -> dict[str, Any]:
    """Tell how everything stands: the instance, the others, and who has mail."""
    journals = await _journals(wiring)
    it = journals.pop(ID, None)
    addresses = {to for line in read(log.path) if line[0] == "asked" for to in line[4]}
    addresses |= {post.to or ID for post in mail}
    asks = [reply_address(ask(n)) for n, post in enumerate(mail) if post.asks]
    answers = [await _unread(wiring, address) for address in asks]
    return {
        **({} if it is None else _end(it)),
        "answers": [[body for _, body in found] for found in answers],
        "inboxes": {
            to: await _unread(wiring, to) for to in sorted(addresses.difference(asks))
        },
        # Ids of children are new in each run.
        "others": sorted(map(_end, journals.values()), key=repr),
    }


def _record(path: Path, status: str, attempts: int) -> Record:
    return list(key_of(path)), show(path), status, attempts


def ask(number: int) -> str:
    """Name the ask that this post is."""
    return f"ask-{number}"


def _end(journal: Journal) -> dict[str, Any]:
    return {
        "workflow": journal.start["workflow"],
        "status": journal.status,
        "output": journal.end.get("output"),
        "error": journal.end.get("error"),
        "undo_errors": journal.end.get("undo_errors", []),
        "state": {key: loads(value) for key, value in journal.state.items()},
    }


async def _journals(wiring: Wiring) -> dict[str, Journal]:
    heads = [head.instance async for head in wiring.store.find(Query())]
    return {each: (await opening.load(wiring, each, b""))[0] for each in heads}


async def _unread(wiring: Wiring, address: str) -> list[list[Any]]:
    messages = await wiring.store.unread(address)
    return [[m.name, unseal(m.body, wiring.codec).body] for m in messages]
