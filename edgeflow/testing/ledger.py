"""What is durable, at every moment of a test, and what may not happen any more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeflow.engine import frames
from edgeflow.engine.inbox import shown
from edgeflow.engine.scope import Key, key_of, show
from edgeflow.errors import JournalDamaged
from edgeflow.store import Frame
from edgeflow.testing.recorder import RecordingStore

if TYPE_CHECKING:
    from edgeflow.engine.frames import Codec
    from edgeflow.engine.scope import Path
    from edgeflow.store import Commit, Committed, Store
    from edgeflow.testing.story import Story

Name: TypeAlias = tuple[str, Key]
"""An operation: the id of its instance, and its own identity there."""

OVER = frozenset({"completed", "failed", "cancelled"})


@dataclass(slots=True)
class Known:
    """What is durable of an operation."""

    status: str
    attempts: int
    write: int
    """The write that made it so."""

    @property
    def is_over(self) -> bool:
        return self.status in OVER


class Ledger(RecordingStore):
    """Stands before the store that all processes share, and sees their steps.

    It reads what is written, and complains of attempts that what is durable forbids.
    """

    def __init__(self, inner: Store, codec: Codec, story: Story) -> None:
        """Watch over a store that is open."""
        super().__init__(inner)
        self.complaints: list[str] = []
        self.trusted = True
        """Whether the store keeps what it acknowledges; else less is demanded."""
        self.leased_late: set[str] = set()
        """Instances whose lease was taken after somebody had given up asking for it."""
        self._codec = codec
        self.story = story
        self._known: dict[Name, Known] = {}
        self._begun: dict[tuple[Name, int], int] = {}
        self._taken: set[tuple[str, str]] = set()
        self._intended: set[tuple[Name, int]] = set()
        """Attempts that began once their intent was durable: at most once."""
        self._undone: list[tuple[Name, str, int]] = []
        """Attempts with an outcome that must be durable before control leaves."""

    async def open(self) -> None:
        """Do nothing: whoever made it opens and closes the store."""

    async def close(self) -> None:
        """Do nothing: see `open`."""

    def complain(self, what: str) -> None:
        """Note that something is wrong."""
        self.complaints.append(what)
        self.story.wrong(what)

    # --- what is written ----------------------------------------------------------

    async def commit(self, instance: str, commit: Commit) -> Committed:
        answer = await super().commit(instance, commit)
        self._take(instance, commit)
        try:
            numbered = enumerate(commit.frames, start=commit.seq)
            parts = [frames.unwrap(Frame(*each), self._codec) for each in numbered]
        except JournalDamaged:
            return answer  # torn: it counts as not written
        for part in parts:
            for line in part.lines:
                self._note(instance, frames.parse(line))
        return answer

    def _take(self, instance: str, commit: Commit) -> None:
        self._taken -= {(instance, message) for message in commit.restored}
        for message in commit.acks:
            if (instance, message) in self._taken:
                self.complain(f"message {message} is taken out of the inbox twice")
            self._taken.add((instance, message))

    def _note(self, instance: str, record: dict[str, Any]) -> None:
        for path in record.get("forget", ()):
            self._known.pop((instance, key_of(_path(path))), None)
        if "path" not in record or "status" not in record:
            return
        name = instance, key_of(_path(record["path"]))
        self._known[name] = Known(
            record["status"], record.get("attempts", 0), len(self.commits)
        )

    # --- what is done -------------------------------------------------------------

    def began(self, instance: str, key: Key, path: str, attempt: int) -> None:
        """Judge an attempt that is about to begin."""
        name = instance, key
        before = self._begun.get((name, attempt))
        self._begun[name, attempt] = self.story.process
        self.story.tell(f"   {path}, attempt {attempt}")
        known = self._known.get(name) or Known("", 0, 0)
        if known.is_over:
            self.complain(
                f"{path} is entered again, though it is {known.status}, durable since "
                f"commit {known.write}"
            )
        elif known.status == "started" and (name, attempt) in self._intended:
            self.complain(f"{path} is entered again, though it is at_most_once")
        elif attempt <= known.attempts and known.status != "started":
            self.complain(
                f"{path} makes attempt {attempt} again, though the failure of attempt "
                f"{known.attempts} is durable since commit {known.write}"
            )
        elif before == self.story.process:
            self.complain(f"{path} makes attempt {attempt} twice in one process")
        elif attempt > known.attempts + 1 and self.trusted:
            self.complain(
                f"{path} makes attempt {attempt} before the failure of attempt "
                f"{attempt - 1} is durable"
            )
        if known.status == "started":
            self._intended.add((name, attempt))

    def ended(self, instance: str, key: Key, path: str, attempt: int) -> None:
        """Note an outcome that is not yet durable."""
        self._undone.append(((instance, key), path, attempt))

    def died(self) -> None:
        """Forget what the process had in memory."""
        self._undone.clear()

    def rested(self) -> None:
        """Judge a moment at which everything has to be durable."""
        for name, path, attempt in self._undone:
            known = self._known.get(name) or Known("", 0, 0)
            if known.is_over or known.attempts >= attempt or self._is_past(name):
                continue
            if self.trusted:
                self.complain(
                    f"{path}: the outcome of attempt {attempt} is not durable when "
                    "control leaves the engine"
                )
        self._undone.clear()

    def _is_past(self, name: Name) -> bool:
        """Tell whether it lies in a turn that is over, and was pruned unwritten.

        So it is if a later turn of the loop, or the end of the loop, is durable.
        """
        instance, key = name
        turns = [at for at in range(0, len(key), 2) if key[at] == "turn"]
        for at in turns:
            loop, turn = key[:at], int(key[at + 1])
            if (known := self._known.get((instance, loop))) and known.is_over:
                return True
            later = (
                other
                for where, other in self._known
                if where == instance and other[:at] == loop and len(other) > at
            )
            if any(o[at] == "turn" and int(o[at + 1]) > turn for o in later):
                return True
        return False


def told(commit: Commit, codec: Codec) -> str:
    """Say in a line what a commit holds."""
    numbered = enumerate(commit.frames, start=commit.seq)
    parts = [frames.unwrap(Frame(*each), codec) for each in numbered]
    words = [_word(frames.parse(line)) for part in parts for line in part.lines]
    if commit.opens and commit.seq > 1:
        words.insert(0, "open")
    words += [f"takes message {name}" for name in commit.acks]
    words += [f"sends {message.name!r} to {message.to}" for message in commit.sends]
    rest: str = commit.status
    if names := shown(commit.awaiting):
        rest += f", waits for {', '.join(names)}"
    if commit.wake_at is not None:
        rest += f", wakes in {commit.wake_at - commit.now:g} s"
    return f"{'; '.join(filter(None, words)) or 'nothing new'} -> {rest}"


def _word(record: dict[str, Any]) -> str:
    if "path" not in record:
        return next(iter(record))
    status, attempts = record.get("status", ""), record.get("attempts", 0)
    number = f" (attempt {attempts})" if attempts > 1 else ""
    return f"{show(_path(record['path']))} {status}{number}"


def _path(found: list[list[Any]]) -> Path:
    return tuple((kind, name, at) for kind, name, at in found)
