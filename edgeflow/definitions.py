"""What an app runs: its workflows, and the handlers made of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from edgeflow.registry import Registry
from edgeflow.workflows import Workflow, WorkflowDecorator, define

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from edgeflow.app import App
    from edgeflow.context import Context
    from edgeflow.engine.settings import Durability
    from edgeflow.handlers import Handler, HandlerDecorator
    from edgeflow.ingress.finding import Finder
    from edgeflow.ingress.kept_loop import KeptLoop
    from edgeflow.platform import Authorize

In = TypeVar("In")
R = TypeVar("R")


class Definitions:
    """The part of an app by which workflows and handlers are defined."""

    def __init__(self, workflows: Iterable[Workflow[Any, Any]]) -> None:
        """Take these, which were made elsewhere.

        Raises:
            DefinitionError: if two have one name.
        """
        self._registry = Registry()
        self._kept_loop: KeptLoop | None = None
        for known in workflows:
            self.register(known)

    @overload
    def workflow(
        self, function: Callable[[Context, In], Coroutine[Any, Any, R]], /
    ) -> Workflow[In, R]: ...
    @overload
    def workflow(
        self, function: Callable[[Context], Coroutine[Any, Any, R]], /
    ) -> Workflow[None, R]: ...
    @overload
    def workflow(
        self, /, *, name: str | None = None, durability: Durability | None = None
    ) -> WorkflowDecorator: ...
    def workflow(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        durability: Durability | None = None,
    ) -> Any:
        """Make an `async def` a workflow of this app; see `edgeflow.workflow`."""
        if function is None:
            return partial(self._define, name=name, durability=durability)
        return self._define(function, name=name, durability=durability)

    def _define(
        self,
        function: Callable[..., Any],
        *,
        name: str | None,
        durability: Durability | None,
    ) -> Workflow[Any, Any]:
        return self.register(define(function, name, durability))

    def register(self, workflow: Workflow[In, R]) -> Workflow[In, R]:
        """Add a workflow that was made elsewhere.

        Raises:
            DefinitionError: if another one has its name.
        """
        return self._registry.register(workflow)

    @overload
    def handler(
        self,
        workflow: Workflow[In, R],
        /,
        *,
        id: Finder | None = None,
        input: Finder | None = None,
        authorize: Authorize | None = None,
    ) -> Handler[In, R]: ...
    @overload
    def handler(
        self,
        function: Callable[[Context, In], Coroutine[Any, Any, R]],
        /,
    ) -> Handler[In, R]: ...
    @overload
    def handler(
        self,
        function: Callable[[Context], Coroutine[Any, Any, R]],
        /,
    ) -> Handler[None, R]: ...
    @overload
    def handler(
        self,
        /,
        *,
        id: Finder | None = None,
        input: Finder | None = None,
        authorize: Authorize | None = None,
        name: str | None = None,
        durability: Durability | None = None,
    ) -> HandlerDecorator: ...
    def handler(
        self,
        workflow: Callable[..., Any] | None = None,
        /,
        *,
        id: Finder | None = None,
        input: Finder | None = None,
        authorize: Authorize | None = None,
        name: str | None = None,
        durability: Durability | None = None,
    ) -> Any:
        """Make an `async def`, or a workflow, what this app's platform calls.

        Each call starts the instance that its event names, or goes on with it, drives
        it until it rests, at the latest before the platform's deadline, and answers
        once everything is durable: with the output, or with where it stands (202).
        Wake-ups and messages come in by the same entry point. With no more than the
        margin left before the deadline nothing is begun, and the answer is 503.

        Args:
            workflow: takes the `Context`, and the event or what `input` finds in it.
            id: where the instance's id is in the event: a key, a dotted path, or a
                function of the event; an event without it is refused. Default: the
                id that the platform gives each delivery, else a new one.
            input: where the input is; default: the whole event.
            authorize: called with the `Request` and the `Action` it asks for; only
                what it answers True to is let in, besides wake-ups of those whom
                the platform or the shared secret vouches for
                (`request.authenticated`). Who is let in by it alone finds only the
                instances of this handler. Default: lets in whom they vouch for.
            name: of the workflow; default: the function's.
            durability: of its steps; default: the app's.

        Raises:
            DefinitionError: if the function can be no workflow, or `id` or `input`
                can find nothing, or `authorize` cannot be called.
        """
        from edgeflow.handlers import make_handler  # noqa: PLC0415  with the ingress
        from edgeflow.ingress.kept_loop import KeptLoop  # noqa: PLC0415  likewise

        self._kept_loop = kept_loop = self._kept_loop or KeptLoop()

        def make(function: Callable[..., Any]) -> Handler[Any, Any]:
            return make_handler(
                cast("App", self),
                self._define(function, name=name, durability=durability),
                kept_loop,
                id=id,
                input=input,
                authorize=authorize,
            )

        return make if workflow is None else make(workflow)

    @property
    def workflows(self) -> tuple[Workflow[Any, Any], ...]:
        """The registered workflows, in the order of their registration."""
        return self._registry.all()

    def known(self, name: str) -> Workflow[Any, Any] | None:
        """Give the workflow of this name, if it is registered here."""
        return self._registry.get(name)
