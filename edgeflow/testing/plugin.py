"""What pytest gets from edgeflow: the fixture `flow`, and asserts that say why.

Every run of pytest imports this where edgeflow is installed, so it imports little.
"""

from __future__ import annotations

from pkgutil import iter_modules
from typing import TYPE_CHECKING

import pytest

from edgeflow import testing

if TYPE_CHECKING:
    from edgeflow.testing.flow import Flow

# Each by its name: the package itself is there already, and cannot be rewritten.
pytest.register_assert_rewrite(
    *(
        f"{testing.__name__}.{module.name}"
        for module in iter_modules(testing.__path__)
        if module.name != "plugin"
    )
)


@pytest.fixture
def flow() -> Flow:
    """Give an app on a new store in memory, with virtual time; see `Flow`."""
    from edgeflow.testing.flow import Flow  # noqa: PLC0415  only who asks pays for it

    return Flow()
