"""CloudEvents, which Eventarc sends, and the messages of Pub/Sub within them."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Any

from edgeflow.errors import EdgeflowError
from edgeflow.platform import Request

if TYPE_CHECKING:
    from collections.abc import Mapping

PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
"""The type of an event that holds a message of Pub/Sub.

https://github.com/googleapis/google-cloudevents/blob/main/proto/google/events/cloud/pubsub/v1/data.proto
"""


class EventNotTaken(EdgeflowError):
    """Raised to functions-framework if an event has to be delivered once more.

    Nothing of it was made durable: the store was away, the process was ending, or the
    event was refused. Eventarc and Pub/Sub deliver it again, and in the end give it to
    the dead-letter topic, if there is one.
    """


def event_request(
    cloud_event: Any, *, authenticated: bool, seconds_left: float | None
) -> Request:
    """Translate a CloudEvent; `native` is the whole of it.

    It came over HTTP, and nothing in it proves who sent it: `authenticated` is for
    whoever knows that Cloud Run has checked the caller.
    """
    attributes: Mapping[str, Any] = cloud_event.get_attributes()
    data = _plain(cloud_event.get_data())
    return Request(
        source="event",
        event=_message(data) if attributes["type"] == PUBLISHED else data,
        authenticated=authenticated,
        delivery=f"{attributes['source']}#{attributes['id']}",
        seconds_left=seconds_left,
        native=cloud_event,
    )


def _message(data: Any) -> Any:
    """Give the data of a message: JSON or text; the message itself if it has none."""
    match data:
        case {"message": {"data": str(text)}} if text:
            return _plain(b64decode(text))
        case {"message": message}:
            return message
        case _:
            return data


def _plain(data: Any) -> Any:
    """Make bytes plain JSON: what they say, or text, or else base64."""
    if not isinstance(data, bytes):
        return data
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return b64encode(data).decode()
    try:
        return json.loads(text)
    except ValueError:
        return text
