"""What a store over a backend remembers, finds and hints at."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from edgeflow.errors import StoreUnavailable
from edgeflow.store import Commit, Envelope, Examines, Finding, Hints, Remembers
from edgeflow_kv import FilesKV, KVStore, MemoryKV
from edgeflow_kv._volume import findings, kind_of
from tests.stores.kv_faults import copy_of

if TYPE_CHECKING:
    from collections.abc import Sequence

NOW = 1000.0
START = Commit(
    seq=1,
    frames=(b"frame",),
    token=b"owner",
    workflow="flow",
    status="running",
    due=NOW,
    now=NOW,
    lease=30.0,
)
MOUNTS = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:25 / /mnt/a\\040b rw,relatime shared:9 master:1 - nfs4 host:/x rw
31 22 0:26 / /mnt rw - tmpfs tmpfs rw
32 22 0:27 / /layer rw - overlay overlay rw
33 22 0:28 / /twice rw - ext4 /dev/sdb rw
34 22 0:29 / /twice rw - fuse.sshfs host: rw
"""


class Forgetful(MemoryKV):
    """Heeds `if_absent` until it is told not to, and knows things about itself."""

    heeds = True

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        return await super().put(key, value, if_absent=if_absent and self.heeds)

    async def examine(self) -> Sequence[Finding]:
        return [Finding("note", "a finding of its own")]

    async def hint(self) -> None:
        return


def test_a_store_has_the_powers_of_every_backend() -> None:
    store = KVStore(MemoryKV())

    for power in (Examines, Hints, Remembers):
        assert isinstance(store, power)


async def test_only_a_directory_that_was_opened_once_has_a_store(
    tmp_path: Path,
) -> None:
    for single_writer in (False, True):
        place = tmp_path / str(single_writer)
        store = KVStore(FilesKV(place, sync=False), single_writer=single_writer)
        assert store.missing() == f"there is no store in the directory {place}"
        assert not place.exists()

        await store.open()

        assert store.missing() is None
        await store.close()
    assert KVStore(MemoryKV()).missing() is None


async def test_what_a_commit_has_consumed_is_known_while_its_effects_are_late() -> None:
    # N-18 G11
    kv = MemoryKV()
    store = KVStore(kv)
    await store.commit("i", START)
    for name in ("b", "a", "stays", "é" * 200):
        await store.send(Envelope("i", name, "n", b"body"))
    before = await copy_of(kv)
    acks = ("a", "b", "é" * 200)
    await store.commit("i", replace(START, seq=2, acks=acks))
    frame = next(pair for pair in await kv.scan("f/") if pair[0].endswith("2"))
    await before.put(*frame)

    for each in (kv, before):
        assert await KVStore(each).consumed("i") == sorted(acks)


async def test_what_is_unread_again_is_not_consumed() -> None:
    # S16
    store = KVStore(MemoryKV())
    await store.commit("i", START)
    for name in ("a", "b"):
        await store.send(Envelope("i", name, "n", b"body"))
    await store.commit("i", replace(START, seq=2, acks=("a", "b")))
    back = replace(START, seq=3, restored=("b",), restored_bodies=(b"body",))
    await store.commit("i", back)
    assert await store.consumed("i") == ["a"]

    await store.commit("i", replace(START, seq=4, acks=("b",)))
    assert await store.consumed("i") == ["a", "b"]
    await store.delete("i")
    assert await store.consumed("i") == []


async def test_a_key_is_put_twice_to_see_whether_one_wins() -> None:
    # N-17
    kv = Forgetful()
    store = KVStore(kv)
    await store.open()
    first = await store.examine()
    kv.heeds = False

    then = await store.examine()

    assert [each.verdict for each in first] == ["good", "note"]
    assert [each.verdict for each in then] == ["bad", "note"]
    assert "two processes can both commit" in then[0].text
    assert then[1].text == "a finding of its own"


async def test_one_process_alone_is_told_what_its_word_is_worth() -> None:
    kv = Forgetful()
    kv.heeds = False
    store = KVStore(kv, single_writer=True)
    await store.open()

    found = await store.examine()

    assert [each.verdict for each in found] == ["note", "note"]
    assert "single_writer=True" in found[0].text
    await store.hint()  # that of the backend


async def test_a_backend_without_hints_is_waited_for_without_end() -> None:
    waiting = asyncio.ensure_future(KVStore(MemoryKV()).hint())
    for _ in range(5):
        await asyncio.sleep(0)

    assert not waiting.done()
    waiting.cancel()


async def test_a_volume_without_hard_links_is_refused_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StoreUnavailable, match="makes no hard links"):
        await FilesKV(tmp_path).open()
    assert list((tmp_path / ",new").iterdir()) == []


async def test_a_volume_that_takes_capitals_for_small_letters_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What is linked to on such a volume is there already
    def fail(*_: object) -> None:
        raise FileExistsError(17, "File exists")

    monkeypatch.setattr(os, "link", fail)
    with pytest.raises(StoreUnavailable, match="does not tell A from a"):
        await FilesKV(tmp_path).open()


async def test_a_directory_is_examined(tmp_path: Path) -> None:
    for sync in (True, False):
        store = KVStore(FilesKV(tmp_path, sync=sync))
        await store.open()

        found = await store.examine()

        texts = " / ".join(each.text for each in found)
        assert "makes hard links" in texts
        assert ("a power cut takes back" in texts) is not sync


@pytest.mark.parametrize(
    ("place", "kind"),
    [
        ("/srv/data", "ext4"),
        ("/mnt/data", "tmpfs"),
        ("/mnt/a b/data", "nfs4"),
        ("/mnt/a bc", "tmpfs"),
        ("/twice", "fuse.sshfs"),
    ],
)
def test_the_kind_of_a_file_system_is_that_of_the_nearest_mount(
    tmp_path: Path, place: str, kind: str
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS, "utf-8")

    assert kind_of(Path(place), mounts) == kind
    assert kind_of(Path(place), tmp_path / "none") == ""


@pytest.mark.parametrize(
    ("kind", "sync", "verdict", "told"),
    [
        ("tmpfs", True, "bad", "in memory"),
        ("tmpfs", False, "note", "in memory"),
        ("overlay", True, "note", "use a volume"),
        ("nfs4", True, "note", "lookupcache=none"),
    ],
)
def test_what_a_kind_of_file_system_may_lose_is_told(
    monkeypatch: pytest.MonkeyPatch, kind: str, verdict: str, told: str, *, sync: bool
) -> None:
    def kind_of(place: Path) -> str:
        return kind

    monkeypatch.setattr("edgeflow_kv._volume.kind_of", kind_of)

    found = list(findings(Path("data"), sync=sync))

    assert (found[-1].verdict, told in found[-1].text) == (verdict, True)
