"""What happened in a run, in the order in which it happened, for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.testing.faults import FaultyStore
from edgeflow.testing.ledger import Ledger, told

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeflow.store import Commit, Committed, Envelope
    from edgeflow.testing.faults import Fault


FIRST, LAST = 40, 120
"""How many lines of a story are told, if it has more."""


class Story:
    """Lines, some of them marked as wrong."""

    def __init__(self) -> None:
        """Begin before the first process."""
        self._lines: list[str | Callable[[], str]] = []
        self.process = 0
        """The number of the process that lives now, from 1."""

    def __str__(self) -> str:
        first, last = self._lines[:FIRST], self._lines[FIRST:][-LAST:]
        cut = len(self._lines) - len(first) - len(last)
        told = [*first, *([f"   ... {cut} lines ..."] if cut else []), *last]
        return "\n".join(each if isinstance(each, str) else each() for each in told)

    def next_process(self) -> None:
        """Let another process begin."""
        self.process += 1
        self.tell(f"process {self.process}")

    def tell(self, line: str | Callable[[], str]) -> None:
        """Add a line; one that is costly to write is written when it is read."""
        self._lines.append(line)

    def wrong(self, what: str) -> None:
        """Add a line on something that must not happen."""
        self.tell(f"!  {what}")


class ToldStore(FaultyStore):
    """A faulty store over a ledger; it tells of its writes."""

    @property
    def ledger(self) -> Ledger:
        assert isinstance(self.inner, Ledger)
        return self.inner

    async def commit(self, instance: str, commit: Commit) -> Committed:
        self._tell(lambda: f"{instance} {commit.seq}: {told(commit, self._codec)}")
        return await super().commit(instance, commit)

    async def send(self, message: Envelope) -> bool:
        self._tell(lambda: f"message {message.name!r} to {message.to}")
        return await super().send(message)

    async def delete(self, instance: str) -> None:
        self._tell(lambda: f"delete {instance}")
        await super().delete(instance)

    async def _resume(
        self, instance: str, token: bytes, now: float, lease: float, worker: str
    ) -> Sequence[Envelope] | None:
        fault = self._faults.get(self.writes + 1)
        if fault is not None and fault.kind == "late":
            self.ledger.leased_late.add(instance)
        self._tell(lambda: f"{instance} is taken up again in memory")
        return await super()._resume(instance, token, now, lease, worker)

    def _tell(self, what: Callable[[], str]) -> None:
        if self.crashed is not None:
            return
        number, story = self.writes + 1, self.ledger.story
        story.tell(lambda: f"{number:4} {what()}")
        fault = self._faults.get(number)
        if fault is not None:
            story.tell(f"  -- {WORDS[fault.kind]}")
            self.ledger.trusted &= fault.kind != "lose"


WORDS = {
    "fail_before": "the store fails: nothing is written",
    "fail_after": "it is written, but the answer is lost",
    "time_out": "no answer: nothing is written",
    "late": "no answer: it is written later",
    "slow": "it takes its time",
    "fence": "another process opens the instance first",
    "crash_before": "the process ends before it is written",
    "crash_after": "it is written, and the process ends",
    "lose": "acknowledged but not written, and the process ends",
    "tear": "a part of it is written, and the process ends",
}


def say(fault: Fault) -> str:
    """Say what a fault does."""
    return f"write {fault.at}, {fault.kind}: {WORDS[fault.kind]}"
