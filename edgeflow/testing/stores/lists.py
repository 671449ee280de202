"""What is listed is what was last committed."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeflow.store import Query
from edgeflow.testing.stores.parts import FIRST, NEXT, NOW, message, put, read
from edgeflow.testing.stores.source import StoreSource

if TYPE_CHECKING:
    from edgeflow.store import Store


async def _ids(store: Store, query: Query) -> list[str]:
    return [head.instance async for head in store.find(query)]


class ListCases(StoreSource):
    async def test_find_yields_each_match_once_in_the_order_of_ids(
        self, store: Store
    ) -> None:
        # N-14
        names = [f"i{n:03}" for n in range(self.many)]
        await asyncio.gather(
            *(
                store.commit(name, replace(FIRST, workflow=f"flow{n % 3}"))
                for n, name in reversed([*enumerate(names)])
            )
        )
        ended = replace(NEXT, workflow="flow0", status="completed")
        await put(store, "i003", ended)

        assert await _ids(store, Query()) == names
        assert await _ids(store, Query(status="completed")) == ["i003"]
        assert await _ids(store, Query(workflow="flow0")) == names[::3]
        both = Query(workflow="flow0", status="running")
        assert await _ids(store, both) == [n for n in names[::3] if n != "i003"]
        assert await _ids(store, Query(workflow="flow1", status="failed")) == []

    async def test_find_shows_heads_as_they_were_last_committed(
        self, store: Store, other: Store
    ) -> None:
        # N-14
        await put(store, "é", FIRST)
        await put(store, "z", FIRST)
        last = replace(
            NEXT, status="suspended", wake_at=NOW + 9, awaiting=("a", "b"), now=NOW + 1
        )
        await put(store, "é", last)

        heads = [head async for head in other.find(Query())]

        assert heads == [(await read(store, i)).head for i in ("z", "é")]

    async def test_a_list_that_is_written_to_yields_each_at_most_once(
        self, store: Store, other: Store
    ) -> None:
        # N-14
        names = [f"i{n:03}" for n in range(600)]
        await asyncio.gather(*(store.commit(name, FIRST) for name in names))
        found: list[str] = []
        async for head in store.find(Query(status="running")):
            found.append(head.instance)
            if head.instance == "i009":
                ended = replace(NEXT, status="completed")
                for name in ("i004", "i005", "i590"):
                    await put(other, name, ended)
                await other.delete("i300")
                for name in ("a", "z"):
                    await put(other, name, FIRST)

        changed = {"i004", "i005", "i300", "i590", "a", "z"}
        assert found == sorted(set(found))
        assert [n for n in found if n not in changed] == [
            n for n in names if n not in changed
        ]

    async def test_an_inbox_alone_is_not_found(self, store: Store) -> None:
        # N-14
        await store.send(message("i", "m"))

        assert await _ids(store, Query()) == []

    async def test_what_is_deleted_is_not_found(self, store: Store) -> None:
        # N-14
        for instance in ("a", "b", "c"):
            await put(store, instance, FIRST)
        await store.delete("b")

        assert await _ids(store, Query()) == ["a", "c"]
