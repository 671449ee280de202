"""One run undisturbed, and others that are killed until they have ended alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.testing.posts import posts
from edgeflow.testing.processes.instance import Life, Victim
from edgeflow.testing.processes.program import Lost, Program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

    from edgeflow.engine.settings import Durability
    from edgeflow.store import Status
    from edgeflow.testing.posts import Mail
    from edgeflow.testing.processes.killer import Kill


END = (
    "status",
    "output",
    "error",
    "undo_errors",
    "state",
    "answers",
    "inboxes",
    "others",
)
"""What of an end has to be the same however often processes were killed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survival:
    """What a workflow has survived."""

    left: Mapping[str, Any]
    """How it ended, each time."""
    instances: int
    lives: int
    struck: int
    """How many processes a signal has ended."""
    again: int
    """How many attempts were begun once more."""


SPARED = 8
"""After how many lives in a row that brought nothing new one is spared: ten deaths make
a crash loop, which edgeflow blocks."""


async def survives(
    program: Program,
    workflow: str | None = None,
    input: object = None,
    *,
    folder: Path,
    kills: Iterable[Kill],
    deaths: int | None = None,
    messages: Iterable[Mail] = (),
    durability: Durability | None = None,
    at_once: int | None = None,
    ends: Status | None = "completed",
    check: Callable[[Victim], object] = lambda _: None,
) -> Survival:
    """Run an instance undisturbed; then kill process after process, and compare.

    When the killed instance has ended, another one takes the kills that are left.
    Each has to end as the undisturbed one, and a process after its end has to find
    it ended. For what is checked in each life see `Victim.run`.

    Args:
        program: has the workflow.
        workflow: its name; of a program that is run as it is, none.
        input: what the body gets, as plain JSON.
        folder: where the processes run; an empty one.
        kills: one for each process; one whose moment never comes does no harm.
        deaths: how many processes are to be ended by a signal, after which the kills
            that are left are not needed; default: as many as the kills do.
        messages: each is sent once its receiver waits for it, and never twice.
        durability: in place of that of the app.
        at_once: how many steps run side by side at most: in mode "step" no more may
            be in flight at a kill.
        ends: how it has to end undisturbed; None: in any way.
        check: called after each process, the undisturbed ones too: looks at the world
            outside, and raises if that is wrong.

    Raises:
        Lost: if anything is lost, or done twice; if it ends otherwise undisturbed.
        ValueError: if the program cannot be imported.
    """
    mail = posts(messages)

    def victim(number: int) -> Victim:
        where = folder / str(number)
        return Victim(
            program, workflow, input, folder=where, messages=mail, durability=durability
        )

    clean = victim(0)
    await clean.run()
    left = clean.left or {}
    if ends not in (None, left.get("status", ends)):  # a script has an exit code only
        raise Lost(_otherwise(left))
    check(clean)
    victims, plan = [clean], _Plan(iter(kills), deaths)
    while plan.kill is not None:
        victims.append(victim(len(victims)))
        await _wear_out(victims[-1], plan, at_once, check)
        await victims[-1].run()
        check(victims[-1])
        _compare(clean, victims[-1])
    return Survival(
        left=left,
        instances=len(victims),
        lives=sum(len(each.lives) for each in victims),
        struck=plan.struck,
        again=sum(len(each.again) for each in victims),
    )


def _otherwise(left: Mapping[str, Any]) -> str:
    error, status = left.get("error"), left.get("status")
    why = f", {error['type']}: {error['message']}" if error else ""
    return f"undisturbed it is {status}{why}\nIf it has to be: ends={status!r}"


class _Plan:
    """The kills that are left, and how many have struck."""

    def __init__(self, kills: Iterator[Kill], deaths: int | None) -> None:
        self.struck = 0
        self._kills = kills
        self._deaths = deaths
        self.kill = self._next()
        """How the next process is killed; None: it is not."""

    def over(self, life: Life) -> None:
        """Take the next kill."""
        self.struck += life.is_struck
        self.kill = self._next()

    def _next(self) -> Kill | None:
        return None if self.struck == self._deaths else next(self._kills, None)


async def _wear_out(
    victim: Victim,
    plan: _Plan,
    at_once: int | None,
    check: Callable[[Victim], object],
) -> None:
    """Kill and restart until the instance has ended."""
    idle, progress = 0, 0
    while not victim.has_ended:
        if idle == SPARED:
            await victim.run()
            check(victim)
            continue
        life = await victim.run(plan.kill)
        check(victim)
        plan.over(life)
        idle = idle + 1 if victim.progress == progress else 0
        progress = victim.progress
        if at_once is not None and len(life.in_flight) > at_once:
            raise Lost(f"{len(life.in_flight)} steps were in flight\n\n{victim}")


def _compare(clean: Victim, victim: Victim) -> None:
    expected, found, last = clean.left or {}, victim.left or {}, victim.lives[-1]
    wrong = [
        f"{name}: {found.get(name)!r}, undisturbed {expected.get(name)!r}"
        for name in END
        if found.get(name) != expected.get(name)
    ]
    wrong += [f"{effect.path} begins after the end" for effect in last.effects]
    if wrong:
        kills = [life.kill for life in victim.lives if life.kill]
        wrong += ["", str(victim), "", f"The same again: kills={kills}"]
        raise Lost("\n".join(wrong))
