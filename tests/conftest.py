"""What all tests share: a store of each kind, and how hard Hypothesis tries."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

from edgeflow_memory import MemoryStore
from edgeflow_sqlite import SqliteStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edgeflow.store import Store

# Its asserts explain themselves only if pytest rewrites the module.
pytest.register_assert_rewrite("edgeflow.testing")

STORES = os.environ.get("EDGEFLOW_STORES", "memory,sqlite").split(",")

settings.register_profile("dev", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile(
    os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev")
)


def make_store(kind: str, folder: Path) -> Store:
    match kind:
        case "memory":
            return MemoryStore()
        case "sqlite":
            return SqliteStore(folder / "edgeflow.db")
        case _:
            pytest.fail(f"EDGEFLOW_STORES names {kind!r}, which no fixture makes.")


@pytest.fixture(params=STORES)
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    """One store of each kind, not yet open: the App opens it."""
    made = make_store(request.param, tmp_path)
    yield made
    await made.close()
