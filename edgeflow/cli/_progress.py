"""What happens, as lines on stderr; on a terminal, below them, what runs or waits."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from edgeflow.cli._console import fit
from edgeflow.cli._text import brief, clean, pad
from edgeflow.cli._times import CHILD, span, waiting
from edgeflow.errors import StoreError, UnknownInstance

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from edgeflow.cli._console import Console
    from edgeflow.engine.worker import Worker
    from edgeflow.events import Event
    from edgeflow.handle import Handle

FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
PLAIN_FRAMES = "|/-\\"
TICK = 0.1
LOOK = 1.0
"""Seconds between looks at what `ctx.status` says."""
NAMES = (16, 40)
"""Columns for the names of steps, at least and at most."""
SHOWN = 3
"""Steps that the last line names; the others it counts."""
NEAR = 1.0
"""A wait below this many seconds is not worth a line."""


class Progress:
    """An observer that writes each event as a line."""

    def __init__(
        self, console: Console, *, many: bool = False, once: bool = False
    ) -> None:
        """Write to `console`.

        Args:
            console: of the command.
            many: instances; each line names its own.
            once: the first rest ends the command, which says so itself.
        """
        self.backing_off: dict[str, tuple[int, float]] = {}
        """By path: the next attempt, and when."""
        self.rest: tuple[float | None, Sequence[str]] | None = None
        """The wake time and awaited names of an instance at rest."""
        self._console = console
        self._many = many
        self._once = once
        self._names = NAMES[0]
        self._said: object = None

    def __call__(self, event: Event) -> None:
        """Hear of an event."""
        self.rest = None
        match event.kind:
            case "step_completed":
                self.backing_off.pop(event.path, None)
                self._step(event)
            case "attempt_failed":
                self._attempt_failed(event)
            case "message_received":
                self._line(event, "received", f"message in {_name(event.path)}")
            case "suspended":
                self.rest = event.wake_at, event.awaiting
                self._suspended(event)
            case _ if self._many:
                self._ended(event)
            case _:
                return

    def _step(self, event: Event) -> None:
        paint = self._console.err.paint
        tries = f"{event.attempt} attempts" if event.attempt > 1 else ""
        took = "" if event.took is None else f"{span(event.took):>8}"
        text = f"{self._column(event)} {paint(took, 'dim')}  {paint(tries, 'yellow')}"
        self._line(event, "completed", text.rstrip())

    def _attempt_failed(self, event: Event) -> None:
        paint = self._console.err.paint
        what = f"{self._column(event)} attempt {event.attempt} failed{_why(event)}"
        if event.delay is None:
            self.backing_off.pop(event.path, None)
            self._line(event, "failed", what)
            return
        self.backing_off[event.path] = event.attempt + 1, event.at + event.delay
        then = paint(f", next in {span(event.delay)}", "yellow")
        self._line(event, "retrying", what + then)

    def _column(self, event: Event) -> str:
        name = _name(event.path)
        self._names = max(self._names, min(len(name), NAMES[1]))
        return pad(name, self._names)

    def _suspended(self, event: Event) -> None:
        near = event.wake_at is not None and event.wake_at - event.at < NEAR
        what = event.instance, event.wake_at, event.awaiting
        told = self._once or (self._console.err.tty and not self._many)
        if told or (near and not event.awaiting) or what == self._said:
            return
        self._said = what
        self._line(
            event,
            "suspended",
            f"waits: {clean(waiting(event.wake_at, event.awaiting, event.at))}",
        )

    def _ended(self, event: Event) -> None:
        self._line(event, event.kind, f"{event.kind}{_why(event)}")

    def _line(self, event: Event, status: str, text: str) -> None:
        output = self._console.err
        who = ""
        if self._many:
            who = f"{output.paint(clean(event.instance), 'dim')} "
        self._console.live.line(f"{output.sign(status)} {who}{text}")

    # --- the last line ----------------------------------------------------------------

    @asynccontextmanager
    async def below(
        self, worker: Worker, handle: Handle[object]
    ) -> AsyncGenerator[None]:
        """Meanwhile keep a last line of what the instance does, on a terminal."""
        if not self._console.err.tty:
            yield
            return
        task = asyncio.get_running_loop().create_task(self._animate(worker, handle))
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
            self._console.live.last("")

    async def _animate(self, worker: Worker, handle: Handle[object]) -> None:
        output = self._console.err
        frames = FRAMES if output.unicode else PLAIN_FRAMES
        look_at, progress, count = 0.0, "", 0
        while True:
            began = time.monotonic()
            if began >= look_at:
                progress = await self._progress(handle)
                # Reading costs as much as the journal is long: keep it below a tenth.
                look_at = began + max(LOOK, 10 * (time.monotonic() - began))
            resting, text = self._doing(worker, handle.id)
            sign = output.sign("suspended") if resting else frames[count % len(frames)]
            words = fit(output, [(f" {text}", ""), (progress, "dim")], used=1)
            self._console.live.last(sign + words)
            count += 1
            await asyncio.sleep(TICK)

    def _doing(self, worker: Worker, instance: str) -> tuple[bool, str]:
        now = worker.wiring.clock.now()
        under_way = worker.under_way(instance)
        parts: list[str] = []
        for path, attempt, since in under_way:
            self.backing_off.pop(path, None)
            facts = [f"attempt {attempt}"] if attempt > 1 else []
            if now - since >= 1:
                facts.append(span(now - since, whole=True))
            parts.append(_with(_name(path), facts))
        for path, (attempt, when) in self.backing_off.items():
            left = f"attempt {attempt} in {max(when - now, 0):.1f} s"
            parts.append(_with(_name(path), [left]))
        if len(parts) > SHOWN:
            parts[SHOWN:] = [f"{len(parts) - SHOWN} more"]
        if parts or self.rest is None:
            return False, ", ".join(parts) or "running"
        text = f"waits: {clean(waiting(*self.rest, now))}"
        names = [name for name in self.rest[1] if not name.startswith(CHILD)]
        if names:
            text += f"  (edgeflow send {clean(instance)} {clean(names[0])})"
        return True, text

    async def _progress(self, handle: Handle[object]) -> str:
        try:
            info = await handle.info()
        except (StoreError, UnknownInstance):
            return ""
        return "" if info.progress is None else f"  {brief(info.progress, 60)}"


def _why(event: Event) -> str:
    error = event.error
    return "" if error is None else clean(f": {error.type}: {error.message}")


def _with(name: str, facts: Sequence[str]) -> str:
    return f"{name} ({', '.join(facts)})" if facts else name


def _name(path: str) -> str:
    """Write a path as short as it is clear: the first of a name needs no number."""
    parts = clean(path).split(" > ")
    counted = {"turn[0]", "item[0]"}
    return " > ".join(p if p in counted else p.removesuffix("[0]") for p in parts)
