"""Handlers on Google Cloud Run and in its functions: docs/platforms/google.md."""

from __future__ import annotations

from edgeflow_google._events import EventNotTaken
from edgeflow_google._platform import GooglePlatform

__all__ = ["EventNotTaken", "GooglePlatform"]
