"""The bucket in NATS: how it is made, what it must be, what it promises.

It is a stream as <https://docs.nats.io/nats-concepts/jetstream/key-value-store> has it,
with one message for each key. Removed keys are purged, so they leave nothing behind.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeflow.store import Finding
from edgeflow_kv.nats._link import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgeflow_kv.nats._link import Link
    from edgeflow_kv.nats._url import Place

NOT_FOUND, IN_USE = 10059, 10058
OLDEST = (2, 9)
SYNCS = (2, 10)
"""The first server that can sync each write: `sync_interval: always`."""
QUORUM = 3
STIFF = ("deny_purge", "sealed", "mirror", "discard_new_per_subject")
"""Settings under which a stream is no map."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """What the server tells of a bucket, and what the user says of the servers."""

    place: Place
    version: tuple[int, int]
    config: Mapping[str, Any]

    def unfit(self) -> str | None:
        """Say why no store may be here; None: it may."""
        config, cure = self.config, f"or use another bucket than {self.place.bucket!r}"
        if self.version < OLDEST:
            found = ".".join(map(str, self.version))
            return f"the server is NATS {found}: take 2.9 or later"
        if config.get("max_age") or config.get("retention", "limits") != "limits":
            return f"its values expire (max_age, retention): set no TTL, {cure}"
        is_limited = any(config.get(name, -1) > 0 for name in ("max_msgs", "max_bytes"))
        if is_limited and config.get("discard") != "new":
            return f"it drops old values when it is full: set discard new, {cure}"
        if config.get("storage") != "file":
            return f"it keeps its values in memory: make it with file storage, {cure}"
        if any(config.get(name) for name in STIFF):
            return f"values cannot be removed or replaced ({', '.join(STIFF)}), {cure}"
        return None

    def most(self, payload: int) -> int:
        """Give how many bytes a message may have, of which the server takes some."""
        own: int = self.config.get("max_msg_size", -1)
        return min(payload, own) if own > 0 else payload

    def is_durable(self) -> bool:
        """Whether an answered write outlives a power cut, as far as the user knows."""
        return self.place.synced and self._can_sync()

    def _can_sync(self) -> bool:
        is_async = self.config.get("persist_mode") == "async"
        return self.version >= SYNCS and not is_async

    def findings(self) -> Sequence[Finding]:
        """Say what is so; what breaks the user's word is bad."""
        return [*self._sync(), *self._copies(), *self._history()]

    def _sync(self) -> Iterator[Finding]:
        name = f"NATS {'.'.join(map(str, self.version))}"
        if not self._can_sync():
            why = "the bucket has persist_mode async"
            if self.version < SYNCS:
                why = f"{name} cannot sync each write, 2.10 and later can"
            text = f"a power cut can take back what was acknowledged: {why}"
            yield Finding("bad" if self.place.synced else "note", text)
        elif self.place.synced:
            word = "that all servers have sync_interval: always is your word"
            yield Finding("good", f"{name}; {word} (sync=always), no client can see it")
        else:
            yield Finding(
                "note",
                f"{name} syncs every 2 minutes by default: a power cut can take back "
                "what was acknowledged. Set jetstream { sync_interval: always } on all "
                "servers, and say so by sync=always",
            )

    def _copies(self) -> Iterator[Finding]:
        found = self.config.get("num_replicas", 1)
        change = f"nats stream update KV_{self.place.bucket} --replicas"
        wanted = self.place.replicas
        if found < wanted:
            text = f"the URL asks for {wanted} replicas, the bucket has {found}"
            yield Finding("note", f"{text}: {change} {wanted}")
        elif found < QUORUM:
            text = "the bucket has no copy that outlives the loss of its server"
            yield Finding("note", f"{text}: in a cluster, {change} {QUORUM}")
        else:
            yield Finding("good", f"the bucket has {found} replicas")

    def _history(self) -> Iterator[Finding]:
        kept = self.config.get("max_msgs_per_subject", -1)
        if kept != 1:
            old = "all" if kept < 1 else kept - 1
            text = f"the bucket keeps {old} old values of each key, which nobody reads"
            yield Finding("note", f"{text}: set its history to 1")


async def look(link: Link, place: Place) -> Bucket:
    """Look at a bucket, and make it if there is none.

    Raises:
        StoreUnavailable: if it cannot be reached or made.
    """
    try:
        found = await link.read(f"STREAM.INFO.KV_{place.bucket}")
    except Refused as error:
        if error.code != NOT_FOUND:
            raise
        found = await _make(link, place)
    version = (await link.connected()).version
    return Bucket(place, version, found["config"])


async def _make(link: Link, place: Place) -> dict[str, Any]:
    name = f"KV_{place.bucket}"
    config = {
        "name": name,
        "subjects": [f"$KV.{place.bucket}.>"],
        "storage": "file",
        "num_replicas": place.replicas,
        "max_msgs_per_subject": 1,
        "discard": "new",
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": False,  # a replica that lags behind would answer
        "retention": "limits",
        "max_consumers": -1,
        "max_msgs": -1,
        "max_bytes": -1,
        "max_msg_size": -1,
        "max_age": 0,
    }
    try:
        return await link.read(f"STREAM.CREATE.{name}", **config)
    except Refused as error:
        if error.code != IN_USE:
            raise
    return await link.read(f"STREAM.INFO.{name}")  # another one was quicker
