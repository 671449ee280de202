"""One life of a process that is to be killed: a program, and who watches it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.clock import SystemClock
from edgeflow.engine.inbox import Posted
from edgeflow.errors import (
    InstanceFinished,
    UnknownInstance,
    WorkflowBlocked,
    WorkflowCancelled,
    WorkflowFailed,
)
from edgeflow.store import TERMINAL, Envelope, Query
from edgeflow.testing.processes.log import read
from edgeflow.testing.processes.watch import ID, Watched, ask, found, left
from edgeflow.testing.twins import twin

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.app import App
    from edgeflow.engine.worker import Worker
    from edgeflow.store import Store
    from edgeflow.testing.posts import Post
    from edgeflow.testing.processes.killer import Killer
    from edgeflow.testing.processes.log import Log


@dataclass(frozen=True, slots=True)
class Errand:
    """What the program is to do."""

    workflow: str
    input: Any
    posts: tuple[Post, ...]
    once: bool
    """Whether it ends when the instance rests; else when it has ended."""


class Process:
    """A process of an app that drives one instance, over a store of its own."""

    def __init__(
        self, app: App, store: Store, errand: Errand, log: Log, killer: Killer
    ) -> None:
        """Prepare; what earlier lives have told is in the log."""
        self._past = read(log.path)
        self._log = log
        self._store = Watched(store, self._log, killer)
        self._app = twin(app, self._store, SystemClock())
        self._store.watch(self._app)
        self._errand = errand
        self._posts = dict(enumerate(errand.posts))

    async def run(self, began: Callable[[], object]) -> None:
        """Run the instance to its end, and tell what was found before and is left."""
        async with self._app.session.using() as worker:
            self._log.write("found", await found(self._app.wiring))
            began()
            posting = asyncio.create_task(self._post(worker))
            try:
                await self._work(posting)
            finally:
                posting.cancel()
            wiring, mail = self._app.wiring, self._errand.posts
            self._log.write("left", await left(wiring, self._log, mail))

    async def _work(self, posting: asyncio.Task[None]) -> None:
        working = asyncio.create_task(self._drive())
        try:
            await asyncio.wait({working, posting}, return_when="FIRST_COMPLETED")
            if posting.done():
                await posting  # all is sent, or it went wrong
            await working
        finally:
            working.cancel()
            with suppress(asyncio.CancelledError):
                await working

    async def _drive(self) -> None:
        app, errand = self._app, self._errand
        workflow = app.known(errand.workflow)
        if workflow is None:
            known = ", ".join(workflow.name for workflow in app.workflows)
            raise ValueError(
                f"the app has no workflow {errand.workflow!r}; it has {known}"
            )
        value = errand.input
        if workflow.takes_input and value is not None:
            value = workflow.input_converter().decode(value)
        if errand.once:
            await app.start(workflow, value, id=ID)
            await app.drive(ID)
            return
        with suppress(WorkflowFailed, WorkflowCancelled, WorkflowBlocked):
            await app.run(workflow, value, id=ID)
        heads = [head async for head in self._store.find(Query())]
        for head in heads:
            if head.status not in {*TERMINAL, "blocked"}:
                await app.drive(head.instance)  # nobody else does

    # --- messages -----------------------------------------------------------------

    async def _post(self, worker: Worker) -> None:
        """Send each message once its receiver waits for it.

        What an earlier life had begun to send is sent again: it has one id.
        """
        for number in [line[1] for line in self._past if line[0] == "posting"]:
            if number in self._posts:
                await self._send(worker, number)
        for to in {post.to or ID for post in self._posts.values()}:
            with suppress(UnknownInstance):
                info = await self._app.handle(to).info()
                self._store.awaited.setdefault(to, info.awaiting)
        while self._posts:
            self._store.news.clear()
            number = self._next()
            if number is None:
                await self._store.news.wait()
            else:
                self._log.write("posting", number)
                # Until its next commit says what it waits for then.
                self._store.awaited[self._posts[number].to or ID] = ()
                await self._send(worker, number)

    def _next(self) -> int | None:
        for number, post in self._posts.items():
            if post.name in self._store.awaited.get(post.to or ID, ()):
                return number
        return None

    async def _send(self, worker: Worker, number: int) -> None:
        post, now = self._posts.pop(number), self._app.clock.now()
        to = post.to or ID
        address = ask(number) if post.asks else None
        posted = Posted(post.body, now, ask=address, deadline=now + 1e6)
        body = posted.seal(self._app.wiring.codec)
        with suppress(InstanceFinished):
            await self._store.send(Envelope(to, f"post-{number}", post.name, body))
            worker.ring(to)
