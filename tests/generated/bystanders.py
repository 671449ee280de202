"""Programs in the crash matrix, which has processes and a clock of its own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from edgeflow import App
from edgeflow.testing.lives import Lives
from edgeflow.testing.posts import Post
from edgeflow_memory import MemoryStore

from .drawing import MESSAGES
from .world import World

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PLENTY = [Post(name, "hello") for name in MESSAGES for _ in range(50)]


class Outside(World):
    """Leaves all that is judged, and time, to the matrix: its steps take none."""

    def began(self, what: str, label: str, attempt: int) -> None:
        """Hear of an attempt that begins."""

    def ended(self, what: str, label: str) -> None:
        """Hear of a step, or an undo, that ends well."""

    def is_written(self, what: str) -> bool:
        return True

    async def until(self, when: float) -> None:
        pass

    @property
    def whole(self) -> App:
        """An app with the program and its children."""

        @asynccontextmanager
        async def lifespan() -> AsyncGenerator[Outside]:
            yield self

        return App(
            "memory:",
            workflows=(self.main, self.child),
            durability=self.mode,
            lifespan=lifespan,
        )

    async def mail(self, *, parked: bool) -> list[Post]:
        """Run it without faults; give the messages that it waited for."""
        lives = Lives(
            self.whole,
            self.main,
            None,
            posts=PLENTY,
            plan=(),
            parked=parked,
            store=MemoryStore(),
        )
        await lives.run()
        return [post for at, post in enumerate(PLENTY) if at not in lives.unsent]
