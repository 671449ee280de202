"""A KV in Redis or Valkey: a hash with the values, a sorted set with their keys.

Each call is one command, and one round trip: a script where two things change at once.
Both keys have the namespace as their hash tag, so that a cluster has them in one slot.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from edgeflow.errors import StoreUnavailable
from edgeflow.store import MIB
from edgeflow_kv._keys import WAKES
from edgeflow_kv._kv import value_limits
from edgeflow_kv._store import KVStore
from edgeflow_kv._urls import parse
from edgeflow_kv.redis import _server
from edgeflow_kv.redis._link import Link, Script
from edgeflow_kv.redis._wakes import RedisWakes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.store import Finding, Limits
    from edgeflow_kv._urls import Address

FORM = "redis://[user:password@]host[:port][/database][?ns=…&timeout=…]"
FILES = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
MAX_VALUE = 16 * MIB
PAGE, PAGE_BYTES = 1000, 4 * MIB
"""How much one script reads: nobody else is served meanwhile."""

PUT = Script("""\
if redis.call('HSETNX', KEYS[2], ARGV[1], ARGV[2]) == 1 then
  redis.call('ZADD', KEYS[1], 0, ARGV[1])
elseif ARGV[3] == '1' then
  return 0
else
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
if ARGV[4] ~= '' then redis.pcall('PUBLISH', ARGV[4], ARGV[1]) end
return 1
""")
DELETE = Script("""\
redis.call('ZREM', KEYS[1], ARGV[1])
return redis.call('HDEL', KEYS[2], ARGV[1])
""")
SCAN = Script(
    """\
local keys = redis.call(
  'ZRANGEBYLEX', KEYS[1], ARGV[1], ARGV[2], 'LIMIT', 0, ARGV[3])
local found, size = {#keys}, 0
for n, key in ipairs(keys) do
  local value = redis.call('HGET', KEYS[2], key)
  found[2 * n], found[2 * n + 1] = key, value
  size = size + #value
  if size > tonumber(ARGV[4]) then break end
end
return found
""",
    writes=False,
)


class RedisKV:
    """Values in one namespace of one database of a server or cluster."""

    def __init__(
        self, address: Address, *, namespace: str = "edgeflow", timeout: float = 5.0
    ) -> None:
        """Connect to `address` in `open`; each answer has `timeout` seconds."""
        self.limits: Limits = value_limits(MAX_VALUE, durable=False)
        """Durable only once `open` has seen that the server is."""
        self._address = address
        self._timeout = timeout
        self._keys = (f"{{{namespace}}}:keys", f"{{{namespace}}}:values")
        self._channel = f"{{{namespace}}}:wakes"
        self._link: Link | None = None
        self._wakes: RedisWakes

    @classmethod
    def from_url(cls, url: str) -> KVStore:
        """Make a store in Redis: `redis://host:6379/0?ns=edgeflow&timeout=5`.

        Raises:
            ConfigError: if the URL cannot be read; shows the right form.
        """
        address = parse(url, FORM, "ns", "timeout", *FILES)
        namespace = address.options.get("ns", "edgeflow")
        is_safe = address.scheme == "rediss"
        if not address.host or not re.fullmatch(r"\d*", address.path):
            raise address.refused(f"write {FORM}")
        if not re.fullmatch(r"[\w.:-]+", namespace, re.ASCII):
            raise address.refused(f"ns={namespace} has other signs than a-z, 0-9, _.:-")
        if not is_safe and {*FILES} & address.options.keys():
            raise address.refused("ssl_… is for rediss://")
        timeout = address.seconds("timeout", 5.0)
        return KVStore(cls(address, namespace=namespace, timeout=timeout))

    async def open(self) -> None:
        """Connect, and look at what the server keeps.

        Raises:
            StoreUnavailable: if it cannot be reached, evicts keys, or is a replica.
        """
        await self.close()
        self._link = link = Link(self._address, self._timeout)
        self._wakes = RedisWakes(link, self._channel, self._timeout)
        try:
            await self._look(link)
        except BaseException:
            await self.close()
            raise

    async def _look(self, link: Link) -> None:
        await link.call("EXISTS", *self._keys)  # in a cluster it leads to their node
        server = await _server.look(link)
        if trouble := server.unfit():
            raise StoreUnavailable(f"{self._address.shown}: {trouble}")
        self.limits = value_limits(MAX_VALUE, durable=server.is_durable())

    async def close(self) -> None:
        """Disconnect; a second call does nothing."""
        link, self._link = self._link, None
        if link is not None and link.here.is_still():
            await self._wakes.close()
            await link.close()
        elif link is not None:
            link.here.leave(link, self._wakes)

    async def get(self, key: str) -> bytes | None:
        value: bytes | None = await self.opened().call("HGET", self._keys[1], key)
        return value

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        channel = self._channel if key.startswith(WAKES) else ""
        done: int = await self._run(PUT, key, value, int(if_absent), channel)
        return done == 1

    async def delete(self, key: str) -> None:
        await self._run(DELETE, key)

    async def scan(
        self, prefix: str, start: str | None = None, limit: int | None = None
    ) -> Sequence[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []
        first, last = "[" + max(prefix, start or ""), f"({prefix}\x7f"
        while limit is None or len(found) < limit:
            page = PAGE if limit is None else min(PAGE, limit - len(found))
            there, *flat = await self._run(SCAN, first, last, page, PAGE_BYTES)
            keys = [key.decode() for key in flat[::2]]
            found += zip(keys, flat[1::2], strict=True)
            if len(keys) == there < page:
                break
            first = f"({found[-1][0]}"
        return found

    async def hint(self) -> None:
        """Wait until somebody puts a wake that counts at once, or may have done so.

        Raises:
            StoreUnavailable: if the server cannot be reached.
        """
        self.opened()
        await self._wakes.wait()

    async def examine(self) -> Sequence[Finding]:
        """Look at the server's version and at what it keeps."""
        server = await _server.look(self.opened())
        return server.findings(is_promised=self.limits.durable)

    async def _run(self, script: Script, *words: Any) -> Any:
        return await self.opened().run(script, self._keys, *words)

    def opened(self) -> Link:
        """Give the connections.

        Raises:
            StoreUnavailable: if they are closed.
        """
        if self._link is None:
            raise StoreUnavailable(f"{self._address.shown} is not open: call open()")
        return self._link
