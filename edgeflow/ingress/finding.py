"""Finding an id, or an input, in an event: by a key, a dotted path, or a function."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from edgeflow.engine.scope import checked_id
from edgeflow.errors import DefinitionError
from edgeflow.ingress.refusing import BAD_REQUEST, Refused
from edgeflow.values.wire import MAX_INT, MIN_INT

if TYPE_CHECKING:
    from collections.abc import Callable

Finder: TypeAlias = "str | Callable[[Any], Any]"

log = logging.getLogger("edgeflow")

NOTHING = object()


def find(event: Any, finder: Finder, what: str) -> Any:
    """Find something in an event; NOTHING: it is not there.

    Raises:
        Refused: if the function raised; names its error.
    """
    if not isinstance(finder, str):
        try:
            return finder(event)
        except Exception as error:
            # Called again with the same event it would do the same. What it says
            # may be for us only, but for the usual: a key that is missing.
            why = f": {error}" if isinstance(error, LookupError) else ""
            log.info("%s cannot be found in an event", what, exc_info=True)
            raise Refused(
                BAD_REQUEST,
                type(error).__name__,
                f"{what} cannot be found in the event{why}",
            ) from error
    whole = _in(event, finder)  # a key may have dots in it
    if whole is not NOTHING:
        return whole
    found = event
    for part in finder.split("."):
        found = _in(found, part)
    return found


def _in(value: Any, part: str) -> Any:
    if isinstance(value, dict):
        return cast("dict[str, Any]", value).get(part, NOTHING)
    if isinstance(value, list) and part.isdecimal():
        items = cast("list[Any]", value)  # type: ignore[redundant-cast]  # pyright
        return items[int(part)] if int(part) < len(items) else NOTHING
    return NOTHING


def instance_id(event: Any, finder: Finder) -> str:
    """Find the id of the instance in an event; a whole number of 64 bits is one too.

    Raises:
        Refused: if there is none, or it can be no id.
    """
    found = find(event, finder, "the id of the instance")
    if type(found) is int and MIN_INT <= found <= MAX_INT:
        found = str(found)
    if found is NOTHING or found is None or found == "":
        where = (
            f"at {finder!r}" if isinstance(finder, str) else "where it is looked for"
        )
        raise Refused(
            BAD_REQUEST, "NoId", f"the event has no id of an instance {where}"
        )
    return checked(found)


def checked(found: object) -> str:
    """Check an id from outside.

    Raises:
        Refused: if it can be no id; says why.
    """
    if not isinstance(found, str):
        kind = type(found).__name__
        raise Refused(
            BAD_REQUEST,
            "BadId",
            f"the id of an instance is a text or a whole number of 64 bits, not {kind}",
        )
    try:
        return checked_id(found)
    except DefinitionError as error:
        raise Refused(BAD_REQUEST, "BadId", str(error)) from error


def check_finder(finder: object, option: str) -> None:
    """Refuse what can find nothing.

    Raises:
        DefinitionError: if it is neither a text nor a function.
    """
    if not (callable(finder) or (isinstance(finder, str) and finder)):
        raise DefinitionError(
            f"{option}={finder!r}: write a key, a path like 'order.id', or a function "
            "that takes the event"
        )
