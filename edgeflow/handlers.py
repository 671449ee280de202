"""`@app.handler`: a workflow as what a platform calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, overload

from edgeflow.errors import DefinitionError
from edgeflow.ingress.endpoint import HandlerEndpoint
from edgeflow.ingress.finding import check_finder
from edgeflow.ingress.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from edgeflow.app import App
    from edgeflow.context import Context
    from edgeflow.ingress.finding import Finder
    from edgeflow.ingress.kept_loop import KeptLoop
    from edgeflow.platform import Authorize
    from edgeflow.workflows import Workflow

In = TypeVar("In")
R = TypeVar("R")
In_contra = TypeVar("In_contra", contravariant=True)
R_co = TypeVar("R_co", covariant=True)


class Handler(Protocol, Generic[In_contra, R_co]):
    """What `@app.handler` makes of a function: what the platform calls.

    Its shape is the platform's: a function of an event and a context on AWS Lambda,
    an ASGI application under a server, a program's `main` in a plain process.
    """

    @property
    def workflow(self) -> Workflow[In_contra, R_co]:
        """What it runs: for `app.start(checkout.workflow, …)`."""
        ...

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Be called by the platform."""
        ...

    def __getattr__(self, name: str, /) -> Any:
        """Give what its platform adds: `lifespan`, of an ASGI application."""
        ...


class HandlerDecorator:
    """The type of `app.handler(…)`."""

    @overload
    def __call__(
        self, function: Callable[[Context, In], Coroutine[Any, Any, R]], /
    ) -> Handler[In, R]: ...
    @overload
    def __call__(
        self, function: Callable[[Context], Coroutine[Any, Any, R]], /
    ) -> Handler[None, R]: ...
    def __call__(self, function: Callable[..., Any], /) -> Any:
        """Make the function a handler."""
        raise NotImplementedError


def make_handler(
    app: App,
    workflow: Workflow[In, R],
    kept_loop: KeptLoop,
    *,
    id: Finder | None,
    input: Finder | None,
    authorize: Authorize | None,
) -> Handler[In, R]:
    """Make what the platform of `app` calls to run `workflow`.

    Raises:
        DefinitionError: if `id` or `input` can find nothing, or `authorize` cannot
            be called.
    """
    if id is not None:
        check_finder(id, "id")
    if input is not None:
        check_finder(input, "input")
    if authorize is not None and not callable(authorize):
        raise DefinitionError(
            f"authorize={authorize!r}: give a function of a Request and an Action "
            "that answers True to what is let in"
        )
    reader = Reader(workflow=workflow.name, id=id, input=input, settings=app.config)
    endpoint = HandlerEndpoint(app, workflow, reader, authorize, kept_loop)
    app.platform.prepare(app.session.guard)
    entry: Any = app.platform.entry(endpoint)
    entry.workflow = workflow
    made: Handler[In, R] = entry
    return made
