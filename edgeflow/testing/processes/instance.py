"""An instance whose processes are killed, one after the other."""

from __future__ import annotations

import signal
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.store import TERMINAL
from edgeflow.testing.posts import posts
from edgeflow.testing.processes.judge import Judge
from edgeflow.testing.processes.log import read
from edgeflow.testing.processes.program import Lost
from edgeflow.testing.processes.watch import ID

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from edgeflow.engine.settings import Durability
    from edgeflow.testing.posts import Mail
    from edgeflow.testing.processes.judge import Effect
    from edgeflow.testing.processes.killer import Kill
    from edgeflow.testing.processes.program import Program


@dataclass(frozen=True, slots=True)
class Life:
    """How one process went."""

    kill: Kill | None
    """How it was to be killed."""
    code: int
    """Its exit code; -9 if SIGKILL has ended it, and so on."""
    effects: tuple[Effect, ...]
    """The attempts that it began, in order."""
    in_flight: tuple[Effect, ...]
    """Those of them that had no durable outcome when it ended."""
    left: Mapping[str, Any] | None
    """How everything stood when it had done all; None if it was ended before."""
    errors: str
    """What it wrote to stderr."""
    is_struck: bool
    """Whether the kill has ended it."""

    def __str__(self) -> str:
        parts = [repr(self.kill) if self.kill else "undisturbed", f"exit {self.code}"]
        if self.left is not None:
            parts.append(str(self.left.get("status", "ended")))
        steps = [
            f"  {effect.path}, attempt {effect.attempt}" for effect in self.effects
        ]
        return "\n".join([", ".join(parts), *steps])


class Victim:
    """An instance, and the processes that drive it one after the other."""

    def __init__(
        self,
        program: Program,
        workflow: str | None = None,
        input: object = None,
        *,
        folder: Path,
        messages: Iterable[Mail] = (),
        durability: Durability | None = None,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            program: has the workflow.
            workflow: its name; of a program that is run as it is, none.
            input: what the body gets, as plain JSON.
            folder: where its processes run; made, unless it is there.
            messages: each is sent once its receiver waits for it, and never twice.
            durability: in place of that of the app.
        """
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder.resolve()
        self.id = ID
        self.lives: list[Life] = []
        self._program = program
        self._judge = Judge()
        self._read = 0
        self._orders = {
            "workflow": workflow,
            "input": input,
            "posts": [asdict(post) for post in posts(messages)],
            "options": {} if durability is None else {"durability": durability},
            "folder": str(self.folder),
            "log": str(self._file("log")),
        }

    @property
    def left(self) -> Mapping[str, Any] | None:
        """How everything stood when the last process ended, if it was not killed."""
        return self.lives[-1].left if self.lives else None

    @property
    def has_ended(self) -> bool:
        """Whether a process has said that the instance has ended."""
        if self.left is None or self._program.is_script:
            return self.left is not None
        return self.left["status"] in {*TERMINAL, "blocked"}

    @property
    def progress(self) -> int:
        """How much is known to be durable: it grows with each outcome."""
        return self._judge.progress

    @property
    def again(self) -> tuple[Effect, ...]:
        """The attempts so far that were begun though an earlier process had."""
        return tuple(self._judge.again)

    async def run(self, kill: Kill | None = None, *, once: bool = False) -> Life:
        """Start a process and wait for its end.

        Args:
            kill: how it is killed; it ends undisturbed if that moment never comes.
            once: end when the instance rests, as `App.drive` does; else when it has
                ended.

        Raises:
            Lost: if it did what it must not: began what was durable, or an attempt
                too many; failed; did not end in time.
            ValueError: if the program cannot be imported.
        """
        out, errors = self._file("out"), self._file("err")
        started = errors.stat().st_size if errors.exists() else 0
        orders = {
            **self._orders,
            "out": str(out),
            "err": str(errors),
            "once": once,
            "kill": kill and asdict(kill),
        }
        end = await self._program.live(orders)
        lines = read(self._file("log"), self._read)
        self._read = self._file("log").stat().st_size
        effects = self._judge.hear(lines)
        said = errors.read_bytes()[started:].decode(errors="replace")
        left = [values for word, *values in lines if word == "left"]
        life = Life(
            kill,
            end.code,
            tuple(effects),
            tuple(self._judge.in_flight),
            left[-1][0] if left else None,
            said,
            kill is not None and self._is_struck(kill, end.code, said),
        )
        self.lives.append(life)
        self._check(life, hung=end.hung)
        return life

    def _is_struck(self, kill: Kill, exit_code: int, errors: str) -> bool:
        if exit_code in {-kill.by, 128 + kill.by}:  # the latter in an orderly way
            return True
        # A program may make of it what it likes, and the interpreter at its end, too.
        listens = self._program.is_script or "KeyboardInterrupt" in errors
        return exit_code != 0 and kill.by != signal.SIGKILL and listens

    def _check(self, life: Life, *, hung: bool) -> None:
        wrong = list(self._judge.complaints)
        if hung:
            wrong.append(f"a process has not ended after {self._program.limit:g} s")
        elif life.code and not life.is_struck:
            wrong.append(f"a process has failed:\n{life.errors}")
        if wrong:
            raise Lost("\n".join([*wrong, "", str(self)]))

    def _file(self, name: str) -> Path:
        return self.folder / f"victim.{name}"

    def __str__(self) -> str:
        return "\n".join(f"life {n}: {life}" for n, life in enumerate(self.lives, 1))
