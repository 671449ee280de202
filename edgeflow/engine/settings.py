"""How instances are run: what the app decides and every run reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from edgeflow.late import dataclass

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow.engine.observing import Observers
    from edgeflow.engine.run import Run
    from edgeflow.engine.threads import Threads
    from edgeflow.engine.undo import Undo

Durability: TypeAlias = Literal["step", "behind", "suspend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """For the instances of one workflow; durations in seconds, sizes in bytes."""

    threads: Threads
    chance: Callable[[], float]
    """A random number in 0 to 1, for jitter."""
    sent: Callable[[str], None] = lambda _to: None
    """Hears whom a flush has sent a message."""
    born: Callable[[str, str, bool], None] = lambda _parent, _child, _known: None
    """Hears of the parent and the id of each child, and whether it was there before."""
    observers: Observers
    resources: Any = None
    durability: Durability = "step"
    linger: float = 0.1
    max_dirty_bytes: int = 256 * 1024
    max_dirty_age: float = 1.0
    lease: float = 30.0
    poll: float = 1.0
    """How often the inbox is looked into while steps run beside a receive."""
    grace: float = 8.0
    strict_names: bool = False


@dataclass(frozen=True, slots=True)
class Body:
    """A workflow's code, as a run needs it."""

    begin: Callable[[Run], Coroutine[Any, Any, Any]]
    """Decodes the input and calls the function."""
    encode_output: Callable[[Any], Any]
    """Makes what the function returned plain JSON."""
    find_undo: Callable[[str], Undo | None]
    """Finds an undo by the name that the journal holds."""
