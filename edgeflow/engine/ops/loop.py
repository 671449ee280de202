"""`ctx.loop`: turns with a durable state between them; older turns are pruned."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from inspect import Parameter
from types import UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    Generic,
    NoReturn,
    TypeAlias,
    TypeVar,
    Union,
    cast,
    get_args,
    get_origin,
)

from edgeflow.engine.ops.block import NO_VALUE, BlockOp, Branch
from edgeflow.engine.scope import scope, show
from edgeflow.errors import BodyError, ValueRefused
from edgeflow.late import dataclass
from edgeflow.values import converter, dumps, loads, signature

if TYPE_CHECKING:
    from edgeflow.engine.entries import Entry
    from edgeflow.engine.run import Run
    from edgeflow.values import Converter

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Stop(Generic[T_co]):
    """What a turn returns to end its loop, with the loop's value."""

    value: T_co = None  # type: ignore[assignment]  # Stop() is a Stop[None]


Turn: TypeAlias = Callable[[Any], Coroutine[Any, Any, Any]]


@dataclass(frozen=True, slots=True)
class LoopTypes:
    """What makes state and value of a loop plain JSON and back."""

    state: Converter[Any]
    value: Converter[Any]


def types_of(turn: Turn) -> LoopTypes:
    """Read the annotations of `turn(state) -> state | Stop[value]`.

    Raises:
        DefinitionError: if one cannot be resolved or has no JSON form.
    """
    known = signature(turn)
    states: list[Any] = []
    value: Any = Any
    for member in _members(known.returns()):
        if member is Stop or get_origin(member) is Stop:
            value = next(iter(get_args(member)), Any)
        else:
            states.append(member)
    first = next(iter(known.parameters.values()), None)
    if first is not None and first.annotation is not Parameter.empty:
        return LoopTypes(known.parameter(first.name), converter(value))
    state: Any = Union[tuple(states)] if states else Any  # noqa: UP007  made here
    return LoopTypes(converter(state), converter(value))


def _members(annotation: object) -> tuple[object, ...]:
    if get_origin(annotation) in (Union, UnionType):
        return get_args(annotation)
    return (annotation,)


class LoopOp(BlockOp[Any]):
    """Takes turns until one says `Stop`."""

    kind: ClassVar[str] = "loop"
    takes_kept: ClassVar[bool] = True

    __slots__ = (
        "began",
        "initial",
        "keep",
        "number",
        "prune_every",
        "prune_to",
        "state",
        "turn",
        "types",
        "written",
    )

    def __init__(  # noqa: PLR0917  the words of ctx.loop
        self,
        run: Run,
        name: str,
        turn: Turn,
        state: object,
        keep: int,
        prune_every: int,
    ) -> None:
        """Begin with `state`; keep the last `keep` turns at each pruning."""
        super().__init__(run, name)
        self.turn = turn
        self.types = types_of(turn)
        self.initial = state
        self.keep = keep
        self.prune_every = prune_every
        self.number = 0
        self.state = b""
        """That of the beginning of turn `number`, as JSON."""
        self.began = 0.0
        """When that turn began, in s since the epoch."""
        self.written = -1
        """The last turn whose beginning is recorded."""
        self.prune_to: int | None = None

    def shape(self) -> int:
        return 1

    def enter(self, run: Run) -> None:
        entry = run.journal.entries.get(self.key)
        if entry is not None and entry.is_done:
            return  # its turns are past
        self.number = run.journal.entries.current_turn(self.key)
        begun = run.journal.entries.get((*self.key, "turn", self.number))
        if begun is None:
            self.state = self._encode(self.types.state, self.initial)
        else:
            self.written = self.number
            self.state = dumps(begun.data["state"])
            self.began = begun.data["at"] if self.number else 0.0
        self.start(self.inner, self._take_turns())

    async def _take_turns(self) -> Any:
        while True:
            inner = self.inner.at(("turn", "turn", self.number))
            inner.since = max(inner.since, self.began)
            scope.set(inner)
            result = await self.turn(self._decoded_state())
            self.run.close_scope(inner)
            last = isinstance(result, Stop)
            if last or (self.number + 1) % self.prune_every == 0:
                self.prune_to = self.number - self.keep
            if last:
                return cast("Stop[Any]", result).value
            self.state = self._encode(self.types.state, result)
            self.began = self.run.journal.tick()
            self.number += 1
            self.run.line_up(self)

    def _decoded_state(self) -> Any:
        try:
            return self.types.state.decode(loads(self.state))
        except ValueRefused as why:
            self._refuse("state", why)

    def _encode(self, known: Converter[Any], value: object) -> bytes:
        what = "state" if known is self.types.state else "value"
        try:
            line = dumps(known.encode(value))
            self.run.journal.check_size(len(line), "$")
        except ValueRefused as why:
            self._refuse(what, why)
        return line

    def _refuse(self, what: str, why: ValueRefused) -> NoReturn:
        error = BodyError(f"the {what} of the loop {show(self.path)}: {why}")
        self.run.violate(error)
        raise error

    def ended(self, branch: Branch, error: Exception | None) -> None:
        if error is not None:
            self.fail(error)
        else:
            self.finish(branch.task.result())

    def begin(self, run: Run) -> None:
        journal = run.journal
        if self.key not in journal.entries:
            self.open(run)
        if self.number > self.written:
            segment = ("turn", "turn", self.number)
            journal.record(
                (*self.path, segment),
                "begun",
                key=(*self.key, "turn", self.number),
                completion=False,
                at=self.began or journal.tick(),
                state=loads(self.state),
            )
            self.written = self.number
        if self.prune_to is not None:
            journal.prune(self.path, self.prune_to)
            self.prune_to = None
        if self.natural is not NO_VALUE and not self.recorded:
            self.recorded = True
            value = loads(self._encode(self.types.value, self.natural))
            run.complete(
                self, since=self._since(journal.entries[self.key]), value=value
            )

    def settle(self, entry: Entry) -> None:
        if not self.future.done():
            self.future.set_result(self.types.value.decode(entry.data.pop("value")))
