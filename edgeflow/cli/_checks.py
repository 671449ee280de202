"""What `edgeflow doctor` looks at, and what it makes of it."""

from __future__ import annotations

import secrets
import signal
import sys
import time
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

from edgeflow.errors import ConfigError, StoreError
from edgeflow.platforms import GROUP
from edgeflow.plugins import installed
from edgeflow.probing import probe
from edgeflow.store import Creates, Examines, Query, SyncCommit
from edgeflow.stores import placed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from edgeflow.config import Config
    from edgeflow.platform import Platform
    from edgeflow.platforms import Choice
    from edgeflow.store import Store

Verdict = Literal["good", "note", "bad"]

BACKGROUND = {
    "runs": "goes on after an answer: what is due is run by this process",
    "throttled": "has nearly no CPU after an answer: nothing runs then",
    "frozen": "stands still after an answer: nothing runs then",
    "none": "ends, or is not used, after an answer",
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    text: str
    """What is so; if it is not good, also what to do."""


def of_runtime() -> Iterator[Check]:
    """Look at Python and at what makes edgeflow fast."""
    from importlib.metadata import version  # noqa: PLC0415  costly

    python = ".".join(map(str, sys.version_info[:3]))
    ours = version("edgeflow-durable")
    yield Check("edgeflow", "good", f"{ours} on Python {python}, {sys.platform}")
    if find_spec("orjson") is None:
        yield Check("json", "note", "orjson is not installed: JSON is slower without")


def of_config(config: Config) -> Iterator[Check]:
    """Look at where the settings come from."""
    file = "no file" if config.file is None else str(config.file)
    defaults = ("default", "detected")
    given = [k for k, s in config.settings.items() if not s.origin.startswith(defaults)]
    text = f"{file}; all settings are the defaults"
    if given:
        text = f"{file}; given: {', '.join(given)}"
    yield Check("config", "good", text)
    for name in config.strangers:
        yield Check("config", "note", f"{name} is set, but there is no such setting")
    for name in config.sources.platforms:
        if name not in installed(GROUP):
            known = ", ".join(sorted(installed(GROUP)))
            text = f"there is a table for the platform {name!r}, which is not installed"
            yield Check("config", "note", f"{text}: {known}")


def of_platform(choice: Choice, config: Config) -> Iterator[Check]:
    """Say which platform was chosen, why, and what follows."""
    platform = choice.platform
    yield Check("platform", "good", f"{platform.name}: {choice.why}")
    yield Check("shutdown", *_shutdown(platform, config))
    limit = config["max_run"]
    longest = "as the platform says, else none" if limit is None else f"{limit:g} s"
    yield Check(
        "deadline",
        "good",
        f"of a handler's run: {longest}; steps are cut {config['margin']:g} s before",
    )
    text = f"the process {BACKGROUND[platform.background]}"
    yield Check("background", "good", text)
    yield _wake_up(platform, config)


def _shutdown(platform: Platform, config: Config) -> tuple[Verdict, str]:
    if not platform.signals:
        return "note", "no signal comes: what is not flushed by then is done again"
    names = " and ".join(signal.Signals(n).name for n in platform.signals)
    return "good", f"hears {names}; running steps get {config['grace']:g} s"


def _wake_up(platform: Platform, config: Config) -> Check:
    try:
        waker = platform.waker(config)
    except ConfigError as error:
        return Check("wake-up", "bad", str(error))
    if waker is not None:
        return Check("wake-up", "good", f"armed by {type(waker).__name__}")
    if platform.background == "runs":
        return Check("wake-up", "good", "by this process, as long as it is up")
    return Check(
        "wake-up",
        "note",
        "nobody wakes what sleeps: have run-due called each minute, by cron or a "
        "schedule",
    )


async def of_store(config: Config, *, reads_only: bool = False) -> list[Check]:
    """Open the store, look at it, and try it out; what is missing is not created.

    With `reads_only` nothing is written.
    """
    shown = config.text("store").removesuffix(":")  # memory:
    try:
        store = placed(config["store"])
        missing = store.missing() if isinstance(store, Creates) else None
        if missing is not None:
            text = f"{shown}: {missing} yet; the first run makes it"
            return [Check("store", "good", text), *_promises(store)]
        opened = [check async for check in _opened(store, shown, reads_only=reads_only)]
        return [*opened, *_promises(store)]
    except (ConfigError, StoreError) as error:
        return [Check("store", "bad", f"{shown}: {error}")]


async def _opened(
    store: Store, shown: str, *, reads_only: bool
) -> AsyncGenerator[Check]:
    began = time.perf_counter()
    await store.open()
    try:
        blocked = await _has_blocked(store)
        took = 1000 * (time.perf_counter() - began)
        yield Check("store", "good", f"{shown}: opened and read in {took:.0f} ms")
        if blocked:
            text = "an instance is blocked, see edgeflow ls --status blocked"
            yield Check("store", "note", text)
        if isinstance(store, Examines):
            for found in await store.examine():
                yield Check("store", found.verdict, found.text)
        if not reads_only:
            name = secrets.token_hex(8)
            timer = time.perf_counter
            for found in await probe(store, name, now=time.time(), timer=timer):
                yield Check("store", found.verdict, found.text)
    finally:
        await store.close()


async def _has_blocked(store: Store) -> bool:
    async for _ in store.find(Query(status="blocked")):
        return True
    return False


def _promises(store: Store) -> Iterator[Check]:
    limits = store.limits
    if not limits.persistent:
        yield Check("store", "note", "it lives and ends with this process: for tests")
    elif not limits.durable:
        text = "what was acknowledged may be lost when its machine fails or loses power"
        yield Check("store", "note", text)
    largest = limits.max_frame // (1024 * 1024)
    yield Check("store", "good", f"values up to {largest} MiB")
    if limits.persistent and not isinstance(store, SyncCommit):
        text = "it cannot write once the event loop is stuck: that work is done again"
        yield Check("store", "note", text)
