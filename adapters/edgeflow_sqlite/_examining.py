"""What the promises of a SQLite file rest on: the library, settings, the disk."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.store import MIB, Finding

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

MENDED = (3, 51, 3)
"""The first SQLite without the race between a checkpoint and a writer.

https://sqlite.org/wal.html#walresetbug
"""
BACKPORTS = ((3, 44, 6), (3, 50, 7))
"""Older lines that have it mended too, and from which patch on."""
SMALL = 256 * MIB
"""Bytes of free space that a few full groups of frames would fill."""

NETWORK = {
    *("9p", "afs", "ceph", "cifs", "drvfs", "glusterfs", "gpfs", "lustre"),
    *("ncpfs", "nfs", "nfs4", "smb3", "smbfs", "vboxsf", "virtiofs"),
}
"""File systems, as Linux calls them, whose locks and syncs need another machine."""
IN_MEMORY = {"ramfs", "tmpfs"}
LOCAL_FUSE = {"fuseblk"}  # NTFS and exFAT on a disk of this machine

SANDBOX = "/tmp"  # noqa: S108  all that a Lambda function can write to
MOUNTS = Path("/proc/self/mountinfo")


def examined(path: str, version: str, journal: str, synchronous: str) -> list[Finding]:
    """Say what holds of a file that is open; reads the disk, and writes nothing."""
    place = Path(path).resolve()
    return [
        *_library(version),
        *_settings(journal, synchronous),
        *_disk(place, _mounts()),
        *_room(shutil.disk_usage(place.parent).free),
    ]


def _library(version: str) -> Iterator[Finding]:
    number = tuple(map(int, version.split(".")))
    mended = number >= MENDED or any(
        number[:2] == first[:2] and number >= first for first in BACKPORTS
    )
    if mended:
        yield Finding("good", f"SQLite {version}")
        return
    yield Finding(
        "note",
        f"SQLite {version}: before 3.51.3 a checkpoint at the very moment of another "
        "process's write can, very rarely, damage the file. Use a Python with a newer "
        "SQLite, or one process at a time",
    )


def _settings(journal: str, synchronous: str) -> Iterator[Finding]:
    if journal != "wal":
        yield Finding(
            "bad",
            f"the journal mode is {journal!r}, not 'wal': another program has changed "
            "it. Let no other program use the file, and open it again",
        )
    elif synchronous == "full":
        yield Finding("good", "a write-ahead log, synced at each commit")
    else:
        yield Finding(
            "note",
            "synchronous=normal: a power cut, or a crash of the system, takes back the "
            "last commits, those since the last checkpoint, after others were told of "
            "them. Leave the option out if that must not be",
        )


def _disk(place: Path, mounts: Sequence[tuple[Path, str]]) -> Iterator[Finding]:
    kind = file_system(place, mounts)
    if kind is None:
        return
    is_remote = kind in NETWORK or (kind.startswith("fuse") and kind not in LOCAL_FUSE)
    if is_remote:
        yield Finding(
            "note",
            f"{place.parent} is mounted as {kind}: a write-ahead log needs a disk of "
            "this machine, and over a network two processes can damage the file. Use a "
            "local disk, or a store that machines can share",
        )
    elif kind in IN_MEMORY:
        yield Finding(
            "note",
            f"{place.parent} is mounted as {kind}: the file is in memory, and gone "
            "when the machine stops. Use a disk",
        )
    elif "AWS_LAMBDA_FUNCTION_NAME" in os.environ and _is_below(place, SANDBOX):
        yield Finding(
            "note",
            f"{SANDBOX} of a Lambda function is gone with its sandbox, and no other "
            "sandbox sees it. Use a store that all of them reach",
        )


def _room(free: int) -> Iterator[Finding]:
    if free < SMALL:
        yield Finding(
            "note",
            f"only {free // MIB} MiB are free on its disk: a full disk stops every "
            "commit. Make room",
        )


def file_system(place: Path, mounts: Iterable[tuple[Path, str]]) -> str | None:
    """Name the file system of a place; None if that is not known here."""
    above = [(len(point.parts), kind) for point, kind in mounts if _is_at(place, point)]
    # What was mounted last on one point hides the others; max() takes the first.
    return max(reversed(above), key=lambda each: each[0])[1] if above else None


def _is_at(place: Path, point: Path) -> bool:
    return point in {place, *place.parents}


def _is_below(place: Path, directory: str) -> bool:
    return Path(directory).resolve() in place.parents


def _mounts() -> list[tuple[Path, str]]:
    """Read what is mounted where, in order; nothing where the system is not Linux.

    https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html
    """
    try:
        text = MOUNTS.read_text("utf-8", errors="surrogateescape")
    except OSError:
        return []
    return list(parsed(text))


def parsed(text: str) -> Iterator[tuple[Path, str]]:
    """Read the lines of a mountinfo."""
    for line in text.splitlines():
        front, separator, back = line.partition(" - ")
        fields, kind = front.split(" "), back.split(" ")[0]
        if separator and len(fields) > 4:  # noqa: PLR2004  the fifth is the mount point
            yield Path(_plain(fields[4])), kind


def _plain(text: str) -> str:
    """Undo what the kernel does to blanks in names."""
    for code, character in (("040", " "), ("011", "\t"), ("012", "\n"), ("134", "\\")):
        text = text.replace(f"\\{code}", character)
    return text
