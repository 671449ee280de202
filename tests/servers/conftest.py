"""What holds for all tests with servers."""

from __future__ import annotations

from pathlib import Path

import pytest

SECONDS = 90
"""How long one takes at most, the start of its server included, on a busy machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let servers be slow, where a test does not say how slow."""
    for item in items:
        is_ours = item.path.is_relative_to(Path(__file__).parent)
        if is_ours and item.get_closest_marker("timeout") is None:
            item.add_marker(pytest.mark.timeout(SECONDS))
