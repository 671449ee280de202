"""The contract of `edgeflow_kv.KV` as tests, for every binding.

    class TestMyKV(KVSuite):
        async def open_kv(self, where: Path) -> KV:
            kv = MyKV(namespace=where.name)
            await kv.open()
            return kv

A whole store comes with it: run `StoreSuite` on `KVStore(MyKV(…))`, too.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from edgeflow_kv import KV

ROOM = 64 * 1024
WRITERS = 50
LONG = "/".join(["x" * 250] * 3)


class KVSuite:
    """Subclass it, say how your backend is opened, and pytest does the rest."""

    async def open_kv(self, where: Path) -> KV:
        """Open a backend without data.

        `where` is an empty directory of the test; a backend elsewhere can use its
        name as namespace.
        """
        raise NotImplementedError

    async def reopen(self, kv: KV, where: Path) -> KV:
        """Open a second connection to the same data: another process.

        Where `limits.shared` is false it is the same object.
        """
        return await self.open_kv(where) if kv.limits.shared else kv

    @pytest.fixture
    async def kv(self, tmp_path: Path) -> AsyncIterator[KV]:
        """Yield the backend under test."""
        kv = await self.open_kv(tmp_path)
        yield kv
        await kv.close()

    @pytest.fixture
    async def other(self, kv: KV, tmp_path: Path) -> AsyncIterator[KV]:
        """Yield another process's view of the same data."""
        other = await self.reopen(kv, tmp_path)
        yield other
        await other.close()

    async def test_an_unknown_key_has_no_value(self, kv: KV) -> None:
        # N-17
        assert await kv.get("k") is None
        assert list(await kv.scan("k")) == []
        await kv.delete("k")

    async def test_the_last_value_is_read(self, kv: KV, other: KV) -> None:
        # N-17
        for value in (b"first", b"", bytes(range(256))):
            assert await kv.put("a/k", value)
            assert await other.get("a/k") == value
            assert list(await other.scan("a/")) == [("a/k", value)]

    async def test_of_many_that_put_what_is_absent_one_wins(
        self, kv: KV, other: KV
    ) -> None:
        # N-17
        values = [f"{n}".encode() for n in range(WRITERS)]
        won = await asyncio.gather(
            *(
                (kv, other)[n % 2].put("a/b/k", value, if_absent=True)
                for n, value in enumerate(values)
            )
        )

        assert sorted(won) == [False] * (WRITERS - 1) + [True]
        assert await kv.get("a/b/k") == values[won.index(True)]

    @pytest.mark.parametrize("value", [b"", b"there"])
    async def test_what_is_there_is_not_put_over_if_absent(
        self, kv: KV, other: KV, value: bytes
    ) -> None:
        # N-17
        await kv.put("k", value)
        assert not await other.put("k", b"new", if_absent=True)
        assert await kv.get("k") == value
        await other.delete("k")

        assert await kv.put("k", b"new", if_absent=True)

        assert await other.get("k") == b"new"

    async def test_what_is_deleted_is_gone(self, kv: KV, other: KV) -> None:
        # N-17
        for key in ("a/k", "a/k1"):
            await kv.put(key, b"v")
        for each in (kv, other, kv):
            await each.delete("a/k")

            assert await other.get("a/k") is None
            assert list(await each.scan("a/")) == [("a/k1", b"v")]

    async def test_a_scan_is_in_the_order_of_bytes_and_of_its_prefix_only(
        self, kv: KV
    ) -> None:
        # N-17
        for key in ("k2", "k1-child", "k1", "k0"):
            await kv.put(key, key.encode())

        assert await _keys(kv, "k") == ["k0", "k1", "k1-child", "k2"]
        assert await _keys(kv, "k1") == ["k1", "k1-child"]
        assert await _keys(kv, "k1-") == ["k1-child"]
        assert await _keys(kv, "") == ["k0", "k1", "k1-child", "k2"]
        assert dict(await kv.scan("k"))["k1"] == b"k1"

    async def test_every_sign_of_a_key_has_its_place(self, kv: KV) -> None:
        # N-17
        signs = "-.09=AZ_az"
        keys = [f"a{one}b" for one in signs] + ["a/b", "a/b/c", "a/b-c", "a/b.c", "a"]
        for key in reversed(keys):
            await kv.put(key, b"v")

        assert await _keys(kv, "a") == sorted(keys)
        assert await _keys(kv, "a/b") == ["a/b", "a/b-c", "a/b.c", "a/b/c"]
        assert await _keys(kv, "a/b/") == ["a/b/c"]
        for key in keys:
            assert await _keys(kv, "a", start=key) == sorted(
                k for k in keys if k >= key
            )

    async def test_a_scan_begins_and_ends_where_it_is_told(self, kv: KV) -> None:
        # N-17
        keys = [f"p/{n:03}" for n in range(20)]
        for key in (*keys, "o/1", "q/1"):
            await kv.put(key, b"v")

        assert await _keys(kv, "p/", start="p/005", limit=3) == keys[5:8]
        assert await _keys(kv, "p/", start="p/0055") == keys[6:]
        assert await _keys(kv, "p/", start="a") == keys
        assert await _keys(kv, "p/", start="z") == []
        assert await _keys(kv, "p/", limit=0) == []
        found: list[str] = []
        start: str | None = None
        while page := await _keys(kv, "p/", start=start, limit=7):
            found += page
            start = page[-1] + "-"
        assert found == keys

    async def test_what_was_there_all_the_time_is_in_a_scan(
        self, kv: KV, other: KV
    ) -> None:
        # N-17
        stays = [f"p/{n:02}/k" for n in range(0, 20, 2)]
        for key in stays:
            await kv.put(key, b"v")

        async def disturb() -> None:
            for _ in range(5):
                for n in range(1, 20, 2):
                    await other.put(f"p/{n:02}/k", b"v")
                for n in range(1, 20, 2):
                    await other.delete(f"p/{n:02}/k")

        disturbing = asyncio.ensure_future(disturb())
        while not disturbing.done():
            found = await _keys(kv, "p/")
            assert set(stays) <= set(found)
            assert found == sorted(found)
            await asyncio.sleep(0)
        await disturbing

        assert await _keys(kv, "p/") == stays

    async def test_neighbours_come_and_go_beside_a_key(self, kv: KV, other: KV) -> None:
        # N-17
        async def write(each: KV, name: str) -> None:
            for _ in range(20):
                assert await each.put(f"d/{name}", b"v", if_absent=True)
                assert await each.get(f"d/{name}") == b"v"
                await each.delete(f"d/{name}")

        await asyncio.gather(write(kv, "a"), write(other, "b"), write(kv, "c/d"))

        assert await _keys(kv, "") == []

    async def test_values_and_keys_up_to_the_limit_round_trip(self, kv: KV) -> None:
        # N-17
        value = b"x" * (kv.limits.max_group + ROOM)
        await kv.put(LONG, value)

        assert await kv.get(LONG) == value
        assert await _keys(kv, LONG[:-1]) == [LONG]

    async def test_data_outlive_a_connection(self, kv: KV, other: KV) -> None:
        # N-16 N-17
        await kv.put("k", b"v")
        for _ in range(2):
            await kv.close()
            await other.close()
        await kv.open()

        assert await kv.get("k") == b"v"


async def _keys(
    kv: KV, prefix: str, start: str | None = None, limit: int | None = None
) -> Sequence[str]:
    return [key for key, _ in await kv.scan(prefix, start, limit)]
