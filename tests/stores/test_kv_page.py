"""What docs/stores/kv.md shows is a KV, and short."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from edgeflow.store import Commit, Envelope
from edgeflow.testing import KVSuite
from edgeflow_kv import KVStore

if TYPE_CHECKING:
    import pytest

    from edgeflow_kv import KV

BLOCK = re.compile(r"^```python\n# (\w+)\.py\n(.*?)^```", re.MULTILINE | re.DOTALL)
PAGE = (Path(__file__).parents[2] / "docs" / "stores" / "kv.md").read_text("utf-8")
BLOCKS = dict(BLOCK.findall(PAGE))
LONGEST = 60


def module(name: str) -> Any:
    """Run a block of the page as a module."""
    made = ModuleType(name)
    exec(compile(BLOCKS[name], f"docs/stores/kv.md, {name}.py", "exec"), made.__dict__)
    return made


ROWS = module("rows")


def test_a_binding_is_short() -> None:
    assert len(BLOCKS["rows"].splitlines()) <= LONGEST


class TestRowsKV(KVSuite):  # N-17
    async def open_kv(self, where: Path) -> KV:
        kv: KV = ROWS.RowsKV(where / "rows.db")
        await kv.open()
        return kv


async def test_a_store_fits_on_top_of_it(tmp_path: Path) -> None:
    store: KVStore = ROWS.RowsKV.from_url(f"rows:///{tmp_path / 'rows.db'}")
    await store.open()
    commit = Commit(
        seq=1, frames=(b"f",), token=b"t", workflow="w", status="running", now=1.0
    )
    await store.commit("i", commit)
    assert await store.send(Envelope("i", "m", "a", b"body"))
    await store.close()

    loaded = await KVStore(ROWS.RowsKV(tmp_path / "rows.db")).load("i")

    assert loaded is not None
    assert [message.id for message in loaded.messages] == ["m"]


def test_its_tests_run_as_they_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rows", ROWS)

    shown = module("test_rows")

    assert issubclass(shown.TestRowsKV, KVSuite)
