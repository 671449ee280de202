"""Messages from outside: checked, sealed, and put into an inbox."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from edgeflow.engine.arming import Net
from edgeflow.engine.scope import checked_message
from edgeflow.errors import Unencodable
from edgeflow.platform import Alarm
from edgeflow.store import Envelope
from edgeflow.values import converter

if TYPE_CHECKING:
    from edgeflow.engine.inbox import Posted
    from edgeflow.engine.wiring import Wiring


def new_message_id() -> str:
    """Give an id that no other message has."""
    return os.urandom(16).hex()


def plain(name: str, body: object) -> Any:
    """Make the body of a message plain JSON.

    Raises:
        DefinitionError: if `name` cannot be that of a message.
        Unencodable: if the body has no JSON form.
    """
    checked_message(name)
    try:
        return converter(Any).encode(body)
    except Unencodable as error:
        place = f"body of message {name!r} {error.path}"
        raise Unencodable(place, error.why) from None


async def post(wiring: Wiring, to: str, id_: str, name: str, posted: Posted) -> bool:
    """Put a message into the inbox of `to`; False: its id is known there.

    Raises:
        DefinitionError: if `id_` cannot be that of a message.
        InstanceFinished: if the receiver has ended.
        TooLarge: if the body is above the store's limit.
        StoreUnavailable: if it could not be written.
    """
    body = posted.seal(wiring.codec)
    checked_message(id_, "a message's id")
    with wiring.clock.busy():
        return await wiring.store.send(Envelope(to, id_, name, body))


def net_of(wiring: Wiring, to: str, id_: str) -> Net:
    """Give what has the platform wake the receiver of a message, where it can."""
    return Net(wiring, [Alarm(to, id_, wiring.clock.now())])
