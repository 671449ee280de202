"""What a store may be able to do besides, and shows in the same way if it cannot.

A store without `Remembers` shows which ids it knows by what it answers to a message
that is sent once more; one without `Examines` has nothing to say of its backend.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args, get_type_hints

from edgeflow.store import Examines, Finding, Remembers
from edgeflow.testing.stores.parts import (
    FIRST,
    NEXT,
    SUSPENDED,
    due,
    message,
    picture,
    put,
    unread,
)
from edgeflow.testing.stores.source import unwrapped

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeflow.store import Store

VERDICTS: tuple[str, ...] = get_args(get_type_hints(Finding)["verdict"])


class PowerCases:
    async def test_consumed_messages_are_remembered_by_their_ids(
        self, store: Store, other: Store
    ) -> None:
        # N-07
        sent = ["a", "é/%", "b", "c"]
        for name in sent:
            await store.send(message("i", name))
        await store.send(message("j", "of another"))
        assert await consumed(other, "i", sent) == []
        await put(store, "i", replace(FIRST, acks=("b", "unheard-of")))
        await put(store, "i", replace(NEXT, acks=("é/%",)))
        await put(store, "j", replace(FIRST, acks=("of another",)))

        for each in (store, other):
            assert await consumed(each, "i", sent) == ["b", "é/%"]
            assert await consumed(each, "j", ["of another"]) == ["of another"]
            assert await unread(each, "i") == ["a", "c"]

    async def test_what_is_unread_again_is_not_remembered_as_consumed(
        self, store: Store, other: Store
    ) -> None:
        # N-07
        for each in ("a", "b"):
            await store.send(message("i", each))
        await put(store, "i", replace(FIRST, acks=("a", "b")))
        back = replace(NEXT, restored=("a",), restored_bodies=(b"again",))
        await put(store, "i", back)
        assert await consumed(other, "i", ["a", "b"]) == ["b"]

        await put(store, "i", replace(NEXT, seq=3, snapshot=True, acks=("a",)))

        assert await consumed(other, "i", ["a", "b"]) == ["a", "b"]

    async def test_what_was_never_started_or_is_deleted_has_consumed_nothing(
        self, store: Store, other: Store
    ) -> None:
        # N-01 N-14
        assert await consumed(store, "nobody", []) == []
        await store.send(message("i", "m"))
        await put(store, "i", replace(FIRST, acks=("m",)))

        await store.delete("i")

        assert await consumed(other, "i", []) == []
        assert await store.send(message("i", "m"))

    async def test_to_examine_a_store_says_what_is_so_and_changes_nothing(
        self, store: Store, other: Store
    ) -> None:
        # N-01
        await put(store, "i", replace(SUSPENDED, due=FIRST.now + 60))
        await store.send(message("j", "m"))
        before = await picture(other, "i", "j")

        found = [*await findings(store), *await findings(other)]

        assert all(each.verdict in VERDICTS and each.text for each in found), found
        assert await picture(other, "i", "j") == before
        assert await due(store, FIRST.now) == []
        assert await due(other, FIRST.now + 60) == ["i"]


async def consumed(store: Store, instance: str, sent: Sequence[str]) -> list[str]:
    """Ids of consumed messages, sorted; of a store that lists none, among `sent`."""
    itself = unwrapped(store)
    if isinstance(itself, Remembers):
        found = await itself.consumed(instance)
        assert len(found) == len(set(found)), found
        return sorted(found)
    waiting = await unread(store, instance)
    again = [each for each in sent if each not in waiting]
    return sorted([e for e in again if not await store.send(message(instance, e))])


async def findings(store: Store) -> Sequence[Finding]:
    """What a store finds out about its backend, if it can."""
    itself = unwrapped(store)
    return await itself.examine() if isinstance(itself, Examines) else ()
