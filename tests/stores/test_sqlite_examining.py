"""What `edgeflow doctor` hears of a SQLite file."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from edgeflow.store import MIB, Examines
from edgeflow_sqlite import SqliteStore, _examining
from edgeflow_sqlite._examining import examined, file_system, parsed

if TYPE_CHECKING:
    from edgeflow.store import Finding

ROOT = (Path("/"), "ext4")
PLENTY = 10**12


def looked(
    monkeypatch: pytest.MonkeyPatch,
    *,
    path: str = "/data/x.db",
    version: str = "3.53.2",
    journal: str = "wal",
    synchronous: str = "full",
    mounts: tuple[tuple[Path, str], ...] = (ROOT,),
    free: int = PLENTY,
) -> list[Finding]:
    monkeypatch.setattr(_examining, "_mounts", lambda: list(mounts))

    def usage(_: Path) -> SimpleNamespace:
        return SimpleNamespace(free=free)

    monkeypatch.setattr("shutil.disk_usage", usage)
    return examined(path, version, journal, synchronous)


def notes(found: list[Finding]) -> list[str]:
    return [each.text for each in found if each.verdict == "note"]


async def test_an_open_file_is_looked_at_as_it_is(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "x.db")
    await store.open()
    assert isinstance(store, Examines)
    found = await store.examine()
    await store.close()

    assert found[0].text.startswith(f"SQLite {sqlite3.sqlite_version}")
    assert found[1].text == "a write-ahead log, synced at each commit"
    assert {each.verdict for each in found} <= {"good", "note"}


async def test_a_file_whose_journal_was_changed_is_mended_by_opening_it(
    tmp_path: Path,
) -> None:
    store = SqliteStore(tmp_path / "x.db")
    await store.open()
    await store.close()
    store = SqliteStore(tmp_path / "x.db")
    with closing(sqlite3.connect(tmp_path / "x.db")) as db:
        db.execute("pragma journal_mode=delete")
        db.commit()
    await store.open()

    found = await store.examine()

    assert found[1].verdict == "good"
    await store.close()


def test_all_is_well_where_nothing_is_odd(monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked(monkeypatch)

    assert [(f.verdict, f.text) for f in found] == [
        ("good", "SQLite 3.53.2"),
        ("good", "a write-ahead log, synced at each commit"),
    ]


@pytest.mark.parametrize(
    ("version", "is_mended"),
    [
        ("3.37.0", False),
        ("3.40.1", False),
        ("3.44.5", False),
        ("3.44.6", True),
        ("3.45.0", False),
        ("3.50.6", False),
        ("3.50.7", True),
        ("3.51.2", False),
        ("3.51.3", True),
        ("3.53.0", True),
    ],
)
def test_the_race_of_older_versions_is_noted(
    monkeypatch: pytest.MonkeyPatch, version: str, *, is_mended: bool
) -> None:
    found = looked(monkeypatch, version=version)

    assert (found[0].verdict == "good") == is_mended
    assert ("3.51.3" in found[0].text) == (not is_mended or version == "3.51.3")


def test_what_normal_syncing_loses_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    [note] = notes(looked(monkeypatch, synchronous="normal"))

    assert "takes back the last commits" in note


def test_another_journal_is_bad(monkeypatch: pytest.MonkeyPatch) -> None:
    found = looked(monkeypatch, journal="delete")

    assert [f.verdict for f in found] == ["good", "bad"]
    assert "'delete', not 'wal'" in found[1].text


@pytest.mark.parametrize(
    "kind", ["nfs4", "cifs", "9p", "fuse", "fuse.sshfs", "fuse.gcsfuse", "virtiofs"]
)
def test_a_disk_over_a_network_is_noted(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    mounts = (ROOT, (Path("/data"), kind))
    [note] = notes(looked(monkeypatch, mounts=mounts))

    assert note.startswith(f"/data is mounted as {kind}: ")
    assert notes(looked(monkeypatch, mounts=mounts, path="/other/x.db")) == []


def test_a_disk_in_memory_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    [note] = notes(looked(monkeypatch, mounts=(ROOT, (Path("/data"), "tmpfs"))))

    assert "in memory" in note


@pytest.mark.parametrize("kind", ["ext4", "xfs", "btrfs", "overlay", "fuseblk", "zfs"])
def test_a_disk_of_this_machine_is_not(
    monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    assert notes(looked(monkeypatch, mounts=((Path("/"), kind),))) == []


def test_the_only_disk_of_a_lambda_function_is_noted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert notes(looked(monkeypatch, path="/tmp/x.db")) == []
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "shop")

    assert notes(looked(monkeypatch, path="/var/x.db")) == []
    [note] = notes(looked(monkeypatch, path="/tmp/x.db"))

    assert "gone with its sandbox" in note


def test_little_room_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    [note] = notes(looked(monkeypatch, free=17 * MIB))

    assert note.startswith("only 17 MiB are free")


def test_the_nearest_mount_counts_and_the_last_one_of_a_place() -> None:
    mounts = [
        ROOT,
        (Path("/data"), "nfs4"),
        (Path("/data/fast"), "ext4"),
        (Path("/da"), "9p"),
        (Path("/data/fast"), "xfs"),
    ]

    assert file_system(Path("/data/x.db"), mounts) == "nfs4"
    assert file_system(Path("/data/fast/x.db"), mounts) == "xfs"
    assert file_system(Path("/database/x.db"), mounts) == "ext4"
    assert file_system(Path("/x.db"), []) is None


def test_a_mountinfo_is_read_with_its_odd_names_and_optional_fields() -> None:
    text = (
        "22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n"
        "30 22 0:26 / /mnt/with\\040blank rw master:2 shared:9 - nfs4 host:/x rw\n"
        "31 22 0:27 / /plain rw - tmpfs tmpfs rw\n"
        "nonsense\n"
    )

    assert list(parsed(text)) == [
        (Path("/"), "ext4"),
        (Path("/mnt/with blank"), "nfs4"),
        (Path("/plain"), "tmpfs"),
    ]


def test_where_there_is_no_mountinfo_nothing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_examining, "MOUNTS", tmp_path / "missing")
    monkeypatch.setattr(_examining, "SMALL", 0)

    assert len(examined(str(tmp_path / "x.db"), "3.53.2", "wal", "full")) == 2
