"""One scenario of one peer, in a process and a folder of its own."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, Any

from registry import HERE

if TYPE_CHECKING:
    from registry import Peer

TOLD = 600
"""Characters of what a failed peer said last."""


def measure(
    peer: Peer, scenario: str, scale: float, timeout: float
) -> list[dict[str, Any]]:
    """Run one scenario of one peer in a fresh process and a fresh folder.

    It may take `timeout` seconds. Among its results, the metric `failed` says why
    there are not all of them.
    """
    with tempfile.TemporaryDirectory(prefix="edgebench-") as data:
        if scenario == "s6":
            command = [sys.executable, str(HERE / "coldstart.py"), peer.name]
        else:
            command = [*peer.command, scenario]
        variables = peer.started_with(data, time.time())
        variables["EDGEBENCH_SCALE"] = str(scale)
        out, why = run(command, variables, timeout)
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    if why:
        failed = {"metric": "failed", "value": 1, "why": why}
        lines.append({"peer": peer.name, "scenario": scenario, **failed})
    return lines


def run(
    command: list[str], variables: dict[str, str], timeout: float
) -> tuple[str, str]:
    """Run a program in a group of its own, so that what it starts ends with it.

    Returns:
        Its output, and why it failed, if it did.
    """
    with subprocess.Popen(  # noqa: S603  of the registry
        command,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        text=True,
    ) as process:
        try:
            out, errors = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            kill(process)
            out, _ = process.communicate()
            return out, f"it took more than {timeout:g} s"
        except BaseException:
            kill(process)
            raise
    code = process.returncode
    return out, f"it ended with {code}: {errors.strip()[-TOLD:]}" if code else ""


def kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
