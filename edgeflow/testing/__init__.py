"""What tests of programs and of adapters need."""

from __future__ import annotations

from edgeflow.testing.store_suite import StoreSuite

__all__ = ["StoreSuite"]
