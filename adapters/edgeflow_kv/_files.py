"""A KV in a directory of files, which several machines may share.

The conditional put is `link`, which fails if the name is there, on network volumes too;
what is linked was written and synced under another name. A volume needs hard links, and
must tell `A` from `a`.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING

from edgeflow.errors import ConfigError, StoreUnavailable
from edgeflow.store import MIB
from edgeflow_kv import _volume
from edgeflow_kv._keys import FORMAT
from edgeflow_kv._kv import value_limits
from edgeflow_kv._store import KVStore

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeflow.store import Finding

END = ","
"""Ends the names of files, so that a key may go on where another one ends."""
SCRATCH = ",new"
"""The directory of files that are being written: no key begins like this."""


class FilesKV:
    """Each value is a file; each slash in a key is a directory."""

    def __init__(self, path: str | os.PathLike[str], *, sync: bool = True) -> None:
        """Keep the values below `path`, which `open` makes.

        Without `sync` a power cut may take back writes that were answered.
        """
        self.limits = value_limits(65 * MIB, durable=sync)
        self._root = Path(path)
        self._scratch = self._root / SCRATCH
        self._sync = sync

    @classmethod
    def from_url(cls, url: str) -> KVStore:
        """Make a store in a directory: `files:///relative` or `files:////absolute`.

        Raises:
            ConfigError: if the URL names no directory.
        """
        path = url.removeprefix("files:///")
        if path in {url, ""}:
            raise ConfigError(
                f"store {url!r}: write files:///relative or files:////absolute"
            )
        return KVStore(cls(path))

    def missing(self) -> str | None:
        """Say if no store is in the directory yet; `open` makes one."""
        if self._file(FORMAT).exists():
            return None
        return f"there is no store in the directory {self._root}"

    async def open(self) -> None:
        """Make the directory, and see what its volume can do.

        Raises:
            StoreUnavailable: if it cannot be used; says why.
        """
        try:
            await asyncio.to_thread(self._scratch.mkdir, parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailable(f"{self._root} cannot be used: {error}") from error
        await asyncio.to_thread(_volume.check, self._scratch)

    async def close(self) -> None:
        """Do nothing: no file is held open."""

    async def examine(self) -> Sequence[Finding]:
        """Say what the volume can do, and what is lost with it."""
        return await asyncio.to_thread(self._examine)

    def _examine(self) -> list[Finding]:
        return list(_volume.findings(self._root, sync=self._sync))

    async def get(self, key: str) -> bytes | None:
        return await asyncio.to_thread(_read, self._file(key))

    async def put(self, key: str, value: bytes, *, if_absent: bool = False) -> bool:
        return await asyncio.to_thread(
            self._put, self._file(key), value, if_absent=if_absent
        )

    async def delete(self, key: str) -> None:
        await asyncio.to_thread(self._delete, self._file(key))

    async def scan(
        self, prefix: str, start: str | None = None, limit: int | None = None
    ) -> Sequence[tuple[str, bytes]]:
        return await asyncio.to_thread(self._scan, prefix, start or "", limit)

    def _file(self, key: str) -> Path:
        return self._root / (key + END)

    def _put(self, file: Path, value: bytes, *, if_absent: bool) -> bool:
        draft = self._scratch / f"{os.getpid()}-{os.urandom(8).hex()}"
        try:
            with draft.open("xb") as stream:
                stream.write(value)
                if self._sync:
                    stream.flush()
                    os.fsync(stream.fileno())
            return self._place(draft, file, if_absent=if_absent)
        finally:
            draft.unlink(missing_ok=True)

    def _place(self, draft: Path, file: Path, *, if_absent: bool) -> bool:
        while True:
            try:
                self._make(file.parent)
                if if_absent:
                    os.link(draft, file)
                else:
                    draft.replace(file)
            except FileExistsError:
                return False
            except FileNotFoundError:
                continue  # a delete has removed the directory, which was empty
            self._keep(file.parent)
            return True

    def _make(self, directory: Path) -> None:
        if not directory.is_dir():
            self._make(directory.parent)
            directory.mkdir(exist_ok=True)
            self._keep(directory.parent)

    def _keep(self, directory: Path) -> None:
        """Sync the names in a directory."""
        if self._sync:
            try:
                held = os.open(directory, os.O_RDONLY)
            except FileNotFoundError:
                return  # a delete has removed it, so there is no name to keep
            try:
                os.fsync(held)
            finally:
                os.close(held)

    def _delete(self, file: Path) -> None:
        file.unlink(missing_ok=True)
        for directory in file.parents:
            if directory == self._root:
                return
            try:
                directory.rmdir()
            except OSError:
                return  # it is not empty, or gone

    def _scan(
        self, prefix: str, start: str, limit: int | None
    ) -> list[tuple[str, bytes]]:
        """Walk until that brings nothing new.

        A directory is listed before its files are read. So a value that is gone, or
        another one, may be so because of a key that the list has not.
        """
        values: dict[str, bytes | None] = {}
        while True:
            known = len(values)
            found: list[tuple[str, bytes]] = []
            for key in self._walk(prefix, start):
                if limit is not None and len(found) >= limit:
                    break
                if key not in values:
                    values[key] = _read(self._file(key))
                value = values[key]
                if value is not None:
                    found.append((key, value))
            if len(values) == known:
                return found

    def _walk(self, prefix: str, start: str) -> Iterator[str]:
        within, slash, _ = prefix.rpartition("/")
        return _keys(self._root / within, within + slash, prefix, start)


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _keys(directory: Path, path: str, prefix: str, start: str) -> Iterator[str]:
    """Walk the keys below a directory in order, leaving out what need not be read."""
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return
    names = [path + e.name + ("/" if e.is_dir() else "") for e in entries]
    for name in sorted(each.removesuffix(END) for each in names):
        if name.endswith("/"):
            is_within = name.startswith(prefix) or prefix.startswith(name)
            is_late = name >= start or start.startswith(name)
            if is_within and is_late and not name.startswith(SCRATCH):
                part = name.removeprefix(path).rstrip("/")
                yield from _keys(directory / part, name, prefix, start)
        elif name.startswith(prefix) and name >= start:
            yield name
