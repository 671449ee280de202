"""What Vercel says about one invocation: its deadline, and whether its cron calls."""

from __future__ import annotations

import hmac
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeflow.platform import Request


def seconds_left(_request: Request) -> float | None:
    """Give the seconds until the invocation is killed; None: nothing says so.

    https://vercel.com/docs/functions/configuring-functions/duration
    """
    try:
        # Costly, and there only where Vercel's runtime is: not at import.
        deadline = import_module("vercel_runtime").get_deadline()
    except (ImportError, AttributeError):  # none there, or an older one
        return None
    if deadline is None:
        return None
    left: float = (deadline - datetime.now(UTC)).total_seconds()
    return left


def is_cron(request: Request, door: str, secret: str) -> bool:
    """Whether it is Vercel's cron, at the one door that is for it.

    The secret is no key to the other doors: whoever reads it from a cron's log can
    only have run what is due anyway.

    https://vercel.com/docs/cron-jobs/manage-cron-jobs#securing-cron-jobs
    """
    if not secret or (request.method, request.path.rstrip("/")) != ("GET", door):
        return False
    given = request.headers.get("authorization", "")
    return hmac.compare_digest(given.encode(), f"Bearer {secret}".encode())
