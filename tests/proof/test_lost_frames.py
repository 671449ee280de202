"""Stores that break their promise cost repeats, and nothing else (O-07, O-08, S34)."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from edgeflow import App, Context
from edgeflow.errors import JournalDamaged
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.recorder import RecordingStore
from tests.trial import Trial, calls, durable, trial, work

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow import Outcome, Store
    from edgeflow.engine.settings import Durability
    from edgeflow.store import Commit, Loaded

__all__ = ["trial"]

MODES: tuple[Durability, ...] = ("step", "behind", "suspend")


async def three(ctx: Context) -> list[int]:
    found: list[int] = []
    for number in range(3):
        found += [await work(number), await work(10 + number)]
        await ctx.sleep(60)
    return found


EVERY = [0, 10, 1, 11, 2, 12]


class Forgetful(RecordingStore):
    """Has lost the frame of a number; its head is as that frame left it."""

    def __init__(self, inner: Store, lost: int) -> None:
        super().__init__(inner)
        self.lost = lost

    async def load(self, instance: str) -> Loaded | None:
        loaded = await super().load(instance)
        assert loaded is not None
        frames = [frame for frame in loaded.frames if frame.seq != self.lost]
        return replace(loaded, frames=frames)


def process(store: Store, last: Commit, body: Any = three, **options: Any) -> App:
    """Another process, just after some commit."""
    clock = VirtualClock()
    clock.advance(last.now - clock.now())
    app = App(store, clock=clock, lifespan=lambda: nullcontext(clock), **options)
    app.workflow(name="w")(body)
    return app


# --- O-07 ---------------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES)
async def test_what_a_lost_frame_held_is_done_again_and_nothing_else(
    trial: Trial, mode: Durability
) -> None:
    # O-07, S34, G3: the frame is gone, though the head says it is there
    output, commits = await trial.run(three, durability=mode)
    assert output == EVERY
    for lost in range(2, len(commits) + 1):
        calls.clear()
        known = durable(await trial.history(commits[: lost - 1]))
        store = Forgetful(await trial.store(commits[:lost]), lost)
        app = process(store, commits[lost - 1], durability=mode)

        info = await app.handle("i").info()
        assert info.status != "completed"
        assert await app.run("w", id="i") == EVERY
        assert dict(calls) == {tag: 1 for tag in EVERY if tag not in known}
        assert store.commits[0].seq > lost, "the head's number is not used again"
        [listed] = [info async for info in app.find()]
        assert (listed.status, listed.output) == ("completed", None)
        assert (await app.handle("i").info()).output == EVERY


async def test_a_head_that_says_completed_ahead_of_its_journal_is_driven_on(
    trial: Trial,
) -> None:
    # O-07, S34, G14: it is the journal that says whether it has ended
    _, commits = await trial.run(three)
    assert commits[-1].status == "completed"
    calls.clear()
    store = Forgetful(await trial.store(commits), len(commits))

    outcome = await process(store, commits[-1]).drive("i")

    assert (outcome.status, outcome.output) == ("completed", EVERY)
    assert not calls


# --- O-08 ---------------------------------------------------------------------------


async def one(_: Context) -> int:
    found: int = await work(1)
    return found


def torn(commits: Sequence[Commit], at: int, keep: int) -> list[Commit]:
    """Leave so many bytes of one frame, and all that comes after it."""
    (frame,) = commits[at - 1].frames
    cut = replace(commits[at - 1], frames=(frame[:keep],))
    return [*commits[: at - 1], cut, *commits[at:]]


async def test_a_last_frame_torn_at_any_byte_counts_as_not_written(
    trial: Trial,
) -> None:
    # O-08, S34, G3: that of the start, too
    _, commits = await trial.run(one)
    stride = 1 if trial.kind == "memory" else 53
    for at in (1, 2, 3):
        for keep in range(0, len(commits[at - 1].frames[0]), stride):
            calls.clear()
            store = await trial.store(torn(commits[:at], at, keep))
            app = process(store, commits[at - 1], one)
            assert await app.run("w", id="i") == 1
            assert calls[1] == (0 if at == 3 else 1)


@pytest.mark.parametrize("damage", ["cut", "flipped", "lost"])
async def test_a_damaged_frame_in_the_middle_blocks_and_says_so(
    trial: Trial, damage: str
) -> None:
    # O-08, S34, G13
    _, commits = await trial.run(three)
    for at in range(2, len(commits)):
        calls.clear()
        length = len(commits[at - 1].frames[0])
        stored = commits
        if damage == "cut":
            stored = torn(commits, at, length - 1)
        if damage == "flipped":
            body = bytearray(commits[at - 1].frames[0])
            body[length // 2] ^= 1
            flipped = replace(commits[at - 1], frames=(bytes(body),))
            stored = [*commits[: at - 1], flipped, *commits[at:]]
        inner = await trial.store(stored)
        store = Forgetful(inner, at if damage == "lost" else 0)
        app = process(store, commits[-1])

        outcome: Outcome[Any] = await app.drive("i")

        assert outcome.status == "blocked"
        assert outcome.error is not None
        assert "'i'" in outcome.error.message
        assert f"frame {at} of the journal" in outcome.error.message
        with pytest.raises(JournalDamaged, match=f"'i'.*frame {at} "):
            await app.handle("i").info()
        assert not calls
        assert store.commits == [], "it is left as it is, for whoever can mend it"
