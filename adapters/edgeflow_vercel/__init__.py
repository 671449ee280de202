"""Handlers on Vercel's Python runtime: docs/platforms/vercel.md."""

from __future__ import annotations

from edgeflow_vercel._platform import VercelPlatform

__all__ = ["VercelPlatform"]
