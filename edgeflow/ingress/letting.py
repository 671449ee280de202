"""Whether a request is let in: the user's decision; closed unless somebody vouches."""

from __future__ import annotations

import hmac
import logging
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from edgeflow.ingress.refusing import FORBIDDEN, Refused
from edgeflow.late import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeflow.platform import Action, Authorize, Request

log = logging.getLogger("edgeflow")

HARMLESS = {"wake", "run_due"}
"""What runs only what is due anyway: who is known may do it, whatever the hook says."""


def identified(request: Request, settings: Mapping[str, Any]) -> Request:
    """Give the request with what the configuration knows of who calls."""
    if request.source == "http" and not request.authenticated:
        by_platform = settings["ingress"] == "platform" and not _is_forged(request)
        if by_platform or _knows_secret(request, settings["secret"]):
            return replace(request, authenticated=True)
    return request


def _is_forged(request: Request) -> bool:
    """Tell whether a page of another site sends it, with what its reader's browser has.

    Where cookies authenticate that is not the reader's wish.
    https://developer.mozilla.org/docs/Web/HTTP/Reference/Headers/Sec-Fetch-Site
    """
    return request.headers.get("sec-fetch-site") == "cross-site"


def _knows_secret(request: Request, secret: str | None) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if not secret or scheme.lower() != "bearer":
        return False
    is_known = hmac.compare_digest(_bytes(given.strip()), _bytes(secret))
    if not is_known:
        log.warning("a bearer token came that is not the secret of this handler")
    return is_known


def _bytes(text: str) -> bytes:
    """Encode even lone surrogates, which JSON and environments can bring along."""
    return text.encode(errors="surrogatepass")


async def let_in(request: Request, action: Action, authorize: Authorize | None) -> None:
    """Ask whoever decides.

    Raises:
        Refused: if it is not let in.
    """
    if request.authenticated and (authorize is None or action.kind in HARMLESS):
        return
    if authorize is None:
        log.warning(
            "%s of %r was refused: a handler is closed to HTTP. Give it authorize=…, "
            "or set a secret, or ingress = 'platform' if the platform authenticates",
            action.kind,
            action.id,
        )
    elif await _is_allowed(request, action, authorize):
        return
    raise Refused(FORBIDDEN, "Forbidden", f"{action.kind}: this is not allowed")


async def _is_allowed(request: Request, action: Action, authorize: Authorize) -> bool:
    try:
        answer = authorize(request, action)
        return (await answer if isawaitable(answer) else answer) is True
    except Exception:  # whatever goes wrong in it, nobody gets in by that
        log.exception("authorize failed: %s of %r is refused", action.kind, action.id)
        return False
