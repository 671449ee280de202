"""The draft of state that one attempt of a step works on.

Reads give private copies; what an attempt changes belongs to it until its step
succeeds. A change is found by comparing bytes at the end, so that a write deep
inside a value needs no bookkeeping.
"""

from __future__ import annotations

from collections.abc import Iterator, MutableMapping
from typing import Any

from edgeflow.errors import StateClosed, StateConflict, Unencodable
from edgeflow.values import converter, dumps, loads

DELETED = object()
PLAIN = converter(Any)


class Draft(MutableMapping[str, Any]):
    """A mapping of str to JSON value: the instance's durable state, on approval."""

    __slots__ = ("_base", "_open", "_step", "touched")

    def __init__(self, base: dict[str, bytes], step: str) -> None:
        """Work on `base`, the state at the start; `step` is named in errors."""
        self._base = base
        self._step = step
        self._open = True
        self.touched: dict[str, Any] = {}

    def __getitem__(self, key: str) -> Any:
        self._check(key)
        if key not in self.touched:
            self.touched[key] = self._guarded(loads(self._base[key]))
        value = self.touched[key]
        if value is DELETED:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:
        self._check(key)
        self.touched[key] = value

    def __delitem__(self, key: str) -> None:
        if key not in self:
            raise KeyError(key)
        self.touched[key] = DELETED

    def __contains__(self, key: object) -> bool:
        self._check(key)
        if key in self.touched:
            return self.touched.get(str(key)) is not DELETED
        return key in self._base

    def __iter__(self) -> Iterator[str]:
        self.check_open()
        keys = [*self._base, *(k for k in self.touched if k not in self._base)]
        return iter([k for k in keys if self.touched.get(k) is not DELETED])

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"<draft of state in step {self._step!r}>"

    def check_open(self) -> None:
        """Refuse use after the step.

        Raises:
            StateClosed: if the attempt has ended; names the step.
        """
        if not self._open:
            raise StateClosed(
                f"the draft of state of step {self._step!r} is closed: its attempt has "
                "ended. Read state in a step of its own"
            )

    def close(self) -> None:
        """End it: from now on every use raises, of values got from it too."""
        self._open = False

    def changes(self, current: dict[str, bytes]) -> dict[str, bytes | None]:
        """Give what the attempt changed: encoded values, None for deleted keys.

        `current` is the state as it is now.

        Raises:
            Unencodable: if a value has no JSON form; the path starts with the key.
            StateConflict: if another step changed one of the keys meanwhile.
        """
        changes: dict[str, bytes | None] = {}
        for key, value in self.touched.items():
            encoded = None if value is DELETED else self._encode(key, value)
            if encoded == self._base.get(key):
                continue
            if current.get(key) is not self._base.get(key):
                raise StateConflict(
                    f"step {self._step!r} and another one changed state[{key!r}] at "
                    "the same time"
                )
            changes[key] = encoded
        return changes

    def _encode(self, key: str, value: object) -> bytes:
        try:
            return dumps(PLAIN.encode(value))
        except Unencodable as error:
            path = f"state[{key!r}]{error.path.removeprefix('$')}"
            raise Unencodable(path, error.why) from None

    def _guarded(self, value: Any) -> Any:
        if not isinstance(value, (dict, list)):
            return value
        from edgeflow.guards import guarded  # noqa: PLC0415  not needed by everyone

        return guarded(value, self)

    def _check(self, key: object) -> None:
        self.check_open()
        if not isinstance(key, str):
            raise TypeError(
                f"a key of state is a str, not {type(key).__name__}: {key!r}"
            )
