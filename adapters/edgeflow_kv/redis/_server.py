"""What a Redis server keeps: its settings, and what follows from them.

An answered write outlives a power cut with `appendonly yes` and `appendfsync always`
only, and no failover, since replicas follow later.
See <https://redis.io/docs/latest/operate/oss_and_stack/management/persistence/>.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from edgeflow.store import Finding
from edgeflow_kv.redis._link import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgeflow_kv.redis._link import Link

REWRITE = "no-appendfsync-on-rewrite"
CURE = "set appendonly yes, appendfsync always and no-appendfsync-on-rewrite no"

SYNCED = "each write is synced to the disk before its answer"
FAILOVER = (
    "replicas follow later, so a failover can take back what was answered, and steps "
    "run again: if that must not be, use a service with a synchronous log, or another "
    "store"
)


@dataclass(frozen=True, slots=True)
class Server:
    """What a server tells of itself."""

    info: Mapping[str, str]
    """What INFO says."""
    fsync: Mapping[str, str]
    """Settings of fsync; empty if they may not be read, as in managed services."""

    def unfit(self) -> str | None:
        """Say why no store may be here; None: it may."""
        policy = self.info.get("maxmemory_policy", "noeviction")
        if policy.startswith("allkeys") and self.info.get("maxmemory", "0") != "0":
            return (
                f"it drops keys when its memory is full (maxmemory-policy {policy}), "
                "so instances would be lost: set maxmemory-policy noeviction"
            )
        if self.info.get("role") == "slave":
            host = self.info.get("master_host")
            return f"it is a replica, which takes no writes: name its primary, {host}"
        return None

    def is_durable(self) -> bool:
        """Whether an answered write outlives a power cut, and there is no failover."""
        return self._syncs() and not self._follows()

    def _syncs(self) -> bool:
        is_kept = self.info.get("aof_enabled") == "1"
        is_synced = self.fsync.get("appendfsync") == "always"
        return is_kept and is_synced and self.fsync.get(REWRITE) == "no"

    def _follows(self) -> bool:
        has_replicas = self.info.get("connected_slaves", "0") != "0"
        return has_replicas or self.info.get("cluster_enabled") == "1"

    def findings(self, *, is_promised: bool) -> Sequence[Finding]:
        """Say what is so; what can lose writes is bad where `is_promised`."""
        loses: Literal["bad", "note"] = "bad" if is_promised else "note"
        return [
            *self._version(),
            Finding("good", SYNCED) if self._syncs() else Finding(loses, self._loss()),
            *([Finding(loses, FAILOVER)] if self._follows() else []),
            self._memory(),
        ]

    def _version(self) -> Iterator[Finding]:
        valkey = self.info.get("valkey_version")
        redis = self.info.get("redis_version")
        if valkey or redis:
            yield Finding("good", f"Valkey {valkey}" if valkey else f"Redis {redis}")

    def _loss(self) -> str:
        if self.info.get("aof_enabled") == "0":
            return f"its end loses the writes of minutes, or all: {CURE}"
        if not self.fsync:
            text = "it does not tell whether it syncs each write (CONFIG is refused)"
            return f"{text}: {CURE}, or know what it loses"
        return f"a power cut loses the writes of a second or more: {CURE}"

    def _memory(self) -> Finding:
        policy = self.info.get("maxmemory_policy", "unknown")
        if trouble := self.unfit():
            return Finding("bad", trouble)
        if policy.startswith("allkeys"):
            text = f"maxmemory-policy {policy} would drop instances, were maxmemory set"
            return Finding("note", f"{text}: set noeviction")
        return Finding("good", f"full memory drops no key (maxmemory-policy {policy})")


async def look(link: Link) -> Server:
    """Ask a server for its state and its settings, as far as it tells."""
    told: bytes = await _asked(link, "INFO") or b""
    lines = (line.partition(":") for line in told.decode().splitlines())
    flat: list[bytes] = await _asked(link, "CONFIG", "GET", "*appendfsync*") or []
    words = [word.decode() for word in flat]
    fsync = dict(zip(words[::2], words[1::2], strict=True))
    return Server({name: value for name, _, value in lines}, fsync)


async def _asked(link: Link, *words: str) -> Any:
    try:
        return await link.call(*words)
    except Refused:  # managed services let nobody ask
        return None
