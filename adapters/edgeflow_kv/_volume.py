"""What a volume must be able to do, so that files on it are a KV."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.errors import StoreUnavailable
from edgeflow.store import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

MOUNTS = Path("/proc/self/mountinfo")
IN_MEMORY = frozenset({"tmpfs", "ramfs"})
OF_A_CONTAINER = frozenset({"overlay", "aufs"})
ON_A_NETWORK = frozenset(
    {"9p", "afs", "ceph", "cifs", "fuse.sshfs", "nfs", "nfs4", "smb3", "virtiofs"}
)


def check(scratch: Path) -> None:
    """Make a link, and remove it.

    Raises:
        StoreUnavailable: if the volume has no hard links, or takes `A` for `a`.
    """
    name = f"{os.getpid()}-{os.urandom(8).hex()}"
    lower, upper = scratch / f"{name}-a", scratch / f"{name}-A"
    try:
        lower.touch()
        os.link(lower, upper)
    except FileExistsError as error:
        raise StoreUnavailable(
            f"the volume of {scratch.parent} does not tell A from a, as the keys of a "
            "store need: use another volume"
        ) from error
    except OSError as error:
        raise StoreUnavailable(
            f"the volume of {scratch.parent} makes no hard links ({error}), so nothing "
            "can be put only if it is absent: use another volume"
        ) from error
    finally:
        lower.unlink(missing_ok=True)
        upper.unlink(missing_ok=True)


def findings(root: Path, *, sync: bool) -> Iterator[Finding]:
    """Say what `check` has shown, and what the kind of the file system means."""
    yield Finding("good", "its volume makes hard links, and tells A from a")
    if not sync:
        yield Finding("note", "sync=False: a power cut takes back what was answered")
    kind = kind_of(root)
    if kind in IN_MEMORY:
        text = f"{root} is on {kind}, in memory: nothing there outlives its machine"
        yield Finding("bad" if sync else "note", text)
    elif kind in OF_A_CONTAINER:
        text = f"{root} is in the layer of a container ({kind}), and goes with it"
        yield Finding("note", f"{text}: use a volume")
    elif kind in ON_A_NETWORK:
        text = (
            f"{root} is on a network ({kind}): if several machines use it, none may "
            "remember names or attributes (NFS: mount it with noac,lookupcache=none)"
        )
        yield Finding("note", text)


def kind_of(place: Path, mounts: Path = MOUNTS) -> str:
    """Name the kind of file system that a path is on; empty where nobody tells.

    See <https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html>.
    """
    if not mounts.exists():
        return ""
    best = ("", "")
    whole = place.resolve()
    for line in mounts.read_text("utf-8", "surrogateescape").splitlines():
        words = line.split(" ")
        point = re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), words[4])
        # Of two at one place the later one is seen.
        if whole.is_relative_to(point) and len(point) >= len(best[0]):
            best = point, words[words.index("-") + 1]
    return best[1]
