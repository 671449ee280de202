"""AWS Lambda, as a platform."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from edgeflow.platform import require
from edgeflow_lambda._clients import Clients
from edgeflow_lambda._settings import KEYS

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Mapping

    from edgeflow.config import Key
    from edgeflow.platform import Background, Endpoint, Guard, Waker
    from edgeflow_lambda._hearing import Hearing

RUNTIME_API = "AWS_LAMBDA_RUNTIME_API"
"""The variable with host and port of what calls us; every runtime has it.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""


class LambdaPlatform:
    """Functions of AWS Lambda: managed runtimes, container images, SnapStart."""

    name: str = "aws-lambda"
    grace: float = 0.2
    """Of the 0.5 s until the kill; a small machine takes a while for the rest."""
    margin: float = 1.0
    background: Background = "frozen"
    signals: tuple[int, ...] = (signal.SIGTERM,)
    keys: Mapping[str, Key] = KEYS

    def __init__(self) -> None:
        """Open nothing."""
        self._clients = Clients()
        self._hearing: Hearing | None = None
        self._called_as: str | None = None

    def detect(self, environ: Mapping[str, str]) -> str | None:
        """Go by the variable that names the Runtime API."""
        return f"{RUNTIME_API} is set" if RUNTIME_API in environ else None

    def prepare(self, guard: Guard) -> None:
        """Have Lambda tell us before it ends the process, and hear it."""
        api = os.environ.get(RUNTIME_API)
        if api is None:  # a trial on somebody's own machine
            guard.prepare()
        elif threading.current_thread() is threading.main_thread():
            from edgeflow_lambda._extension import register  # noqa: PLC0415  costly
            from edgeflow_lambda._hearing import process_hearing  # noqa: PLC0415  too

            self._hearing = process_hearing()
            if self._hearing.begin(guard):
                register(api)

    def install(self, guard: Guard) -> None:
        """Listen, where it is not Lambda that calls: there a thread of ours does."""
        if RUNTIME_API not in os.environ:
            guard.listen(self.signals)

    def entry(self, endpoint: Endpoint) -> Callable[..., Any]:
        """Make a function of an event and a context."""
        from edgeflow_lambda._entry import entry_of  # noqa: PLC0415  costly
        from edgeflow_lambda._snapshot import before_snapshot  # noqa: PLC0415  too

        if RUNTIME_API in os.environ:
            self._warm_up(endpoint.settings)
        before_snapshot(endpoint.release)  # what comes last here comes first there
        return entry_of(endpoint, self._around)

    def waker(self, settings: Mapping[str, Any]) -> Waker | None:
        """Give what arms alarms by EventBridge Scheduler and SQS.

        Raises:
            ConfigError: if the settings are incomplete, or boto3 is missing.
        """
        from edgeflow_lambda._waker import LambdaWaker, services_of  # noqa: PLC0415  costly

        if not services_of(settings):
            return None
        require("boto3", "boto3", "aws")
        return LambdaWaker(settings, self._clients, lambda: self._called_as)

    def _warm_up(self, settings: Mapping[str, Any]) -> None:
        """Make the clients that will be needed now, while Lambda initializes us.

        It takes a second or more, on small functions much more, which there is not
        when a call is cut off a second before its deadline, or the process ends.
        """
        from edgeflow_lambda import _snapshot as snapshot  # noqa: PLC0415  costly
        from edgeflow_lambda._waker import services_of  # noqa: PLC0415  too

        def make() -> None:
            for service in services_of(settings):
                self._clients.get(service)

        make()
        snapshot.before_snapshot(self._clients.forget)
        snapshot.after_restore(make)

    @contextmanager
    def _around(self, context: Any) -> Generator[None]:
        """Be there while a call lasts, and learn by which ARN it came."""
        self._called_as = getattr(context, "invoked_function_arn", self._called_as)
        if self._hearing is None:
            yield
        else:
            with self._hearing.calling():
                yield
