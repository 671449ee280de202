"""Child instances: called, and waited for; or started, and left alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from edgeflow.engine import children
from edgeflow.engine.failures import info
from edgeflow.engine.inbox import unseal
from edgeflow.engine.operation import Op
from edgeflow.engine.scope import show
from edgeflow.errors import ChildError, HistoryDiverged, Unencodable
from edgeflow.late import dataclass
from edgeflow.values import dumps

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.engine.run import Run
    from edgeflow.store import Envelope

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Target:
    """A workflow that is to be run on an input."""

    workflow: str
    """Its name."""
    encode: Callable[[], Any]
    """Makes the input plain JSON."""
    decode: Callable[[Any], Any]
    """Makes the output, plain JSON, what the body gets."""


class ChildOp(Op[T]):
    """Makes a child of a workflow, under a given id or one of its own."""

    calls: ClassVar[bool]

    __slots__ = ("child", "target", "workflow")

    def __init__(self, run: Run, name: str, target: Target, child: str | None) -> None:
        """Run `target` under the id `child`; None: one that is the same on replay."""
        super().__init__(run, name)
        self.target = target
        self.workflow = target.workflow
        self.child = child

    def bear(self, run: Run) -> str:
        """Let the child be created with the next flush; give its id.

        Raises:
            Unencodable: if its input cannot be stored.
            ValueTooLarge: if its input is above the store's limit.
        """
        what = f"the input of child {show(self.path)}"
        try:
            plain = self.target.encode()
        except Unencodable as error:
            raise Unencodable(f"{what} {error.path}", error.why) from None
        run.journal.check_size(len(dumps(plain)), what)
        child = self.child or run.journal.stable_id(self.key)
        children.bear(run, self.key, child, self.workflow, plain, call=self.calls)
        return child


class StartOp(ChildOp[str]):
    """Makes a child and gives its id."""

    kind: ClassVar[str] = "start"
    calls: ClassVar[bool] = False

    __slots__ = ()

    def begin(self, run: Run) -> None:
        run.complete(self, value=self.bear(run), workflow=self.workflow)

    def outcome(self, data: dict[str, Any]) -> str:
        found: str = data["value"]
        return found


class CallOp(ChildOp[Any]):
    """Makes a child and waits for its end."""

    kind: ClassVar[str] = "call"
    calls: ClassVar[bool] = True

    __slots__ = ("limit", "names", "since")

    def __init__(self, run: Run, name: str, target: Target, child: str | None) -> None:
        """Run `target` and wait for the message by which it tells its end."""
        super().__init__(run, name, target, child)
        self.since = run.body.time()
        """When it was asked for, in s since the epoch: the same on replay."""
        self.names: tuple[str, ...] = ()
        self.limit = 1

    def begin(self, run: Run) -> None:
        entry = run.journal.entries.get(self.key)
        if entry is None:
            self.child = self.bear(run)
            run.journal.record(
                self.path,
                "called",
                key=self.key,
                completion=False,
                child=self.child,
                workflow=self.workflow,
            )
            run.flusher.urgent = True
        elif entry.status == "cancelled":
            raise HistoryDiverged(
                show(self.path), "a cancelled call", "a call that is waited for"
            )
        else:
            self.child = str(entry.data["child"])
            self.workflow = str(entry.data["workflow"])
        self.names = children.awaited_of(run.journal, self.key, self.child)
        run.wait_for(self)

    def arrived(self, run: Run, messages: list[Envelope]) -> None:
        """Record the end of the child: its message leaves with the same flush."""
        run.receivers.pop(self.key, None)
        (message,) = messages
        end = unseal(message.body, run.journal.wiring.codec).body
        known: dict[str, Any] = {"child": self.child, "workflow": self.workflow}
        if end["status"] == "completed":
            run.complete(self, value=end["output"], **known)
        else:
            known |= {"kind": end["status"], "error": end["error"]}
            entry = run.journal.record(self.path, "failed", key=self.key, **known)
            run.land(entry)
        run.journal.acknowledge(message.id)

    def outcome(self, data: dict[str, Any]) -> Any:
        if data["status"] == "completed":
            return self.target.decode(data.pop("value"))
        raise ChildError(
            data["kind"], data["workflow"], data["child"], info(data["error"])
        )

    def abandon(self, run: Run) -> None:
        run.receivers.pop(self.key, None)
        entry = run.journal.pending.get(self.key)
        if entry is not None:
            children.cancel(run, entry)
