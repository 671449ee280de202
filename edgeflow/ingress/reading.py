"""What a request asks for: an action, checked and bounded, not yet done."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, cast

from edgeflow.engine.scope import checked_message, stable_id
from edgeflow.errors import DefinitionError, Undecodable
from edgeflow.ingress.doors import trigger_of
from edgeflow.ingress.finding import NOTHING, Finder, checked, find, instance_id
from edgeflow.ingress.refusing import (
    BAD_REQUEST,
    NOT_ALLOWED,
    TOO_LARGE,
    Refused,
)
from edgeflow.late import dataclass, replace
from edgeflow.platform import DOOR, Action, Alarm, Request
from edgeflow.starting import new_id
from edgeflow.values import loads

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_TEXT = 255
"""Characters of a message's name, and of its id."""

STARTS = {"POST", "PUT"}
"""The methods of HTTP by which a handler itself is called."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Reads the requests of one handler."""

    workflow: str
    """Its name."""
    id: Finder | None
    """Where the id of the instance is; None: what the platform calls this delivery."""
    input: Finder | None
    """Where the input is; None: it is the whole event."""
    settings: Mapping[str, Any]

    def read(self, request: Request) -> tuple[Request, Action]:
        """Say what a request asks for; give the request with its event, too.

        Raises:
            Refused: if it cannot be understood; nothing was done.
        """
        trigger = None
        if request.source == "http":
            request = replace(request, event=self._parsed(request))
            trigger = trigger_of(request, self.settings["prefix"])
        elif isinstance(request.event, dict):
            # Over HTTP our own have doors of their own: see `trigger_of`.
            trigger = cast("dict[str, Any]", request.event).get(DOOR)
        if trigger is None:
            return request, self._start(request)
        action = _triggered(trigger, self.workflow)
        if action.kind == "send" and action.message_id is None and request.delivery:
            # Queues deliver at least once: the same delivery is the same message.
            action = replace(action, message_id=_text(request.delivery, "a delivery"))
        return request, action

    def _parsed(self, request: Request) -> Any:
        limit = self.settings["max_body"]
        if len(request.body) > limit:
            raise Refused(
                TOO_LARGE, "BodyTooLarge", f"the body is longer than {limit} bytes"
            )
        if not request.body:
            return None
        try:
            return loads(request.body)
        except Undecodable as error:
            raise Refused(
                BAD_REQUEST, "BadJson", f"the body is no JSON: {error.why}"
            ) from error

    def _start(self, request: Request) -> Action:
        if request.source == "http" and request.method not in STARTS:
            raise Refused(
                NOT_ALLOWED, "MethodNotAllowed", "a handler takes POST, with JSON"
            )
        event, body = request.event, request.event
        if self.input is not None:
            body = find(event, self.input, "the input")
            body = None if body is NOTHING else body
        return Action("start", self._id(request, event), self.workflow, body)

    def _id(self, request: Request, event: Any) -> str:
        if self.id is not None:
            return instance_id(event, self.id)
        if request.delivery:
            return checked(request.delivery)
        key = request.headers.get("idempotency-key")
        if not key:
            return new_id()
        # With the body: who guesses a key must not be given another caller's output.
        return stable_id(self.workflow, key, request.body)


def _triggered(trigger: Any, workflow: str) -> Action:
    """Read what is under the reserved key.

    Raises:
        Refused: if it asks for nothing that there is.
    """
    if isinstance(trigger, dict):
        match cast("dict[str, Any]", trigger):
            case {"wake": id_, **rest} if not rest.keys() - {"alarm"}:
                instance = checked(id_)
                alarm = _alarm(instance, rest.get("alarm"))
                return Action("wake", instance, workflow, alarm=alarm)
            case {"look": id_, **rest} if not rest:
                return Action("look", checked(id_), workflow)
            case {"run_due": limit, **rest} if not rest and _is_limit(limit):
                return Action("run_due", name=workflow, limit=limit)
            case {"send": {"to": to, "name": name, **more}, **rest} if not rest:
                return _send(to, name, cast("dict[str, Any]", more))
            case _:
                pass
    raise Refused(
        BAD_REQUEST,
        "BadTrigger",
        f'under {DOOR!r} there has to be one of {{"wake": id}}, {{"look": id}}, '
        '{"run_due": n or null} and {"send": {"to": id, "name": text, "body": …, '
        '"id": text}}',
    )


def _alarm(instance: str, found: object) -> Alarm | None:
    match found:
        case None:
            return None
        case [str(key), float() | int() as when] if _is_time(when):
            return Alarm(instance, key, float(when))
        case _:
            raise Refused(BAD_REQUEST, "BadTrigger", "this is no alarm of edgeflow's")


def _is_time(when: float) -> bool:
    return type(when) is not bool and abs(when) <= sys.float_info.max


def _is_limit(limit: object) -> bool:
    return limit is None or (type(limit) is int and limit >= 0)


def _send(to: object, name: object, more: dict[str, Any]) -> Action:
    message = more.pop("id", None)
    body = more.pop("body", None)
    if more:
        stranger = next(iter(more))
        raise Refused(BAD_REQUEST, "BadTrigger", f"a message has no {stranger!r}")
    return Action(
        "send",
        checked(to),
        _text(name, "the name of a message"),
        body,
        None if message is None else _text(message, "the id of a message"),
    )


def _text(found: object, what: str) -> str:
    try:
        text = checked_message(found, what)
    except DefinitionError as error:
        raise Refused(BAD_REQUEST, "BadMessage", str(error)) from error
    if len(text) > MAX_TEXT:
        raise Refused(
            BAD_REQUEST, "BadMessage", f"{what} has {MAX_TEXT} characters at most"
        )
    return text
