"""Starting real processes of a program, and waiting for their end."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeflow.stores import DEFAULT_URL
from edgeflow.testing.processes.victim import code

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from typing import IO, Self


class Lost(AssertionError):
    """A process did what edgeflow promises it never does; its text tells the lives."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process has ended."""

    code: int
    """Or -signal."""
    hung: bool
    """Whether it was killed because it did not end in time."""


class Program:
    """A program with an App; its processes are started one at a time.

    It is imported once, in a process that forks one for each life.
    """

    def __init__(
        self,
        target: str | os.PathLike[str],
        *,
        store: str = DEFAULT_URL,
        args: Sequence[str] | None = None,
        forks: bool = True,
        limit: float = 15.0,
    ) -> None:
        """Name the program; nothing is started yet.

        Args:
            target: `module:app`, or the path of a file, with `:app` if it has several.
                Without an App, one with all its workflows is made.
            store: what takes the place of the App's store; a relative path is below
                the folder of the instance.
            args: run the file as it is, as `python target args…` would; if its App
                names a store, `store` has to be the same. Default: import it.
            forks: False: each life is a new interpreter that imports the program
                itself, which takes half a second.
            limit: seconds after which a life that does not end is killed.
        """
        self._target = str(target)
        self.is_script = args is not None
        """Whether the file is run as it is."""
        if self.is_script:
            self._target = str(Path(target).resolve())
        self._orders = {
            "target": self._target,
            "args": None if args is None else list(args),
            "store": store,
            "forks": forks,
        }
        self.limit = limit
        self._nursery: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End what still runs; a second call does nothing."""
        nursery, self._nursery = self._nursery, None
        if nursery is not None:
            _pipe(nursery.stdin).close()
            nursery.wait()
            _pipe(nursery.stdout).close()

    async def live(self, orders: Mapping[str, Any]) -> Exit:
        """Start a process and wait for its end.

        Raises:
            ValueError: if the program cannot be imported.
        """
        answer = await asyncio.to_thread(self._ask, {**orders, "limit": self.limit})
        return Exit(**answer)

    def _ask(self, orders: Mapping[str, Any]) -> dict[str, Any]:
        with self._lock:
            nursery = self._started()
            stdin = _pipe(nursery.stdin)
            stdin.write(json.dumps(orders) + "\n")
            stdin.flush()
            return self._answer(nursery)

    def _started(self) -> subprocess.Popen[str]:
        if self._nursery is None:
            command = [sys.executable, "-c", code(), json.dumps(self._orders)]
            self._nursery = subprocess.Popen(  # noqa: S603  it is this Python
                [*command, *sys.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                process_group=0,  # Ctrl-C is for who started us
            )
            answer = self._answer(self._nursery)
            if "error" in answer:
                raise ValueError(answer["error"])
        return self._nursery

    def _answer(self, nursery: subprocess.Popen[str]) -> dict[str, Any]:
        line = _pipe(nursery.stdout).readline()
        if not line:
            raise RuntimeError(f"the processes of {self._target} were ended")
        answer: dict[str, Any] = json.loads(line)
        return answer


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe
