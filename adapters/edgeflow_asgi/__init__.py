"""Handlers as ASGI applications, for any server: docs/platforms/asgi.md.

`App(platform="asgi")` makes each handler one. Other platforms that speak ASGI build
on `AsgiHandler` too, which takes what they know about a request.
"""

from __future__ import annotations

from edgeflow_asgi._handler import AsgiHandler
from edgeflow_asgi._platform import AsgiPlatform

__all__ = ["AsgiHandler", "AsgiPlatform"]
