"""What was not understood, or is not let in: nothing was done."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from edgeflow.errors import (
    AlreadyExists,
    DefinitionError,
    TooLarge,
    Unencodable,
    UnknownInstance,
    ValueRefused,
    ValueTooLarge,
)

if TYPE_CHECKING:
    from collections.abc import Generator

BAD_REQUEST = 400
FORBIDDEN = 403
NOT_FOUND = 404
NOT_ALLOWED = 405
CONFLICT = 409
TOO_LARGE = 413

LONGEST = 1000
"""Characters of a refusal's message: it may repeat what came from outside."""


class Refused(Exception):
    """Raised if a request is refused; nothing was done."""

    def __init__(self, status: int, type: str, message: str) -> None:
        """Say so with an HTTP status, the name of a type of error, and a sentence."""
        # A lone surrogate, which JSON can bring along, could not be sent back.
        text = message[:LONGEST].encode(errors="backslashreplace").decode()
        self.status = status
        self.type = type
        self.message = text
        super().__init__(text)


@contextmanager
def refusals() -> Generator[None]:
    """Make what is the caller's mistake a refusal."""
    try:
        yield
    except (ValueTooLarge, TooLarge) as error:
        raise _refused(TOO_LARGE, error) from error
    except (DefinitionError, ValueRefused) as error:
        raise _refused(BAD_REQUEST, error) from error
    except UnknownInstance as error:
        raise _refused(NOT_FOUND, error) from error
    except AlreadyExists as error:
        raise _refused(CONFLICT, error) from error


def _refused(status: int, error: Exception) -> Refused:
    kind = "Undecodable" if isinstance(error, Unencodable) else type(error).__name__
    return Refused(status, kind, str(error))
