"""SnapStart: a snapshot of the process, of which many are made.

What is open must not be in it: each copy would use the same connections. The runtime
calls us before it is taken, and after each restore, outside of any call's time.

https://docs.aws.amazon.com/lambda/latest/dg/snapstart-runtime-hooks-python.html
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def before_snapshot(release: Callable[[], object]) -> None:
    """Have `release` called before a snapshot, if there will be one."""
    if _is_coming():
        _hooks().register_before_snapshot(release)


def after_restore(begin: Callable[[], object]) -> None:
    """Have `begin` called in each copy, if there will be a snapshot."""
    if _is_coming():
        _hooks().register_after_restore(begin)


def _is_coming() -> bool:
    return os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start"


def _hooks() -> Any:
    # The runtime, which has set the variable, brings this module.
    return import_module("snapshot_restore_py")
