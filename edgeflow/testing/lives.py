"""An instance, driven by process after process until it has ended."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.engine import opening
from edgeflow.engine.inbox import Posted, reply_address, shown, unseal
from edgeflow.engine.scope import show
from edgeflow.errors import EdgeflowError, Fenced, StoreError, UnknownInstance
from edgeflow.store import TERMINAL, Envelope, Query
from edgeflow.testing.clock import VirtualClock
from edgeflow.testing.faults import Crashed
from edgeflow.testing.ledger import Ledger
from edgeflow.testing.story import Story, ToldStore
from edgeflow.testing.twins import twin
from edgeflow.values import loads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.app import App
    from edgeflow.engine.journal import Journal
    from edgeflow.store import Head, Status, Store
    from edgeflow.testing.faults import Fault
    from edgeflow.testing.posts import Post
    from edgeflow.workflows import Workflow

ID = "it"
"""The id of the instance."""

LIVES = 25
"""Processes without a fault after which it is said that they all end."""

LOOKS = 2_000
"""Looks for work after which a run is said not to end."""

TROUBLE = (Crashed, Fenced, StoreError)
"""How a process can fail by the plan."""


@dataclass(frozen=True, slots=True)
class End:
    """How everything ended: values are plain JSON."""

    status: Status
    output: Any
    error: Any
    """Type, message and data; None if there is none."""
    undo_errors: Any
    state: dict[str, Any]
    answers: dict[int, list[Any]]
    """Replies, by the number of the post that asked."""
    inboxes: dict[str, list[tuple[str, Any]]]
    """Names and bodies of what nobody has read, by address."""
    others: dict[str, tuple[str, Any, Any]]
    """Status, output and error of the other instances, by id."""


class Stuck(Exception):
    """Nothing is due, nothing is to be sent, and it has not ended."""


class Lives:
    """One run of one instance, with all its processes."""

    def __init__(
        self,
        app: App,
        workflow: Workflow[Any, Any],
        input: object,
        *,
        posts: Sequence[Post],
        plan: Sequence[Fault],
        parked: bool,
        store: Store,
    ) -> None:
        """Prepare a run over a new, empty store."""
        self.story = Story()
        self.clock = VirtualClock()
        self.inner = store
        self._app = app
        self._workflow = workflow
        self._input = input
        self._posts = posts
        self.unsent = dict(enumerate(posts))
        self.trouble: Exception | None = None
        """What came out of it that no fault explains."""
        self._parked = parked
        self._codec = app.wiring.codec
        self.ledger = Ledger(store, self._codec, self.story)
        self.faulty = ToldStore(self.ledger, plan, clock=self.clock, codec=self._codec)
        self._processes = 0

    async def run(self) -> End | None:
        """Run to the end; None: it went wrong, and the story tells how.

        Raises:
            Stuck: if it does not end.
        """
        await self.inner.open()
        try:
            return await self._run()
        finally:
            await self.faulty.settle()
            await self.inner.close()

    async def _run(self) -> End | None:
        last = 0
        while not self.ledger.complaints:
            self.story.next_process()
            try:
                async with AsyncExitStack() as stack:
                    await self._live(stack)
                await self.faulty.settle()
                return await self.end()
            except TROUBLE as error:
                if self.faulty.struck:
                    last = self.story.process
                elif self.story.process > last + LIVES:
                    what = f"{type(error).__name__}: {error}"
                    raise Stuck(f"it ends process after process: {what}") from error
                await self._bury(error)
        return None

    async def _live(self, stack: AsyncExitStack) -> None:
        """Be one process, until everything has ended."""
        app = self._twin()
        if self._parked:
            worker = await stack.enter_async_context(app.session.using(runs=True))
            worker.serving = True  # so it keeps what rests in memory
            worker.spawn_drive = _leave_it  # type: ignore[method-assign]  # as below
            worker.due.room = lambda: 0  # type: ignore[method-assign]  # the same
        await self._starter().start(self._workflow, self._input, id=ID)
        self._check()
        for _ in range(LOOKS):
            if self.ledger.complaints:
                return
            with self.clock.busy():
                due = await self.ledger.claim(self.clock.now(), 100, 0.0, "the driver")
            driven = [await self._drive(app, instance) for instance in due]
            if not any(driven) and not await self._go_on():
                return
        raise Stuck(f"it has not ended after {LOOKS} runs")

    async def _drive(self, app: App, instance: str) -> bool:
        """Drive an instance; False: its start is torn, so it is not there."""
        try:
            await (app if self._parked else self._twin()).drive(instance)
        except UnknownInstance:
            return False
        self._check()
        return True

    def _twin(self) -> App:
        self._processes += 1
        return twin(
            self._app, self.faulty, self.clock, self.ledger, seed=self._processes
        )

    def _starter(self) -> App:
        """Give whoever starts it: with one seed, so that keys are always the same."""
        return twin(self._app, self.faulty, self.clock, seed="the starter")

    def _check(self) -> None:
        """Take what was done as done: from here on a crash must not matter."""
        if self.faulty.crashed is not None:
            raise Crashed("what was acknowledged is lost")
        self.ledger.rested()

    # --- between processes ------------------------------------------------------------

    async def _bury(self, error: BaseException) -> None:
        """Let the process be gone: its leases are said to be over."""
        why = "" if self.faulty.crashed is not None else f": {type(error).__name__}"
        self.story.tell(f"   the process ends{why}")
        self.ledger.died()
        self.faulty = self.faulty.following()
        for head in await self._heads():
            await self.ledger.renew(head.instance, head.token, self.clock.now(), 0.0)
            await self._tell_of(head.instance)

    async def _tell_of(self, instance: str) -> None:
        """Read what is on disk: it has to be readable at every moment."""
        try:
            journal = await self._journal(instance)
        except UnknownInstance:
            return  # its start is torn, and counts as not written
        except EdgeflowError as error:
            self.ledger.complain(f"{instance} cannot be loaded: {error}")
            return
        entries = [
            f"{show(entry.path)} {entry.status}" for entry in journal.entries.values()
        ]
        self.story.tell(
            f"   on disk: {instance} {journal.seq}, {journal.status}; "
            f"{', '.join(entries) or 'no entries'}"
        )

    async def _heads(self) -> list[Head]:
        with self.clock.busy():
            heads = [head async for head in self.ledger.find(Query())]
        return [head for head in heads if head.status not in {*TERMINAL, "blocked"}]

    async def _go_on(self) -> bool:
        """Send what is waited for, or let time pass; False: all has ended.

        Raises:
            Stuck: if nothing of this can be done.
        """
        heads = await self._heads()
        if not heads:
            return False
        if await self._let_go(heads):
            return True
        for head in heads:
            for number, post in self.unsent.items():
                to = post.to or ID
                if to == head.instance and post.name in head.awaiting:
                    await self._send(number, self.unsent.pop(number), to)
                    return True
        now = self.clock.now()
        times = [head.wake_at for head in heads if head.wake_at is not None]
        if not times:
            left = ", ".join(
                f"{p.name!r} to {p.to or ID}" for p in self.unsent.values()
            )
            raise Stuck(
                "nothing is due, and no message is left for whoever waits: "
                + ", ".join(_waiting(head) for head in heads)
                + (f"; not sent: {left}" if left else "")
            )
        if min(times) <= now:
            raise Stuck(f"it wanted to wake {now - min(times):g} s ago, and is not due")
        self.story.tell(f"   {min(times) - now:g} s pass")
        self.clock.advance(min(times) - now)
        return True

    async def _let_go(self, heads: Sequence[Head]) -> bool:
        """Let leases be over that were taken late; tell whether there was one."""
        now, late = self.clock.now(), self.ledger.leased_late
        held = [head for head in heads if head.lease > now and head.instance in late]
        for head in held:
            await self.ledger.renew(head.instance, head.token, now, 0.0)
        return bool(held)

    async def _send(self, number: int, post: Post, to: str) -> None:
        now, ask = self.clock.now(), f"ask-{number}" if post.asks else None
        posted = Posted(post.body, now, ask=ask, deadline=now + 1e6 if ask else None)
        envelope = Envelope(to, f"post-{number}", post.name, posted.seal(self._codec))
        with self.clock.busy():
            await self.ledger.send(envelope)
        self.story.tell(f"   message {post.name!r} comes for {to}")

    # --- the end --------------------------------------------------------------------

    async def _journal(self, instance: str) -> Journal:
        wiring = self._starter().wiring
        wiring.store = self.ledger
        return (await opening.load(wiring, instance, b""))[0]

    async def end(self) -> End:
        """Tell how everything ended."""
        heads = [head async for head in self.ledger.find(Query())]
        journals = {h.instance: await self._journal(h.instance) for h in heads}
        it = journals.pop(ID)
        sent = [m for commit in self.ledger.commits for m in commit.sends]
        addresses = {message.to for message in sent} | {
            post.to or ID for post in self._posts
        }
        asks = {
            n: reply_address(f"ask-{n}") for n, p in enumerate(self._posts) if p.asks
        }
        return End(
            it.status,
            it.end.get("output"),
            it.end.get("error"),
            it.end.get("undo_errors"),
            {key: loads(value) for key, value in it.state.items()},
            {n: [body for _, body in await self._unread(to)] for n, to in asks.items()},
            {to: await self._unread(to) for to in sorted(addresses - {*asks.values()})},
            {
                id_: (other.status, other.end.get("output"), other.end.get("error"))
                for id_, other in journals.items()
            },
        )

    async def _unread(self, address: str) -> list[tuple[str, Any]]:
        messages = await self.ledger.unread(address)
        return [(m.name, unseal(m.body, self._codec).body) for m in messages]


def _leave_it(instance: str, *, take_over: bool = True) -> None:
    """Do not wake what is in memory: it is due, so the driver is about to drive it."""


def _waiting(head: Head) -> str:
    names = " or ".join(map(repr, shown(head.awaiting)))
    return f"{head.instance} waits for {names or f'nothing, and is {head.status}'}"
