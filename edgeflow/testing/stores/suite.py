"""The contract of `edgeflow.store.Store` as tests, for every adapter.

    class TestMyStore(StoreSuite):
        async def open_store(self, where: Path) -> Store:
            store = MyStore(where / "data")
            await store.open()
            return store

The tests are async (pytest-asyncio, mode "auto"), never sleep, and name the rows
of the conformance checklist that they pin.

What a store cannot do it declares in its `limits`. Nothing is skipped for it: the
same cases check what the flag promises instead.

| flag           | if true                       | if false                            |
|----------------|-------------------------------|-------------------------------------|
| `joins_sends`  | sent with the commit          | handed back, and delivered later    |
| `persistent`   | another object finds the data | it finds nothing                    |
| `shared`       | a second handle sees all      | it is refused, or finds nothing     |
| `server_clock` | a wrong `now` does nothing    | `now` decides                       |
| `durable`      | it is `persistent`, too       | nothing: no case cuts the power     |

It is alike with the power to commit without a loop: with `SyncCommit` the cases of
`EmergencyCases` write by it, from a thread, while the loop stands still; the same
must be read afterwards if a store that lacks it writes by `commit`. So it is with
`Remembers`, `Examines` and `Resumes`, in `PowerCases`.

There is one exception. For a store with `server_clock` no time passes, unless
`set_clock` is there: without it, cases with leases are skipped and say so.

What takes processes is left to the adapter's own tests: one that is killed right after
an answer or in the middle of a commit, one that exits without `close`.

`edgeflow.testing.stores.machine.StoreMachine` is the other half: random operations
and faults, compared with a model of what a store is. Run both.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from edgeflow.testing.stores.answers import AnswerCases
from edgeflow.testing.stores.claims import ClaimCases
from edgeflow.testing.stores.commits import CommitCases
from edgeflow.testing.stores.emergency import EmergencyCases
from edgeflow.testing.stores.flags import FlagCases
from edgeflow.testing.stores.lists import ListCases
from edgeflow.testing.stores.messages import MessageCases
from edgeflow.testing.stores.owners import OwnerCases
from edgeflow.testing.stores.powers import PowerCases
from edgeflow.testing.stores.source import unwrapped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from edgeflow.store import Store


class StoreSuite(
    CommitCases,
    AnswerCases,
    EmergencyCases,
    OwnerCases,
    MessageCases,
    ClaimCases,
    ListCases,
    FlagCases,
    PowerCases,
):
    """Subclass it, say how your store is opened, and pytest does the rest."""

    @pytest.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[Store]:
        """Yield the store under test."""
        store = self.timed(await self.open_store(tmp_path))
        yield store
        await store.close()

    @pytest.fixture
    async def other(self, store: Store, tmp_path: Path) -> AsyncIterator[Store]:
        """Yield another process's view of the same data."""
        other = self.timed(await self.reopen(unwrapped(store), tmp_path))
        yield other
        await other.close()
