"""Reading a journal back from its frames."""

from __future__ import annotations

from base64 import b64decode
from typing import TYPE_CHECKING, Any

from edgeflow.engine import frames
from edgeflow.engine.entries import Entry
from edgeflow.engine.journal import NO_STATE, SINGLE, Journal
from edgeflow.engine.lines import outbox_key
from edgeflow.engine.queues import put
from edgeflow.engine.scope import Path, key_of
from edgeflow.errors import JournalDamaged
from edgeflow.store import Envelope, Loaded
from edgeflow.values import dumps

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeflow.engine.wiring import Wiring


def load(wiring: Wiring, loaded: Loaded, token: bytes) -> Journal:
    """Rebuild a journal from its frames.

    Raises:
        JournalDamaged: if frames are missing, damaged, or of a newer format.
    """
    journal = Journal(wiring, loaded.head.instance, token)
    chain = frames.read(loaded.frames, wiring.codec)
    for line in chain.records():
        _take_in(journal, line)
    journal.header = chain.header
    journal.now = chain.header["at"]
    journal.deaths = chain.header["deaths"]
    journal.seq = max(loaded.head.seq, chain.last)
    journal.prev = chain.last
    _measure(journal, loaded, chain)
    journal.completions = chain.header["n"]
    journal.entries.find_survivors()
    for entry in journal.entries.in_order():
        if journal.entries.is_past(entry):
            continue
        if entry.data["n"] <= journal.recovered:
            journal.kept = journal.kept or {}
            journal.kept[entry.key] = entry
        else:
            journal.replay = put(journal.replay, entry)
    return journal


def _take_in(journal: Journal, line: bytes) -> None:
    data = frames.parse(line)
    name = next(iter(data), "")
    if name in SINGLE:
        setattr(journal, name, data[name])
        journal.lines.loaded(name, line)
    elif name in READERS:
        READERS[name](journal, data, line)
    else:
        raise JournalDamaged(f"the journal has an odd record: {line[:80]!r}")


def _take_entry(journal: Journal, data: dict[str, Any], line: bytes) -> None:
    path = _path(data["path"])
    entry = Entry(key_of(path), path, data)
    journal.entries.put(entry)
    journal.lines.loaded(entry.key, line)


def _take_state(journal: Journal, data: dict[str, Any], line: bytes) -> None:
    name = data["state"]
    if "value" in data:
        if journal.state is NO_STATE:
            journal.state = {}
        journal.state[name] = dumps(data["value"])
        journal.lines.loaded(("state", name, None), line)
    else:
        journal.state.pop(name, None)
        journal.lines.drop(("state", name, None))


def _prune(journal: Journal, data: dict[str, Any], _line: bytes) -> None:
    loop = key_of(_path(data["prune"]))
    journal.lines.forget(journal.entries.prune(loop, data["to"]))


def _forget(journal: Journal, data: dict[str, Any], _line: bytes) -> None:
    for path in data["forget"]:
        key = key_of(_path(path))
        journal.entries.drop(key)
        journal.lines.drop(key)


def _take_birth(journal: Journal, data: dict[str, Any], line: bytes) -> None:
    birth = data.pop("birth")
    if data:
        journal.births = journal.births or {}
        journal.births[birth] = data
        journal.lines.loaded(("birth", birth, None), line)
    else:
        journal.births.pop(birth, None)
        journal.lines.drop(("birth", birth, None))


def _take_send(journal: Journal, data: dict[str, Any], line: bytes) -> None:
    to, id_ = data["to"], data["outbox"]
    key = outbox_key(to, id_)
    if "body" in data:
        body = b64decode(data["body"])
        journal.undelivered = journal.undelivered or {}
        journal.undelivered[key] = Envelope(to, id_, data["name"], body, data["at"])
        journal.lines.loaded(key, line)
    else:
        journal.undelivered.pop(key, None)
        journal.lines.drop(key)


READERS: dict[str, Callable[[Journal, dict[str, Any], bytes], None]] = {
    "path": _take_entry,
    "state": _take_state,
    "prune": _prune,
    "forget": _forget,
    "birth": _take_birth,
    "outbox": _take_send,
}
"""By the first word of a record."""


def _measure(journal: Journal, loaded: Loaded, chain: frames.Chain) -> None:
    first = chain.parts[0].seq
    count = chain.parts[0].header["part"][1]
    sizes = {frame.seq: len(frame.body) for frame in loaded.frames}
    snapshot = range(first, first + count)
    size = sum(sizes.get(seq, 0) for seq in snapshot)
    journal.lines.measured(size, sum(sizes.values()) - size)


def _path(found: list[list[Any]]) -> Path:
    return tuple((kind, name, at) for kind, name, at in found)
