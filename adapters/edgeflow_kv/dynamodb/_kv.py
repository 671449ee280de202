"""A KV in a table of DynamoDB: a value is an item, of up to 380 KB.

What is read together is under one partition key, in the order of its sort key: the
frames of an instance, its messages, its index, its leases; the wakes of all instances;
the list of all instances. So each scan of a store is a query, page by page.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from edgeflow.errors import StoreUnavailable
from edgeflow_kv._kv import value_limits
from edgeflow_kv._store import KVStore
from edgeflow_kv._urls import parse
from edgeflow_kv.dynamodb._table import (
    CONNECTIONS,
    PARTITION,
    SORT,
    VALUE,
    Table,
    code_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TypeVar

    T = TypeVar("T")

    from edgeflow.store import Finding

FORM = "dynamodb://table[?region=…&endpoint=…&timeout=…]"
MAX_VALUE = 380 * 1024
"""An item has up to 400 KB, with its keys and the names of its attributes."""
OF_ONE = frozenset("cfmu")
"""Kinds of keys that are read for one instance at a time."""
OF_ALL = frozenset("hw")
"""Kinds of keys that are read for all instances in one order."""
REST = "-"
"""The partition key of everything else."""
LAST = "~"
"""Sorts behind every sign of a key."""


class DynamoKV:
    """Values in one table."""

    def __init__(
        self,
        table: str,
        *,
        region: str | None = None,
        endpoint: str | None = None,
        timeout: float = 5.0,
    ) -> None:
        """Use `table`, which `open` makes if it may; `timeout` is in seconds."""
        self.limits = value_limits(MAX_VALUE)
        self.name = table
        self._place = (region, endpoint, timeout)
        self._table: Table | None = None
        self._threads: ThreadPoolExecutor | None = None
        """Of our own: those of asyncio may all wait for what steps do in them."""

    @classmethod
    def from_url(cls, url: str) -> KVStore:
        """Make a store in a table: `dynamodb://table?region=eu-central-1`.

        Raises:
            ConfigError: if the URL cannot be read; shows the right form.
        """
        address = parse(url, FORM, "region", "endpoint", "timeout")
        # The host of a URL has no capitals, the name of a table may.
        table = url.partition("://")[2].partition("?")[0].strip("/")
        if not table or address.path or address.user or address.port:
            raise address.refused(f"write {FORM}")
        kv = cls(
            table,
            region=address.options.get("region"),
            endpoint=address.options.get("endpoint"),
            timeout=address.seconds("timeout", 5.0),
        )
        return KVStore(kv)

    async def open(self) -> None:
        """Connect, and make the table if there is none.

        Raises:
            StoreUnavailable: if it cannot be used; says what to make.
        """
        await self.close()
        self._threads = ThreadPoolExecutor(CONNECTIONS, "edgeflow-dynamodb")
        try:
            self._table = await self._do(lambda: Table(self.name, *self._place))
            await self._do(self._table.make)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Disconnect; a second call does nothing."""
        table, self._table = self._table, None
        threads, self._threads = self._threads, None
        if table is not None:
            table.close()
        if threads is not None:
            threads.shutdown(wait=False)

    async def get(self, key: str) -> bytes | None:
        found = await self._call("get_item", Key=_place(key), ConsistentRead=True)
        return found["Item"][VALUE]["B"] if "Item" in found else None

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        only = {"ConditionExpression": f"attribute_not_exists({PARTITION})"}
        item = {**_place(key), VALUE: {"B": value}}
        try:
            await self._call(
                "put_item", writes=True, Item=item, **(only if if_absent else {})
            )
        except StoreUnavailable as error:
            if code_of(error) == "ConditionalCheckFailedException":
                return False
            raise
        return True

    async def delete(self, key: str) -> None:
        await self._call("delete_item", writes=True, Key=_place(key))

    async def scan(
        self, prefix: str, start: str | None = None, limit: int | None = None
    ) -> Sequence[tuple[str, bytes]]:
        first, last = max(prefix, start or ""), prefix + LAST
        if first > last or limit == 0:
            return []
        partition = _partition_of_all(prefix)
        if partition is None:
            return await self._search(first, last, limit)
        return await self._query(partition, first, last, limit)

    async def _query(
        self, partition: str, first: str, last: str, limit: int | None
    ) -> list[tuple[str, bytes]]:
        """Read a range of one partition, a page of 1 MB after the other."""
        wanted: dict[str, Any] = {
            "KeyConditionExpression": f"{PARTITION} = :p AND {SORT} BETWEEN :a AND :z",
            "ExpressionAttributeValues": {
                ":p": {"S": partition},
                ":a": {"S": first},
                ":z": {"S": last},
            },
            "ConsistentRead": True,
        }
        found: list[tuple[str, bytes]] = []
        while limit is None or len(found) < limit:
            if limit is not None:
                wanted["Limit"] = limit - len(found)
            page = await self._call("query", **wanted)
            found += _pairs(page)
            if "LastEvaluatedKey" not in page:
                break
            wanted["ExclusiveStartKey"] = page["LastEvaluatedKey"]
        return found

    async def _search(
        self, first: str, last: str, limit: int | None
    ) -> list[tuple[str, bytes]]:
        """Read the whole table: no store asks for this, but a person may."""
        wanted: dict[str, Any] = {"ConsistentRead": True}
        found: list[tuple[str, bytes]] = []
        while True:
            page = await self._call("scan", **wanted)
            found += [pair for pair in _pairs(page) if first <= pair[0] < last]
            if "LastEvaluatedKey" not in page:
                return sorted(found)[:limit]
            wanted["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    async def examine(self) -> Sequence[Finding]:
        """Look at the table's regions, and whether anything in it expires."""
        table = self.opened()
        return await self._do(lambda: list(table.findings()))

    async def _call(self, name: str, *, writes: bool = False, **content: Any) -> Any:
        call = self.opened().call
        return await self._do(lambda: call(name, writes=writes, **content))

    async def _do(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def opened(self) -> Table:
        """Give the table.

        Raises:
            StoreUnavailable: if it is closed.
        """
        if self._table is None:
            raise StoreUnavailable(f"table {self.name!r} is not open: call open()")
        return self._table


def _partition(key: str) -> str:
    """Give the partition of a key."""
    kind, *rest = key.split("/", 2)
    if rest and kind in OF_ALL:
        return kind
    return f"{kind}/{rest[0]}" if len(rest) > 1 and kind in OF_ONE else REST


def _partition_of_all(prefix: str) -> str | None:
    """Give the partition of all keys with a prefix; None: they are in several."""
    kind, *rest = prefix.split("/", 2)
    is_one = kind not in OF_ONE or len(rest) > 1
    is_whole = bool(rest) or (kind != "" and kind not in OF_ALL)
    return _partition(prefix) if is_one and is_whole else None


def _place(key: str) -> dict[str, Any]:
    return {PARTITION: {"S": _partition(key)}, SORT: {"S": key}}


def _pairs(page: dict[str, Any]) -> Iterator[tuple[str, bytes]]:
    for item in page["Items"]:
        yield item[SORT]["S"], item[VALUE]["B"]
