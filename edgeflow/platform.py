"""What a platform must tell us, and what it gets: one protocol, and its values.

A platform is whatever calls a handler and ends its process: a serverless runtime,
an ASGI server, cron. Its adapter turns each call into a `Request`, has the
`Endpoint` answer it, and turns the `Answer` into what the platform expects. All
durations are seconds, all times seconds since the epoch (UTC).

This module is near the bottom of the house: it imports `errors` and `config`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from edgeflow.errors import ConfigError
from edgeflow.late import dataclass, field

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from contextlib import AbstractAsyncContextManager

    from edgeflow.config import Key

Background: TypeAlias = Literal["runs", "throttled", "frozen", "none"]
"""What becomes of tasks after an answer; only where they run, a worker serves."""

DOOR = "edgeflow"
"""The one reserved key of events: what is under it is for us, see `Alarm.event`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One call from outside: what `authorize` sees."""

    source: Literal["http", "event"]
    """Whether it came over HTTP, or is an event that the platform hands over."""
    event: Any = None
    """Plain JSON: what an `id=` or `input=` looks into. Of HTTP: set from `body`."""
    method: str = "POST"
    path: str = "/"
    """Below the place where the handler is mounted; decoded; begins with "/"."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """Names in lower case."""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    """Of HTTP, as it came."""
    authenticated: bool = False
    """Whether the platform, or the shared secret, has vouched for who calls."""
    delivery: str | None = None
    """What stays the same when the platform delivers this once more."""
    seconds_left: float | None = None
    """Until the platform wants the answer; None: it does not say."""
    native: object = None
    """What the platform gave."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """A call that a platform is asked for: `alarm.event()`, at a time."""

    instance: str
    key: str
    """What makes it due: the number of a frame, or the id of a message."""
    when: float
    """In s since the epoch; it may have passed."""

    def name(self, when: float) -> str:
        """Give 43 characters of a-z, 0-9 and "-" that are the same for the same alarm.

        `when`: the time that is really asked for, if `self.when` is too far away.
        """
        from hashlib import sha256  # noqa: PLC0415  costly

        parts = f"{self.instance}\0{self.key}\0{int(when)}"
        return f"ef-{sha256(parts.encode()).hexdigest()[:40]}"

    def event(self) -> dict[str, Any]:
        """Give the event by which a waker has the instance looked at.

        With the alarm in it, so that one that comes too early is known to be a hop.
        """
        return {DOOR: {"wake": self.instance, "alarm": [self.key, self.when]}}


ActionKind: TypeAlias = Literal["start", "send", "look", "wake", "run_due"]


@dataclass(frozen=True, slots=True)
class Action:
    """What a request would do if it is let in: what `authorize` decides about."""

    kind: ActionKind
    """start: start or resume; send: a message; look: read; wake: run if due."""
    id: str = ""
    """Of the instance; "" for run_due."""
    name: str = ""
    """Of the message, for send; else of the handler's workflow."""
    body: Any = None
    """Plain JSON: the input, or the message."""
    message_id: str | None = None
    """Of the message: the same one is delivered once. None: it has none."""
    limit: int | None = None
    """Of run_due: how many instances at most; None: all that are due."""
    alarm: Alarm | None = None
    """Of wake: what was asked for; None: somebody else wants it looked at."""


Authorize: TypeAlias = "Callable[[Request, Action], bool | Awaitable[bool]]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What the caller gets. No stack trace is ever in it."""

    status: int
    """As HTTP says it: 200, 202, 400, 403, 404, 405, 409, 413, 500, 503."""
    value: Any
    """Plain JSON."""
    content: bytes
    """`value` as JSON text."""
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """To be sent besides the content type, which is application/json."""

    @property
    def is_decided(self) -> bool:
        """Whether calling again could change nothing: then a trigger has succeeded.

        Else nothing could be made durable, and the platform's retry is the recovery.
        """
        return self.status != 503  # noqa: PLR2004  Service Unavailable

    @property
    def is_refused(self) -> bool:
        """Whether the request was not understood or not let in; nothing was done."""
        return 400 <= self.status < 500 and self.status != 409  # noqa: PLR2004  client errors, but Conflict


def require(module: str, package: str, extra: str) -> None:
    """See to it that a client library is installed, without importing it.

    Raises:
        ConfigError: if it is not; says how to install it.
    """
    from importlib.util import find_spec  # noqa: PLC0415  costly

    try:
        found = find_spec(module)
    except ModuleNotFoundError:  # nor is what it is in
        found = None
    if found is None:
        raise ConfigError(
            f"wake-ups are set up, but {package} is not installed: "
            f"pip install 'edgeflow-durable[{extra}]'"
        )


class Waker(Protocol):
    """Has the platform call us at a time, while no process of ours runs."""

    def arm(self, alarm: Alarm) -> None:
        """Ask for a call with `alarm.event()` at `alarm.when` or earlier.

        Called in a thread, before the flush whose wake time it is, and after it for
        what is soon; perhaps in several at once, and again for the same alarm: use
        `alarm.name`, and take "there is one of that name" for success. What is too far
        away is asked for at the longest delay: who comes early arms the next.

        Raises:
            Exception: if it could not be armed; it is tried again, and then the flush
                is given up as if the store were away.
        """
        ...


class Endpoint(Protocol):
    """One handler, as its platform sees it."""

    @property
    def name(self) -> str:
        """The name of its workflow."""
        ...

    @property
    def doc(self) -> str | None:
        """The docstring of its function."""
        ...

    @property
    def settings(self) -> Mapping[str, Any]:
        """The effective configuration on this platform, its own keys included."""
        ...

    @property
    def is_ending(self) -> bool:
        """Whether the process was told to end: every request is answered 503."""
        ...

    async def answer(self, request: Request) -> Answer:
        """Do what a request wants, and answer after it is durable. Raises nothing.

        The app stays open on this event loop for the requests that follow. Where the
        background does not run nothing of ours does after the answer.
        """
        ...

    def answer_in_thread(self, request: Request) -> Answer:
        """Do the same from plain code, on an event loop that the process keeps.

        It lives in a daemon thread, so the caller's thread only waits. Any number of
        threads may call. Raises nothing.
        """
        ...

    def lifespan(self) -> AbstractAsyncContextManager[None]:
        """Open the app for this loop; where the background runs, serve what is due."""
        ...

    def release(self) -> None:
        """Close all that is open here on the kept loop, and end that loop.

        For a snapshot of the process; the next `answer_in_thread` opens it again.
        """
        ...


class Guard(Protocol):
    """Hears that the process is to end; there is one in a process."""

    def listen(self, signals: tuple[int, ...]) -> bool:
        """Hear these signals, before whoever hears them now, who is called too.

        False: this is not the main thread, and none has prepared for that.
        """
        ...

    def prepare(self) -> None:
        """Make `listen` possible from other threads; call it in the main thread.

        It keeps working after a fork, and when a server resets the handlers.
        """
        ...

    def hear(self, number: int) -> None:
        """Begin the end as a signal does; from any thread or signal handler."""
        ...

    def wait(self, timeout: float) -> bool:
        """Wait, in a thread that runs no loop of ours, until all is durable."""
        ...


class Platform(Protocol):
    """What calls handlers and ends processes. Announced by an entry point.

    The group is `edgeflow.platforms`, the name that of the platform, the object a
    class that takes no arguments. `import` of its package must be cheap.
    """

    @property
    def name(self) -> str:
        """As in the configuration: "aws-lambda"."""
        ...

    @property
    def grace(self) -> float:
        """Seconds that running steps get after the signal; 0: there is none."""
        ...

    @property
    def margin(self) -> float:
        """Seconds before a deadline at which running steps are cut, by default."""
        ...

    @property
    def background(self) -> Background:
        """What becomes of tasks after an answer."""
        ...

    @property
    def signals(self) -> tuple[int, ...]:
        """What tells the process to end."""
        ...

    @property
    def keys(self) -> Mapping[str, Key]:
        """Its own settings."""
        ...

    def detect(self, environ: Mapping[str, str]) -> str | None:
        """Say by what it is recognized: "AWS_LAMBDA_RUNTIME_API is set"; None: not."""
        ...

    def prepare(self, guard: Guard) -> None:
        """Do what has to be done early, where handlers are defined: at import.

        Nothing is open then, and the process may be forked afterwards.
        """
        ...

    def install(self, guard: Guard) -> None:
        """Have the guard hear what ends the process: `guard.listen(self.signals)`.

        Called before each run, because servers install handlers of their own after
        the import; it must be quick the second time.
        """
        ...

    def entry(self, endpoint: Endpoint) -> Callable[..., Any]:
        """Make what the platform calls."""
        ...

    def waker(self, settings: Mapping[str, Any]) -> Waker | None:
        """Give what arms alarms here; None: somebody polls, or calls run_due.

        Raises:
            ConfigError: if the settings are incomplete, or its client library is
                missing (see `require`); says what to do.
        """
        ...
