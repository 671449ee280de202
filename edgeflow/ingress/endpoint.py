"""One handler, as its platform sees it."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from edgeflow.errors import ProcessEnding, StoreError
from edgeflow.ingress.acting import Doing
from edgeflow.ingress.answering import refused, unavailable
from edgeflow.ingress.letting import identified, let_in
from edgeflow.ingress.refusing import Refused

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Mapping

    from edgeflow.app import App
    from edgeflow.engine.worker import Worker
    from edgeflow.ingress.kept_loop import KeptLoop
    from edgeflow.ingress.reading import Reader
    from edgeflow.platform import Answer, Authorize, Request
    from edgeflow.workflows import Workflow

log = logging.getLogger("edgeflow")

STORE_TROUBLE = "the store could not be used: ask again; our log says more"
"""Where the store is, and what it said, is nobody's business outside."""


class HandlerEndpoint:
    """A workflow of an app, as `edgeflow.platform.Endpoint` says."""

    def __init__(
        self,
        app: App,
        workflow: Workflow[Any, Any],
        reader: Reader,
        authorize: Authorize | None,
        kept_loop: KeptLoop,
    ) -> None:
        """Serve `workflow`; nothing is opened yet."""
        self._app = app
        self._workflow = workflow
        self._reader = reader
        self._authorize = authorize
        self._kept_loop = kept_loop
        self._serves = app.platform.background == "runs"

    @property
    def name(self) -> str:
        """The name of its workflow."""
        return self._workflow.name

    @property
    def doc(self) -> str | None:
        """The docstring of its function."""
        return self._workflow.function.__doc__

    @property
    def settings(self) -> Mapping[str, Any]:
        """The effective configuration on this platform."""
        return self._app.config

    @property
    def is_ending(self) -> bool:
        """Whether the process was told to end."""
        return bool(self._app.session.guard.heard)

    async def answer(self, request: Request) -> Answer:
        """Do what a request wants, and answer after it is durable. Raises nothing."""
        return await self._answer(request, self._app.clock.now())

    async def _answer(self, request: Request, began: float) -> Answer:
        try:
            request = identified(request, self.settings)
            request, action = self._reader.read(request)
            await let_in(request, action, self._authorize)
            worker = await self._opened()
            doing = Doing(
                self._app,
                self._workflow,
                worker,
                self._until(request, began),
                authenticated=request.authenticated,
            )
            answer = await doing.act(action)
            if not self._serves:
                await worker.settle()
        except Refused as refusal:
            return refused(refusal)
        except ProcessEnding as error:
            log.info("handler %r: %s", self.name, error)
            return unavailable("ProcessEnding", "the process ends: ask again")
        except StoreError as error:
            log.warning("handler %r: %s", self.name, error)
            return unavailable(type(error).__name__, STORE_TROUBLE)
        except Exception:  # of the app's lifespan, or a defect: nothing else is known
            log.exception("handler %r: a request failed", self.name)
            return unavailable(
                "Unavailable", "this failed; the log of the process says why"
            )
        return answer

    async def _opened(self) -> Worker:
        """Open the app, unless it is.

        Raises:
            ProcessEnding: if the process ends; whoever opened the app ends it.
        """
        try:
            return await self._app.session.stay(serves=self._serves)
        except (SystemExit, KeyboardInterrupt):
            if not self.is_ending:
                raise
            raise ProcessEnding("a request") from None

    def _until(self, request: Request, began: float) -> float | None:
        left = request.seconds_left
        if left is None:
            left = self.settings["max_run"]
        return None if left is None else began + left

    def answer_in_thread(self, request: Request) -> Answer:
        """Do the same from plain code, on an event loop that the process keeps."""
        began = self._app.clock.now()  # the loop may be busy with others
        return self._kept_loop.run(lambda: self._answer(request, began))

    @asynccontextmanager
    async def lifespan(self) -> AsyncGenerator[None]:
        """Open the app for this loop; where the background runs, serve what is due."""
        session = self._app.session
        async with session.using(runs=True, serves=self._serves):
            try:
                yield
            finally:
                await session.part()

    def release(self) -> None:
        """Close all that is open here on the kept loop, and end that loop."""
        self._kept_loop.close(self._app.session.part)
