"""Forgetting an instance: a frame that nobody can write over, then the rest goes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.errors import StoreUnavailable
from edgeflow_kv._commits import deletion
from edgeflow_kv._effects import mark_deleted, wipe
from edgeflow_kv._frames import is_below_a_cut, put_frame
from edgeflow_kv._reading import read

if TYPE_CHECKING:
    from edgeflow_kv._kv import KV

TRIES = 100


async def delete(kv: KV, instance: str) -> None:
    """Forget an instance and its inbox; once more, if that was begun before.

    Raises:
        StoreUnavailable: if others write to it without a pause.
    """
    for _ in range(TRIES):
        state = (await read(kv, instance)).state
        if state.tail is None:
            await wipe(kv, state, 0, 0)
            return
        life, position = state.life, state.position
        if not state.tail.deleted:
            record = deletion(state)
            position = record.position
            await mark_deleted(kv, state, position, sure=False)
            written = await put_frame(kv, state, record, record.encode())
            if not written or await is_below_a_cut(kv, state, record):
                continue  # the mark is not sure; another deletion may need it
        await wipe(kv, state, life, position)
        await mark_deleted(kv, state, position, sure=True)
        return
    raise StoreUnavailable(
        f"instance {instance!r} is written to by others without a pause: try again"
    )
