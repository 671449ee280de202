"""Handlers as Azure Functions: docs/platforms/azure-functions.md."""

from __future__ import annotations

from edgeflow_azure._events import EventNotTaken
from edgeflow_azure._platform import AzurePlatform

__all__ = ["AzurePlatform", "EventNotTaken"]
