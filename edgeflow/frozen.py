"""Value types that are frozen to type checkers, and quick to make.

A frozen dataclass sets each field by a call of `object.__setattr__`, which makes a
commit five times as dear as one whose fields are set plainly
(https://docs.python.org/3/library/dataclasses.html#frozen-instances). Of these types
thousands are made each second, so that they are frozen by the type checker alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeflow.late import late

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass  # noqa: PLC0414  exported
else:

    def dataclass(*, frozen: bool, slots: bool, kw_only: bool = False):  # noqa: ANN201
        """Make a dataclass with a hash; nothing keeps it from being changed."""
        return late(slots=slots, kw_only=kw_only, unsafe_hash=frozen)
