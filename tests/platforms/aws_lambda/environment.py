"""A process of the real runtime, `awslambdaric`, started and ended as Lambda does it.

https://docs.aws.amazon.com/lambda/latest/dg/lambda-runtime-environment.html
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import pytest

from tests.platforms.aws_lambda.service import Service
from tests.platforms.serving import favour

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Self

    from tests.platforms.aws_lambda.service import Invocation

MANAGED = "AWS_Lambda_python3.12"
"""A runtime that polls for events in a thread."""
IMAGE = ""
"""A container image, or Python 3.11: it polls in C, in the main thread."""
TERM_SECONDS = 0.5
EXTERNAL_SECONDS = 2.0
"""Between SIGTERM and SIGKILL, with an internal extension."""
PATIENCE = 15
COUNTS = {"COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START"}
"""They have a process counted; on a slow machine that takes all of `TERM_SECONDS`."""


class FunctionError(Exception):
    """What the function answered by an error: its type and message."""


class Environment:
    """One process, with all that is around it; `folder` has its store and its notes."""

    def __init__(
        self,
        folder: Path,
        runtime: str = MANAGED,
        variables: Mapping[str, str] = MappingProxyType({}),
        service: Service | None = None,
        *,
        handler: str = "program.checkout",
    ) -> None:
        pytest.importorskip("awslambdaric", reason="awslambdaric is not installed")
        self.folder = folder
        self.service = service or Service()
        self.log = folder / "log"
        environ = {
            **{name: os.environ[name] for name in os.environ if name not in COUNTS},
            "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{self.service.server_port}",
            "AWS_LAMBDA_FUNCTION_NAME": "checkout",
            "EDGEFLOW_STORE": "sqlite:///edgeflow.db",
            "PYTHONPATH": str(Path(__file__).parent),
            **({"AWS_EXECUTION_ENV": runtime} if runtime else {}),
            **variables,
        }
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "awslambdaric", handler],
                cwd=folder,
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        favour(self.process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._signal(signal.SIGKILL)
        self.process.wait()
        self.service.shutdown()
        self.service.server_close()

    def begin(self, event: Any, seconds: float = 30) -> Invocation:
        """Have the function called, with so many seconds to answer."""
        return self.service.begin(event, seconds)

    def end(self, call: Invocation) -> Any:
        """Wait for the answer of a call.

        Raises:
            FunctionError: if the function answered by an error.
        """
        self.wait_for(call.answered.is_set, f"{call.event} is not answered")
        if call.error is not None:
            raise FunctionError(call.error["errorType"], call.error["errorMessage"])
        return call.value

    def call(self, event: Any, seconds: float = 30) -> Any:
        """Call the function, and wait for its answer."""
        return self.end(self.begin(event, seconds))

    def noted(self, line: str) -> None:
        """Wait until a step has written this line."""
        self.wait_for(lambda: line in notes(self.folder), f"no {line!r}")

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            if self.process.poll() is not None or time.monotonic() > until:
                log = self.log.read_text("utf-8")
                pytest.fail(f"{what}; process: {self.process.poll()}; log:\n{log}")
            time.sleep(0.005)

    def stop(self, within: float = TERM_SECONDS) -> float:
        """End the process as Lambda does; give the seconds it took to end.

        With an external extension it has `EXTERNAL_SECONDS` within which to end.
        """
        began = time.monotonic()
        if self.service.extensions:
            self._signal(signal.SIGTERM)
            while self.process.poll() is None and time.monotonic() - began < within:
                time.sleep(0.001)
        if self.process.poll() is None:
            self._signal(signal.SIGKILL)
            self.process.wait()
        return time.monotonic() - began

    def _signal(self, number: int) -> None:
        """Signal the process and those it has forked, as Lambda does."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)

    def files(self) -> list[str]:
        """What the process has open: paths, and sockets by their number."""
        return [str(file.readlink()) for file in (self._proc / "fd").iterdir()]

    def peers(self) -> set[int]:
        """The ports that the process is connected to."""
        table = (self._proc / "net" / "tcp").read_text("ascii").splitlines()[1:]
        rows = [row.split() for row in table]
        mine = {f"socket:[{row[9]}]": row[2].rpartition(":")[2] for row in rows}
        return {int(mine[file], 16) for file in self.files() if file in mine}

    @property
    def _proc(self) -> Path:
        return Path(f"/proc/{self.process.pid}")


def notes(folder: Path) -> list[str]:
    """What the steps have noted so far."""
    file = folder / "notes"
    return file.read_text("utf-8").splitlines() if file.exists() else []
