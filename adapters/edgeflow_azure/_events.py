"""What comes without a caller who waits: messages of a queue, and the timer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from edgeflow.errors import EdgeflowError
from edgeflow.platform import DOOR, Request

if TYPE_CHECKING:
    from edgeflow.platform import Endpoint


class EventNotTaken(EdgeflowError):
    """Raised to the host if a trigger has to fire once more.

    Nothing of it was made durable: the store was away, the process was ending, or the
    message was refused. The host gives a message to its poison queue after five tries.
    """


async def take_message(endpoint: Endpoint, message: Any, seconds: float) -> None:
    """Take a `func.QueueMessage`: JSON or text. Who may write to the queue is trusted.

    Raises:
        EventNotTaken: if it has to be delivered once more.
    """
    text: str = message.get_body().decode(errors="replace")
    try:
        event = json.loads(text)
    except ValueError:
        event = text
    await _take(endpoint, event, message, message.id, seconds)


async def take_timer(endpoint: Endpoint, timer: Any, seconds: float) -> None:
    """Run what is due.

    Raises:
        EventNotTaken: if nothing could be run.
    """
    event = {DOOR: {"run_due": None}}
    await _take(endpoint, event, timer, None, seconds)


async def _take(
    endpoint: Endpoint, event: Any, native: object, delivery: str | None, seconds: float
) -> None:
    request = Request(
        source="event",
        event=event,
        authenticated=True,
        delivery=delivery,
        seconds_left=seconds,
        native=native,
    )
    answer = await endpoint.answer(request)
    if answer.is_refused or not answer.is_decided:
        raise EventNotTaken(
            f"the handler {endpoint.name!r} has not taken the event {delivery}: "
            f"{answer.status} {answer.content.decode()}"
        )
