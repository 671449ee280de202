"""The other side of `edgeflow.testing.processes`: what is there to be killed.

A nursery imports the program once and forks a process of it for each life, which
takes milliseconds where a new interpreter takes half a second. It kills by the
clock, waits for the end, and tells of it. When nobody listens any more, it ends.
"""

from __future__ import annotations

import asyncio
import gc
import json
import math
import os
import random
import select
import signal
import sys
import threading
import time
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from edgeflow.cli._errors import UsageError
from edgeflow.cli._target import find_app
from edgeflow.errors import EdgeflowError
from edgeflow.stores import store_from_url
from edgeflow.testing.posts import Post
from edgeflow.testing.processes.killer import Kill, Killer
from edgeflow.testing.processes.life import Errand, Process
from edgeflow.testing.processes.log import Log
from edgeflow.testing.processes.script import run_script
from edgeflow.testing.twins import twin

if TYPE_CHECKING:
    from typing import Self

    from edgeflow.app import App
    from edgeflow.store import Store

BEGUN = b"!"
"""What a life writes when the program begins; at its end the pipe is closed."""


def main() -> None:
    """Be a nursery, or a single life, as the first argument says."""
    orders: dict[str, Any] = json.loads(sys.argv[1])
    sys.argv[:] = [orders["target"]]
    if "begun" in orders:  # a life in an interpreter of its own
        live(Common.load(orders), orders)
    else:
        nurse(orders)


@dataclass(frozen=True, slots=True)
class Common:
    """What all lives have in common: imported, and not begun."""

    app: App | None
    """None: the program is run as it is."""
    store: Store
    """In the folder of each life, if its path is relative."""

    @classmethod
    def load(cls, orders: dict[str, Any]) -> Self:
        """Import all that a life needs.

        Raises:
            UsageError: if the target cannot be imported, or has no app.
            ConfigError: if the store's URL is not known.
        """
        app = None
        if orders["args"] is None:
            app = find_app(orders["target"], None)
            for workflow in app.workflows:
                workflow.signature()
        import_module("aiosqlite")  # what the store would import when it is opened
        return cls(app, store_from_url(orders["store"]))


# --- the nursery ------------------------------------------------------------------


def nurse(orders: dict[str, Any]) -> None:
    """Answer each line of orders with a line that tells how that life ended."""
    try:
        common = _load(orders) if orders["forks"] else None
    except (UsageError, EdgeflowError) as error:
        return say({"error": str(error)})
    say({})
    while line := sys.stdin.readline():
        life = {**orders, **json.loads(line)}
        down, up = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(down)
            become(common, {**life, "begun": up})
            return None
        os.close(up)
        hung = watch(child, down, life)
        os.close(down)
        _, status = os.waitpid(child, 0)
        say({"code": os.waitstatus_to_exitcode(status), "hung": hung})
    return None


def _load(orders: dict[str, Any]) -> Common:
    common = Common.load(orders)
    if threading.active_count() > 1:
        raise UsageError(
            f"{orders['target']} starts a thread when it is imported, which a forked "
            "process would lack: say forks=False"
        )
    gc.freeze()  # what is never looked at is never copied
    return common


def watch(child: int, down: int, orders: dict[str, Any]) -> bool:
    """Wait for the end of a life; kill it in time. Tell whether it would not end."""
    kill, moment, hung = read_kill(orders), math.inf, False
    give_up = time.monotonic() + orders["limit"]
    while True:
        left = max(0.0, min(moment, give_up) - time.monotonic())
        ready, _, _ = select.select([0, down], [], [], left)
        if down in ready:
            if os.read(down, 1) != BEGUN:
                return hung
            if kill is not None and kill.where == "moment":
                moment = time.monotonic() + kill.seconds
        elif ready:  # nobody listens any more
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            sys.exit()
        elif kill is not None and time.monotonic() < give_up:
            os.kill(child, kill.by)
            moment = math.inf
        else:
            os.kill(child, signal.SIGKILL)
            hung, give_up = True, give_up + orders["limit"]


def say(answer: dict[str, Any]) -> None:
    """Tell whoever listens."""
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


# --- a life -----------------------------------------------------------------------


def become(common: Common | None, orders: dict[str, Any]) -> None:
    """Let this process, which was forked, be a life: of its own kind, or a new one."""
    for number, name in enumerate((os.devnull, orders["out"], orders["err"])):
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        os.dup2(os.open(name, flags, 0o666), number)
    if orders["args"] is not None:
        os.environ["EDGEFLOW_STORE"] = orders["store"]
    signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if common is None:
        _begin_anew(orders)
    random.seed()
    live(common, orders)


def _begin_anew(orders: dict[str, Any]) -> NoReturn:
    os.set_inheritable(orders["begun"], True)  # noqa: FBT003  it has no name
    command = [sys.executable, "-c", code(), json.dumps(orders), *sys.path]
    os.execv(sys.executable, command)  # noqa: S606  it is this Python


def code() -> str:
    """Give a program that is `main` here, with the path for imports of its caller."""
    return (
        f"import sys; sys.path[:] = sys.argv[2:]; from {__name__} import main; main()"
    )


def live(common: Common, orders: dict[str, Any]) -> None:
    """Be an ordinary program that runs an instance to its end."""
    os.chdir(orders["folder"])
    begun: int = orders["begun"]
    killer, log = Killer(read_kill(orders)), Log(Path(orders["log"]))

    def began() -> None:
        os.write(begun, BEGUN)

    if common.app is None:
        command = [orders["target"], *orders["args"]]
        run_script(command, common.store, log, killer, began)
        return
    posts = tuple(Post(**post) for post in orders["posts"])
    errand = Errand(orders["workflow"], orders["input"], posts, orders["once"])
    app = twin(common.app, common.app.store, common.app.clock, **orders["options"])
    process = Process(app, common.store, errand, log, killer)
    asyncio.run(process.run(began))


def read_kill(orders: dict[str, Any]) -> Kill | None:
    """Read how a life is to be killed, if it is."""
    kill: dict[str, Any] | None = orders["kill"]
    if kill is None:
        return None
    return replace(Kill(**kill), by=signal.Signals(kill["by"]))
