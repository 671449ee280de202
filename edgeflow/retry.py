"""When a failed attempt is followed by another, and how long after."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from edgeflow.errors import DefinitionError, FatalError, StateConflict
from edgeflow.late import dataclass

Matcher: TypeAlias = (
    type[BaseException]
    | tuple[type[BaseException], ...]
    | Callable[[BaseException], bool]
)


@dataclass(frozen=True, slots=True)
class Retry:
    """A retry policy: exponential back-off, counted from the failure."""

    attempts: int = 4
    """How often the step may start, the first time included."""
    first: float = 0.2
    """Seconds between the first failure and the second attempt."""
    factor: float = 2.0
    """What each further delay is multiplied by."""
    cap: float = 30.0
    """The longest delay in seconds, before jitter."""
    jitter: float = 0.1
    """How far a delay may differ from its nominal length, as a share of it."""
    on: Matcher = Exception
    """Which errors are worth another attempt: a type, some types or a predicate."""

    def __post_init__(self) -> None:
        """Refuse what makes no sense.

        Raises:
            DefinitionError: if a number is out of its range; names it.
        """
        for name, low in (("attempts", 1), ("first", 0), ("factor", 1), ("cap", 0)):
            if not getattr(self, name) >= low:
                raise DefinitionError(
                    f"Retry({name}={getattr(self, name)!r}): must be {low} or more"
                )
        if not 0 <= self.jitter <= 1:
            raise DefinitionError(f"Retry(jitter={self.jitter!r}): must be in 0 to 1")

    def matches(self, error: BaseException) -> bool:
        """Tell whether this error is worth another attempt, whatever their number."""
        if isinstance(error, FatalError):
            return False
        if isinstance(error, StateConflict):
            return True
        if callable(self.on) and not isinstance(self.on, type):
            return self.on(error)
        return isinstance(error, self.on)

    def delay(self, attempt: int, chance: float) -> float:
        """Seconds to wait after attempt `attempt` (1, 2, …) failed.

        `chance`, in 0 to 1, picks the place within the jitter.
        """
        try:
            nominal = min(self.cap, self.first * self.factor ** (attempt - 1))
        except OverflowError:
            nominal = self.cap
        return nominal * (1 + self.jitter * (2 * chance - 1))
