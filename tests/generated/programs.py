"""Generated workflows: trees of a body's words, as data that reads like a program."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Iterator


class Node:
    """A part of a body."""

    def parts(self) -> list[tuple[str, Node]]:
        """Give what it consists of, each with its name."""
        found: list[tuple[str, Node]] = []
        for field in fields(self):  # type: ignore[arg-type]  # each is a dataclass
            value: Any = getattr(self, field.name)
            if isinstance(value, Node):
                found.append((field.name, value))
            elif isinstance(value, tuple):
                parts = cast("tuple[Node, ...]", value)
                found += [(f"{at}", each) for at, each in enumerate(parts)]
        return found

    def walk(self) -> Iterator[Node]:
        """Give it, and all within it."""
        yield self
        for _, part in self.parts():
            yield from part.walk()

    def lines(self) -> list[str]:
        """Write it as lines of a program."""
        inner = self.parts()
        own = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in fields(self)  # type: ignore[arg-type]  # each is a dataclass
            if not isinstance(getattr(self, field.name), (Node, tuple))
        ]
        head = f"{type(self).__name__}({', '.join(own)})"
        found = [head + ":" if inner else head]
        for name, part in inner:
            first, *rest = part.lines()
            found += [f"    {name}: {first}", *(f"    {line}" for line in rest)]
        return found

    def __repr__(self) -> str:
        return "\n" + "\n".join(self.lines())


@dataclass(frozen=True, repr=False)
class Step(Node):
    """Some attempts, each of which takes its time and fails or succeeds."""

    name: str
    wait: int = 1
    fails: int = 0
    attempts: int = 1
    back_off: float = 0.0625
    undo: str = ""
    """"" for none, else "plain", "flaky" (its first attempt fails) or "broken"."""


@dataclass(frozen=True, repr=False)
class Sleep(Node):
    """`ctx.sleep`, or that of asyncio."""

    wait: int = 1
    by_asyncio: bool = False


@dataclass(frozen=True, repr=False)
class Receive(Node):
    """A message from outside; or none in time."""

    name: str
    wait: int | None = None
    many: bool = False


@dataclass(frozen=True, repr=False)
class Send(Node):
    """A message to one who never runs."""


@dataclass(frozen=True, repr=False)
class Status(Node):
    """Progress."""


@dataclass(frozen=True, repr=False)
class Version(Node):
    """A gate."""

    name: str
    latest: int = 2


@dataclass(frozen=True, repr=False)
class Checkpoint(Node):
    """A point of no return."""


@dataclass(frozen=True, repr=False)
class Now(Node):
    """The time, as the body sees it."""


@dataclass(frozen=True, repr=False)
class Raise(Node):
    """The body fails here."""


@dataclass(frozen=True, repr=False)
class Series(Node):
    """One after the other."""

    items: tuple[Node, ...]


@dataclass(frozen=True, repr=False)
class Join(Node):
    """`ctx.join`."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, repr=False)
class Race(Node):
    """`ctx.race`."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, repr=False)
class Map(Node):
    """`ctx.map` of one body over some numbers."""

    each: Node
    items: int = 2
    limit: int | None = None
    min_ok: int | None = None
    max_failed: int | None = None
    keyed: bool = False


@dataclass(frozen=True, repr=False)
class Loop(Node):
    """`ctx.loop` of some turns."""

    turn: Node
    turns: int = 2
    keep: int = 1
    prune_every: int = 2


@dataclass(frozen=True, repr=False)
class Scope(Node):
    """`ctx.scope`."""

    name: str
    body: Node


@dataclass(frozen=True, repr=False)
class Try(Node):
    """`try: … except Exception: …`."""

    body: Node
    otherwise: Node


@dataclass(frozen=True, repr=False)
class Finally(Node):
    """`try: … finally: …`."""

    body: Node
    after: Node


@dataclass(frozen=True, repr=False)
class Gather(Node):
    """`asyncio.gather`, with errors as values or not."""

    branches: tuple[Node, ...]
    collect: bool = True


@dataclass(frozen=True, repr=False)
class Group(Node):
    """`asyncio.TaskGroup`."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, repr=False)
class First(Node):
    """`asyncio.wait(FIRST_COMPLETED)`; the others are cancelled."""

    branches: tuple[Node, ...]


@dataclass(frozen=True, repr=False)
class Timeout(Node):
    """`asyncio.timeout`."""

    body: Node
    wait: int = 1


@dataclass(frozen=True, repr=False)
class Call(Node):
    """A child that is waited for."""

    child: Node


@dataclass(frozen=True, repr=False)
class Start(Node):
    """A child that goes its own way."""

    child: Node


@dataclass(frozen=True, repr=False)
class Program:
    """A workflow, with the messages that come from outside."""

    body: Node
    period: int = 4
    """Half seconds from one message of a name to the next."""

    @property
    def names(self) -> list[str]:
        """The names of the messages that it asks for."""
        asked = {n.name for n in self.body.walk() if isinstance(n, Receive)}
        return sorted(asked)

    @property
    def children(self) -> dict[int, Node]:
        """What its children do, by number."""
        found = (n for n in self.body.walk() if isinstance(n, (Call, Start)))
        return {at: node.child for at, node in enumerate(found)}

    def __repr__(self) -> str:
        return f"\n# messages every {self.period} half seconds{self.body!r}\n"
