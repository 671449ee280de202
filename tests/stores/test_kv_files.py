"""What a directory of files shows while others write to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeflow_kv import FilesKV


@pytest.mark.parametrize("is_removed", [False, True])
@pytest.mark.parametrize("later", ["p/3", "p/3/k"])
async def test_what_comes_later_in_a_scan_is_read_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, later: str, *, is_removed: bool
) -> None:
    # N-17: who sees what a snapshot has trimmed sees the snapshot, too
    kv = FilesKV(tmp_path, sync=False)
    await kv.open()
    keys = [f"p/{n}" for n in range(3)]
    for key in keys:
        await kv.put(key, b"old")
    read = Path.read_bytes
    seen: list[Path] = []

    def trim_and_read(self: Path) -> bytes:
        seen.append(self)
        if len(seen) == 1:  # the directory is listed by now
            new = tmp_path / f"{later},"
            new.parent.mkdir(exist_ok=True)
            new.write_bytes(b"new")
            for key in keys:
                file = tmp_path / f"{key},"
                file.unlink() if is_removed else file.write_bytes(b"")
        return read(self)

    monkeypatch.setattr(Path, "read_bytes", trim_and_read)
    found = list(await kv.scan("p/"))

    trimmed = [] if is_removed else [(key, b"") for key in keys]
    assert found == [*trimmed, (later, b"new")]
    assert len(seen) == 4
    assert len(await kv.scan("p/", limit=1)) == 1
