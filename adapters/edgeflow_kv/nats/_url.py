"""`nats://host:4222,other:4222?bucket=edgeflow&replicas=3&sync=always&timeout=5`."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING
from urllib.parse import unquote

from edgeflow.errors import ConfigError
from edgeflow_kv._urls import QUOTE
from edgeflow_kv._urls import parse as parse_one

if TYPE_CHECKING:
    from edgeflow_kv._urls import Address

FORM = (
    "nats://[user:password@ or token@]host[:port][,host2[:port]]"
    "[?bucket=…&replicas=…&sync=always&timeout=…]"
)
NAMES = ("bucket", "replicas", "sync", "timeout")
PARTS = re.compile(r"nats://([^/?#@]*@)?([^/?#@]+)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a store is, and how it is to be kept."""

    servers: tuple[Address, ...]
    bucket: str
    replicas: int
    """How many copies a bucket has that is made."""
    synced: bool
    """Whether the user says that all servers sync each write."""
    timeout: float
    """Seconds within which each answer comes."""


def parse(url: str) -> Place:
    """Read a URL.

    Raises:
        ConfigError: if it cannot be read; shows the right form.
    """
    servers = _servers(url)
    first, options = servers[0], servers[0].options
    bucket = options.get("bucket", "edgeflow")
    replicas = options.get("replicas", "1")
    if not re.fullmatch(r"[\w-]+", bucket, re.ASCII):
        raise first.refused(
            f"bucket={bucket} has signs beside letters, digits, - and _"
        )
    if not re.fullmatch(r"[1-5]", replicas):
        raise first.refused(f"replicas={replicas} is no number from 1 to 5")
    if options.get("sync", "always") != "always":
        raise first.refused(f"sync={options['sync']}: there is sync=always only")
    timeout = first.seconds("timeout", 5.0)
    return Place(servers, bucket, int(replicas), "sync" in options, timeout)


def _servers(url: str) -> tuple[Address, ...]:
    """Split a URL into one for each server; what is shown of them has no login."""
    parts = PARTS.fullmatch(url)
    if parts is not None and "@" in parts[3]:
        raise ConfigError(f"store 'nats://…': write {FORM} ({QUOTE})")
    if parts is None:
        raise parse_one(url, FORM, *NAMES).refused(f"write {FORM}")
    login, hosts, rest = parts.groups()
    user, _, password = (login or "").rstrip("@").partition(":")
    servers: list[Address] = []
    for host in hosts.split(","):
        server = parse_one(f"nats://{host}{rest}", FORM, *NAMES)
        if not server.host or server.path:
            raise server.refused(f"write {FORM}")
        known = replace(server, user=unquote(user), password=unquote(password))
        servers.append(known)
    return tuple(servers)
