"""Plain processes: programs, cron jobs, `edgeflow run` and `serve`.

What it hears, how long it has, and what may be repeated: docs/platforms/process.md.
"""

from __future__ import annotations

from edgeflow_process._platform import ProcessPlatform

__all__ = ["ProcessPlatform"]
